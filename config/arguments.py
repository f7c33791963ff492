"""What several commands take as arguments."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import UTC, datetime

from django.core.management.base import CommandError

from usage.models import Account


def instant(text: str) -> datetime:
    """An instant in ISO 8601 with its offset, as UTC. ArgumentTypeError for anything else."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is None:
            raise ValueError("an instant has an offset")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is no instant such as 2026-01-31T00:00:00Z") from None


def account_with_key(key: str) -> Account:
    """The account. CommandError when there is none."""
    account = Account.objects.filter(key=key).first()
    if account is None:
        raise CommandError(f"There is no account “{key}”.")
    return account
