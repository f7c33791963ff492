"""`manage.py close_periods [--account KEY] [--at ISO]`: issue the invoices that are due (spec 5.6, 10.3)."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billing.money import plain_money
from billing.services.closing import close_account, close_due
from config.arguments import account_with_key, instant
from config.sandbox import advance_clock
from usage.clocks import Clock, clock_of, system_clock
from usage.errors import HeadroomError
from usage.models import Account
from usage.services.audit import Actor


class Command(BaseCommand):
    help = "Issue the invoices of all periods that have ended. Leaves sandbox accounts out unless one is named."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--account", metavar="KEY", help="only this account (default: all but sandboxes)")
        parser.add_argument(
            "--at",
            type=instant,
            metavar="ISO",
            help="as if it were that instant; a sandbox account's clock is advanced to it, for others it has passed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        at: datetime | None = options["at"]
        by = Actor.of_command("close_periods")
        if options["account"] is None:
            done = close_due(clock=self._clock(at), by=by)
            self.stdout.write(f"{done.issued} invoices")
            if done.failed:
                raise CommandError(f"{done.failed} accounts could not be closed; the log says why")
            return
        account = account_with_key(options["account"])
        try:
            invoices = self._close(account, at, by)
        except HeadroomError as error:
            raise CommandError(error.detail) from error
        for invoice in invoices:
            self.stdout.write(f"{invoice.number} {plain_money(invoice.total, invoice.currency)} {invoice.currency}")
        self.stdout.write(f"{len(invoices)} invoices")

    def _close(self, account: Account, at: datetime | None, by: Actor) -> list[Any]:
        if not account.is_sandbox:
            return close_account(account_id=account.pk, clock=self._clock(at), by=by)
        issued = []
        if at is not None and at > clock_of(account)():
            issued = advance_clock(account=account, to=at, by=by).invoices
        return [*issued, *close_account(account_id=account.pk, clock=clock_of(account), by=by)]

    def _clock(self, at: datetime | None) -> Clock:
        if at is None:
            return system_clock
        if at > system_clock():
            raise CommandError("Later than now is only for sandbox accounts.")
        return lambda: at
