"""`manage.py refresh [--account KEY]`: the sweep of every 30 minutes, now (spec 2.8, 10.3)."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from alerts import jobs
from config.arguments import account_with_key
from usage.clocks import system_clock


class Command(BaseCommand):
    help = "Tell whatever was reached and not told yet. Leaves sandbox accounts out unless one is named."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", metavar="KEY", help="only this account, by its own clock (default: all)")

    def handle(self, *args: Any, **options: Any) -> None:
        key = options["account"]
        if key is None:
            done = jobs.refresh(system_clock())
        else:
            done = jobs.evaluate_account(account_with_key(key).pk)
        self.stdout.write(f"{done['messages']} told" if done else "somebody else is at it")
