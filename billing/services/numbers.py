"""Numbers of documents: one series per issuer and year of issue, gapless (spec 5.8)."""

from __future__ import annotations

from django.db import connection

_TAKE = """
INSERT INTO billing_numberseries AS series (issuer, year, last_number) VALUES (%s, %s, 1)
ON CONFLICT (issuer, year) DO UPDATE SET last_number = series.last_number + 1
RETURNING last_number
"""


def take_number(*, issuer: str, year: int) -> int:
    """The next number of the series, from 1. Must be the issuing transaction's last act.

    It locks the series until the commit: a rollback gives the number back, so no gap can stay, and because nothing
    follows it the lock is short.
    """
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, [issuer, year])
        row = cursor.fetchone()
    if row is None:
        raise RuntimeError("the number series gave no number")
    return int(row[0])


def document_number(*, prefix: str, year: int, sequence: int) -> str:
    """As printed: 2026-0007, with the issuer's prefix in front if there is one."""
    return f"{prefix}{year}-{sequence:04d}"
