"""`manage.py create_api_key (--account KEY | --all-accounts) --scopes ingest,…`: prints the key alone (spec 10.3)."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.arguments import account_with_key
from usage.clocks import system_clock
from usage.errors import HeadroomError
from usage.models import ApiKey
from usage.services.api_keys import create_api_key
from usage.services.audit import Actor


def _days(text: str) -> timedelta:
    try:
        days = int(text)
        if not 1 <= days <= 36_500:
            raise ValueError
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no number of days from 1 to 36500") from None
    return timedelta(days=days)


class Command(BaseCommand):
    help = "Create an API key and print it, this once: only a hash is stored."

    def add_arguments(self, parser: ArgumentParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--account", metavar="KEY", help="a key of this account")
        whose.add_argument("--all-accounts", action="store_true", help="a key of the operator")
        parser.add_argument(
            "--scopes", required=True, metavar="SCOPE,…", help=f"some of {', '.join(ApiKey.Scope.values)}"
        )
        parser.add_argument("--name", default="", help="to recognise it in admin")
        parser.add_argument("--expires-in-days", type=_days, metavar="DAYS")

    def handle(self, *args: Any, **options: Any) -> None:
        account = account_with_key(options["account"]) if options["account"] else None
        now = system_clock()
        lifetime = options["expires_in_days"]
        try:
            _, plain = create_api_key(
                account=account,
                name=options["name"],
                scopes=[scope.strip() for scope in options["scopes"].split(",") if scope.strip()],
                expires_at=None if lifetime is None else now + lifetime,
                now=now,
                by=Actor.of_command("create_api_key"),
            )
        except HeadroomError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(plain)
