"""`manage.py rebuild_usage [--account KEY]`: totals and days worked out anew from the events, while ingest goes on."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from usage.models import Account
from usage.services.audit import Actor
from usage.services.rebuild import rebuild_account


class Command(BaseCommand):
    help = "Work out totals and days anew from the events, one account at a time; says how many rows were wrong."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", metavar="KEY", help="only this account (default: all)")

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = Account.objects.order_by("pk")
        if options["account"]:
            accounts = accounts.filter(key=options["account"])
            if not accounts:
                raise CommandError(f"There is no account “{options['account']}”.")
        with connection.cursor() as cursor:
            # An account with many millions of events is one long statement.
            cursor.execute("SET statement_timeout = 0")
        totals = days = 0
        for account_id, key in accounts.values_list("pk", "key"):
            rebuilt = rebuild_account(account_id=account_id, by=Actor.of_command("rebuild_usage"))
            totals, days = totals + rebuilt.totals, days + rebuilt.days
            if rebuilt.totals or rebuilt.days:
                self.stdout.write(f"{key}: {rebuilt.totals} totals and {rebuilt.days} days were wrong")
        self.stdout.write(f"done: {totals} totals and {days} days put right")
