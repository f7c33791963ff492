"""Adjustments: what was received or corrected after its period was billed, billed once on the next invoice (spec
5.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Exists, Max, OuterRef, Q, Sum

from billing.charges import SEATS, USAGE, ZERO, ChargeLine, charge_lines
from billing.models import BilledUsage, Invoice, InvoiceLine
from billing.selectors.cut import Cut, periods_touched, uses_at
from billing.selectors.terms import terms_for
from billing.services.issuing import ADJUSTMENT, DraftLine
from usage.formats import date_span
from usage.models import Account, Period
from usage.rounding import shown_quantity


@dataclass(frozen=True, slots=True)
class Billed:
    """What stands billed of a metric in a period: the sum of its amounts, and the last cut of the lines in force."""

    amount: Decimal = ZERO
    cut_at: datetime | None = None


def adjustments_for(*, account: Account, before: datetime, previous_cut: datetime, cut: Cut) -> list[DraftLine]:
    """One line per metric and earlier billed period in which some workspace's unbilled quantity is not 0 (spec 5.10).

    Its quantity and ledger are what was not billed yet, also negative; its amount is round(price(total at that period's
    terms)) − Σ amounts billed for it so far, in the account's currency. Oldest period first. `previous_cut` is the one
    of the last regular invoice. The caller holds the account's lock.
    """
    touched = periods_touched(account=account, after=previous_cut, until=cut.at, before=before)
    return adjustments_in(account=account, periods=touched, cut=cut)


def adjustments_in(*, account: Account, periods: set[datetime], cut: Cut) -> list[DraftLine]:
    """The adjustments of those of `periods` (starts) that have their regular invoice, oldest first."""
    billed = Invoice.objects.filter(account=account, period__in=periods, reason=Invoice.Reason.REGULAR)
    stored = Period.objects.filter(account=account, starts_at__in=billed.values_list("period", flat=True))
    return [line for period in stored.order_by("starts_at") for line in _lines_of(account, period, cut)]


def billed_quantities(*, account: Account, period: datetime) -> dict[tuple[int, int], Decimal]:
    """Σ billed of a period by (metric id, workspace id), in stored units (seats: seat-days)."""
    rows = BilledUsage.objects.filter(account=account, period=period).values_list("metric_id", "workspace_id")
    return {(metric, workspace): total for metric, workspace, total in rows.annotate(Sum("quantity")).order_by()}


def billed_so_far(*, account: Account, period: datetime) -> dict[int, Billed]:
    """What the lines that bill a period's usage come to, by metric id. A line of a cancelled document and the one that
    takes it back cancel out in the sum; neither says up to when the usage stands billed."""
    cancelling = Invoice.objects.filter(corrects=OuterRef("invoice"), frozen__cancels=True)
    lines = InvoiceLine.objects.filter(account=account, usage_period=period)
    in_force: Any = ~Q(invoice__reason=Invoice.Reason.CREDIT) & ~Exists(cancelling)
    sums = {"billed": Sum("amount"), "until": Max("cut_at", filter=in_force)}
    rows = lines.values_list("metric_id").annotate(**sums).order_by()
    return {metric_id or 0: Billed(amount, cut_at) for metric_id, amount, cut_at in rows}


def _lines_of(account: Account, period: Period, cut: Cut) -> list[DraftLine]:
    terms = terms_for(account=account, period_start=period.starts_at)
    uses = uses_at(account=account, period=period, terms=terms, cut=cut)
    # The same arithmetic as the first bill, over what is known now; no plan and no add-ons: those were billed.
    lines = charge_lines(currency=account.currency, days_in_period=period.days, parts=[], add_ons=[], uses=uses)
    quantities = billed_quantities(account=account, period=period.starts_at)
    billed = billed_so_far(account=account, period=period.starts_at)
    unit_sizes = {row.metric_id: row.metric.unit_size for row in terms.values()}
    adjusted = []
    for line in lines:
        if line.kind not in (SEATS, USAGE) or line.metric_id is None:
            continue
        ledger = _unbilled(line, quantities)
        if ledger:
            before = billed.get(line.metric_id, Billed())
            unit_size = 1 if line.kind == SEATS else unit_sizes[line.metric_id]
            adjusted.append(
                DraftLine(
                    line=_adjusted(line, period, ledger, before.amount, unit_size),
                    usage_period=period.starts_at,
                    previous_cut_at=before.cut_at,
                    cut_at=cut.at,
                )
            )
    return adjusted


def _unbilled(line: ChargeLine, billed: Mapping[tuple[int, int], Decimal]) -> tuple[tuple[int, Decimal], ...]:
    now = dict(line.ledger)
    workspaces = sorted(now.keys() | {workspace for metric, workspace in billed if metric == line.metric_id})
    missing = (
        (workspace, now.get(workspace, ZERO) - billed.get((line.metric_id or 0, workspace), ZERO))
        for workspace in workspaces
    )
    return tuple((workspace, quantity) for workspace, quantity in missing if quantity != 0)


def _adjusted(
    line: ChargeLine, period: Period, ledger: tuple[tuple[int, Decimal], ...], billed: Decimal, unit_size: int
) -> ChargeLine:
    total = sum((quantity for _, quantity in ledger), start=ZERO)
    is_seats = line.kind == SEATS
    return ChargeLine(
        kind=ADJUSTMENT,
        description=f"{line.description}, {date_span(period.first_day, period.last_day)}",
        metric_id=line.metric_id,
        # Of seats the seat-days of the change; the price is for a whole period and would not fit them.
        quantity=shown_quantity(total, unit_size=unit_size),
        unit_price=None if is_seats else line.unit_price,
        amount=line.amount - billed,
        workspaces=tuple((workspace, shown_quantity(quantity, unit_size=unit_size)) for workspace, quantity in ledger),
        ledger=ledger,
        detail={
            "of": line.kind,
            "billed_before": str(billed),
            "now": str(line.amount),
            **({"unit": "seat-days", "days_in_period": period.days} if is_seats else {}),
        },
    )
