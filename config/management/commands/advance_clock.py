"""`manage.py advance_clock --account KEY --to ISO`: time passes for a sandbox account (spec 7.4, 10.3)."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.money import plain_money
from config.arguments import account_with_key, instant
from config.sandbox import advance_clock
from usage.errors import HeadroomError
from usage.services.audit import Actor


class Command(BaseCommand):
    help = "Advance a sandbox account's test clock; what falls due on the way happens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", required=True, metavar="KEY")
        parser.add_argument("--to", required=True, type=instant, metavar="ISO", help="an instant with offset")

    def handle(self, *args: Any, **options: Any) -> None:
        account = account_with_key(options["account"])
        try:
            done = advance_clock(account=account, to=options["to"], by=Actor.of_command("advance_clock"))
        except HeadroomError as error:
            raise CommandError(error.detail) from error
        for invoice in done.invoices:
            self.stdout.write(f"{invoice.number} {plain_money(invoice.total, invoice.currency)} {invoice.currency}")
        self.stdout.write(f"{len(done.moments)} moments, {done.messages} told, {len(done.invoices)} invoices")
