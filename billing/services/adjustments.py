"""Adjustments: what was received or corrected after its period was billed, billed once on the next invoice (spec 5.10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Sum

from billing.charges import SEATS, USAGE, ZERO, ChargeLine, charge_lines
from billing.models import BilledUsage, Invoice, InvoiceLine
from billing.selectors.cut import Cut, periods_touched, uses_at
from billing.selectors.terms import terms_for
from usage.formats import date_span
from usage.models import Account, Period
from usage.rounding import shown_quantity


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A line for an earlier billed period: `line.quantity` and its ledger are what was not billed yet, also negative."""

    period: Period
    line: ChargeLine


def adjustments_for(*, account: Account, before: datetime, previous_cut: datetime | None, cut: Cut) -> list[Adjustment]:
    """One line per metric and earlier billed period in which some workspace's unbilled quantity is not 0 (spec 5.10).

    Its amount is round(price(total at that period's terms)) − Σ amounts billed for it so far, in the account's currency.
    Oldest period first. The caller holds the account's lock.
    """
    if previous_cut is None:
        return []
    touched = periods_touched(account=account, after=previous_cut, until=cut.at, before=before)
    billed_periods = set(
        Invoice.objects.filter(account=account, period__in=touched, reason=Invoice.Reason.REGULAR).values_list(
            "period", flat=True
        )
    )
    found = []
    for period in Period.objects.filter(account=account, starts_at__in=billed_periods).order_by("starts_at"):
        found += [Adjustment(period, line) for line in _lines_of(account, period, cut)]
    return found


def billed_quantities(*, account: Account, period: datetime) -> dict[tuple[int, int], Decimal]:
    """Σ billed of a period by (metric id, workspace id), in stored units (seats: seat-days)."""
    rows = BilledUsage.objects.filter(account=account, period=period).values_list("metric_id", "workspace_id")
    return {(metric, workspace): total for metric, workspace, total in rows.annotate(Sum("quantity")).order_by()}


def billed_amounts(*, account: Account, period: datetime) -> dict[int, Decimal]:
    """Σ amounts of the lines that bill a period's usage so far, by metric id."""
    rows = InvoiceLine.objects.filter(account=account, usage_period=period).values_list("metric_id")
    return dict(rows.annotate(Sum("amount")).order_by())


def _lines_of(account: Account, period: Period, cut: Cut) -> list[ChargeLine]:
    terms = terms_for(account=account, period_start=period.starts_at)
    uses = uses_at(account=account, period=period, terms=terms, cut=cut)
    # The same arithmetic as the first bill, over what is known now; no plan and no add-ons: those were billed.
    lines = charge_lines(
        currency=account.currency, days_in_period=period.days, parts=[], add_ons=[], uses=uses
    )
    quantities = billed_quantities(account=account, period=period.starts_at)
    amounts = billed_amounts(account=account, period=period.starts_at)
    unit_sizes = {row.metric_id: row.metric.unit_size for row in terms.values()}
    adjusted = []
    for line in lines:
        if line.kind not in (SEATS, USAGE) or line.metric_id is None:
            continue
        ledger = _unbilled(line, quantities)
        if ledger:
            adjusted.append(_adjusted(line, period, ledger, amounts.get(line.metric_id, ZERO), unit_sizes))
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
    line: ChargeLine,
    period: Period,
    ledger: tuple[tuple[int, Decimal], ...],
    billed: Decimal,
    unit_sizes: Mapping[int, int],
) -> ChargeLine:
    unit_size = 1 if line.kind == SEATS else unit_sizes[line.metric_id or 0]
    total = sum((quantity for _, quantity in ledger), start=ZERO)
    return ChargeLine(
        kind=InvoiceLine.Kind.ADJUSTMENT,
        description=f"{line.description}, {date_span(period.first_day, period.last_day)}",
        metric_id=line.metric_id,
        quantity=shown_quantity(total, unit_size=unit_size),
        unit_price=line.unit_price,
        amount=line.amount - billed,
        workspaces=tuple((workspace, shown_quantity(quantity, unit_size=unit_size)) for workspace, quantity in ledger),
        ledger=ledger,
        detail={
            "of": line.kind,
            "billed_before": str(billed),
            "now": str(line.amount),
            **({"seat_days": str(total), "days_in_period": period.days} if line.kind == SEATS else {}),
        },
    )
