"""What an account was billed, period by period (spec 6.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Sum

from billing.models import InvoiceLine
from usage.models import Account, Period

FIXED = {InvoiceLine.Kind.PLAN, InvoiceLine.Kind.ADD_ON, InvoiceLine.Kind.CONTRACTED, InvoiceLine.Kind.SEATS}


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


def spend_of(*, account: Account, periods: Sequence[Period]) -> dict[datetime, Spend]:
    """The spend of those `periods` that were billed, by their start; credit notes count in the period they belong to.
    1 query."""
    starts = [period.starts_at for period in periods]
    lines = InvoiceLine.objects.filter(invoice__account=account, invoice__period__in=starts)
    found: dict[datetime, Spend] = {}
    for start, kind, amount in lines.values_list("invoice__period", "kind").annotate(Sum("amount")).order_by():
        spend = found.setdefault(start, Spend())
        if kind in FIXED:
            spend.fixed += amount
        elif kind == InvoiceLine.Kind.USAGE:
            spend.usage += amount
        else:
            spend.changes += amount
    return found
