"""All that must always hold (spec 9): the checks of every app, asked of the database in one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from django.db import connection, transaction

from alerts import invariants as alerts
from billing import invariants as billing
from usage import invariants as usage

CHECKS: Final[dict[str, Callable[[], Iterable[str]]]] = {
    f"{label}.{check.__name__}": check
    for label, checks in (("usage", usage.CHECKS), ("billing", billing.CHECKS), ("alerts", alerts.CHECKS))
    for check in checks
}


def violations() -> list[str]:
    """A line for each violation, all read from one snapshot; empty when everything holds."""
    if connection.in_atomic_block:
        return _lines()
    with transaction.atomic(), connection.cursor() as cursor:
        # One snapshot for all checks, however long they take; and whole accounts are read, so no time limit.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")
        return _lines()


def _lines() -> list[str]:
    return [f"{name}: {line}" for name, check in CHECKS.items() for line in check()]
