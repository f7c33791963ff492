"""`manage.py create_account KEY --plan PLAN …`: an account that can be metered and billed at once (spec 10.3)."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from email.utils import parseaddr
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from billing.models import Plan
from billing.services.contacts import add_contact
from billing.services.subscriptions import start_subscription
from usage.clocks import system_clock
from usage.errors import HeadroomError
from usage.models import Period
from usage.services.accounts import create_account
from usage.services.audit import Actor


def _date(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no date such as 2026-01-31") from None


class Command(BaseCommand):
    help = "Create an account with its workspaces, plan and billing contacts. Keys are for ever."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("key", metavar="KEY", help="1 to 63 of a-z, 0-9, _ and -")
        parser.add_argument("--name", help="default: the key")
        parser.add_argument("--plan", required=True, metavar="PLAN", help="the plan's key, such as starter")
        parser.add_argument(
            "--started-on", required=True, type=_date, metavar="DATE", help="first day of the first billing period"
        )
        parser.add_argument("--time-zone", required=True, metavar="TZ", help="IANA name, such as Europe/Dublin")
        parser.add_argument(
            "--workspace", action="append", required=True, metavar="KEY[=NAME]", help="repeat for several"
        )
        parser.add_argument(
            "--billing-contact", action="append", default=[], metavar="EMAIL", help="repeat for several"
        )
        parser.add_argument("--sandbox", action="store_true", help="with a test clock; nothing is ever sent")

    def handle(self, *args: Any, **options: Any) -> None:
        plan = Plan.objects.filter(key=options["plan"], is_offered=True).order_by("-version").first()
        if plan is None:
            raise CommandError(f"There is no plan “{options['plan']}”.")
        by = Actor.of_command("create_account")
        workspaces = [(key, name or key) for key, _, name in (text.partition("=") for text in options["workspace"])]
        try:
            with transaction.atomic():
                account = create_account(
                    key=options["key"],
                    name=options["name"] or options["key"],
                    currency=plan.currency,
                    zone=options["time_zone"],
                    started_on=options["started_on"],
                    interval=plan.interval,
                    workspaces=workspaces,
                    is_sandbox=options["sandbox"],
                    now=system_clock(),
                    by=by,
                )
                first = Period.objects.get(account=account)
                start_subscription(account=account, plan=plan, period=first.starts_at, by=by)
                for text in options["billing_contact"]:
                    name, email = parseaddr(text)
                    add_contact(account=account, email=email or text, name=name, by=by)
        except HeadroomError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(
            f"Account {account.key} on {plan}: first period {first}, workspaces {', '.join(k for k, _ in workspaces)}."
        )
