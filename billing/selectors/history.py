"""What past periods used and cost, at the terms in force then (spec 6.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from billing.charges import MetricCharge, MetricUse, metric_charges
from billing.models import PeriodTerms
from billing.selectors.holdings import metric_terms
from billing.selectors.terms import all_terms_read, terms_by_period, terms_in_periods
from usage.models import Account, Metric, Period
from usage.periods import Period as Span
from usage.projection import days_in, elapsed_days
from usage.selectors import totals_read
from usage.selectors.metrics import put_metrics
from usage.sql import Read
from usage.written import Written

_METRICS: Final = Written(lambda: Metric.objects.order_by("position", "key"))
Total = tuple[int, datetime, int, Decimal]
Uses = dict[datetime, dict[int, MetricUse]]


@dataclass(frozen=True, slots=True)
class History:
    """`metrics`: the counted ones with terms in any of the periods, in their order. `uses` and `charges` by period
    start and metric id, as far as there were terms; the running period's charges carry its projection. Seats are left
    out: their charge is by the day (`charges_so_far`)."""

    metrics: Sequence[Metric]
    uses: Uses
    charges: Mapping[datetime, Mapping[int, MetricCharge]]

    def quantity(self, metric: Metric, period: Period, workspace_id: int) -> Decimal:
        """What a workspace used, in stored units."""
        use = self.uses[period.starts_at].get(metric.pk)
        return Decimal(0) if use is None else use.quantities.get(workspace_id, Decimal(0))


def history_read(*, account: Account, periods: Sequence[Period], now: datetime) -> Read[History]:
    """Usage, included amount and charge of every counted metric in `periods` (oldest first, at least one); 3
    queries."""
    terms = all_terms_read(account=account, latest=periods[-1].starts_at)
    metrics = _METRICS.read()
    totals = totals_read(account=account, periods=periods)

    def make(rows: list[Any], metric_rows: list[Any], total_rows: list[Any]) -> History:
        return _history(account, periods, now, terms.make(rows), metrics.make(metric_rows), totals.make(total_rows))

    return Read([*terms.statements, *metrics.statements, *totals.statements], make)


def _history(
    account: Account,
    periods: Sequence[Period],
    now: datetime,
    terms: Sequence[PeriodTerms],
    metrics: Sequence[Metric],
    totals: Iterable[Total],
) -> History:
    put_metrics(terms, known=metrics)
    uses = _uses(terms_in_periods(terms, [period.starts_at for period in periods]), totals)
    charges = {}
    for period in periods:
        span = Span(period.starts_at, period.ends_at)
        charges[period.starts_at] = metric_charges(
            currency=account.currency,
            days_in_period=period.days,
            uses=uses[period.starts_at].values(),
            days_used=elapsed_days(span, at=now),
            length=days_in(span),
        )
    counted = {metric_id for each in uses.values() for metric_id in each}
    return History([metric for metric in metrics if metric.pk in counted], uses, charges)


def uses_of(*, account: Account, periods: Sequence[Period], known: Iterable[Metric] = ()) -> Uses:
    """What was used of every counted metric with terms, by period start and metric id, in 3 queries; in 2 when the
    metrics are `known`."""
    found = terms_by_period(account=account, period_starts=[period.starts_at for period in periods], known=known)
    return _uses(found, totals_read(account=account, periods=periods).answer() if periods else ())


def _uses(found: Mapping[datetime, Mapping[int, PeriodTerms]], totals: Iterable[Total]) -> Uses:
    used: dict[tuple[int, datetime], dict[int, Decimal]] = {}
    for metric_id, start, workspace_id, quantity in totals:
        used.setdefault((metric_id, start), {})[workspace_id] = quantity
    # Periods share the rows that hold in several of them.
    held = {row.pk: row for terms in found.values() for row in terms.values()}
    plain = {key: metric_terms(row) for key, row in held.items() if row.metric.kind != Metric.Kind.LEVEL}
    return {
        start: {
            metric_id: MetricUse(terms=plain[row.pk], quantities=used.get((metric_id, start), {}))
            for metric_id, row in terms.items()
            if row.pk in plain
        }
        for start, terms in found.items()
    }
