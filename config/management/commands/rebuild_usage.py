"""`manage.py rebuild_usage [--account KEY]`: totals and days worked out anew from the events, while ingest goes on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection

from config.arguments import account_with_key
from usage.models import Account
from usage.services.audit import Actor
from usage.services.rebuild import rebuild_account


class Command(BaseCommand):
    help = "Work out totals and days anew from the events, one account at a time; says how many rows were wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", metavar="KEY", help="only this account (default: all)")

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = [account_with_key(options["account"])] if options["account"] else Account.objects.order_by("pk")
        with connection.cursor() as cursor:
            # An account with many millions of events is one long statement.
            cursor.execute("SET statement_timeout = 0")
        totals = days = 0
        for account in accounts:
            rebuilt = rebuild_account(account_id=account.pk, by=Actor.of_command("rebuild_usage"))
            totals, days = totals + rebuilt.totals, days + rebuilt.days
            if rebuilt.totals or rebuilt.days:
                self.stdout.write(f"{account.key}: {rebuilt.totals} totals and {rebuilt.days} days were wrong")
        self.stdout.write(f"done: {totals} totals and {days} days put right")
