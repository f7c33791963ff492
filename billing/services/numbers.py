"""Numbers of documents: one series per issuer and year of issue, gapless (spec 5.8)."""

from __future__ import annotations

from django.db import connection

_TAKE = """
INSERT INTO billing_numberseries AS series (issuer, year, last_number) VALUES (%(issuer)s, %(year)s, %(count)s)
ON CONFLICT (issuer, year) DO UPDATE SET last_number = series.last_number + %(count)s
RETURNING last_number
"""


def take_numbers(*, issuer: str, year: int, count: int = 1) -> range:
    """The next `count` numbers of the series, from 1. Belongs near the issuing transaction's end.

    It locks the series until the commit: a rollback gives the numbers back, so no gap can stay, and because little
    follows it the lock is short.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"issuer": issuer, "year": year, "count": count})
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError("the number series gave no number")
    last = int(row[0])
    return range(last - count + 1, last + 1)


def document_number(*, prefix: str, year: int, sequence: int) -> str:
    """As printed: 2026-0007, with the issuer's prefix in front if there is one."""
    return f"{prefix}{year}-{sequence:04d}"
