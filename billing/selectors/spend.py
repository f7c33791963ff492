"""What an account was billed, period by period (spec 6.5)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from billing.models import InvoiceLine
from usage.models import Account, Period
from usage.sql import Read

FIXED = {InvoiceLine.Kind.PLAN, InvoiceLine.Kind.ADD_ON, InvoiceLine.Kind.CONTRACTED, InvoiceLine.Kind.SEATS}
_BILLED: Final = """
SELECT i.period, l.kind, sum(l.amount)
  FROM billing_invoice i JOIN billing_invoiceline l ON l.invoice_id = i.id
 WHERE i.account_id = %(account)s AND i.period = ANY(%(periods)s::timestamptz[])
 GROUP BY i.period, l.kind
"""


@dataclass(slots=True)
class Spend:
    """Net amounts of all documents of a billing period, in the account's currency. `changes`: adjustments of earlier
    periods and credits."""

    fixed: Decimal = Decimal(0)
    usage: Decimal = Decimal(0)
    changes: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        return self.fixed + self.usage + self.changes


def spend_read(*, account: Account, periods: Sequence[Period]) -> Read[dict[datetime, Spend]]:
    """The spend of those `periods` that were billed, by their start; credit notes count in the period they belong to.
    1 query."""
    starts = [period.starts_at for period in periods]
    return Read([(_BILLED, {"account": account.pk, "periods": starts})], _by_period)


def _by_period(rows: Iterable[tuple[datetime, str, Decimal]]) -> dict[datetime, Spend]:
    found: dict[datetime, Spend] = {}
    for start, kind, amount in rows:
        spend = found.setdefault(start, Spend())
        if kind in FIXED:
            spend.fixed += amount
        elif kind == InvoiceLine.Kind.USAGE:
            spend.usage += amount
        else:
            spend.changes += amount
    return found
