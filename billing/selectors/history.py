"""What past periods used and cost, at the terms in force then (spec 6.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from billing.charges import MetricCharge, MetricUse, account_charges
from billing.selectors.holdings import metric_terms
from billing.selectors.terms import terms_by_period
from usage.models import Account, Metric, Period
from usage.periods import Period as Span
from usage.projection import days_in, elapsed_days
from usage.selectors import usage_history


def history_of(
    *, account: Account, periods: Sequence[Period], now: datetime, metrics: Iterable[Metric] | None = None
) -> dict[datetime, Mapping[int, MetricCharge]]:
    """Usage, included amount and charge of every counted metric with terms, by period start and metric id, in 3
    queries.

    `periods` oldest first; the running one carries its projection. `metrics` narrows. Seats are left out: their charge
    is by the day (`charges_so_far`).
    """
    wanted = None if metrics is None else {metric.pk for metric in metrics}
    found = terms_by_period(account=account, period_starts=[period.starts_at for period in periods])
    rows = {
        start: [
            row
            for row in terms.values()
            if row.metric.kind != Metric.Kind.LEVEL and (wanted is None or row.metric_id in wanted)
        ]
        for start, terms in found.items()
    }
    counted = {row.metric_id: row.metric for terms in rows.values() for row in terms}
    used = usage_history(account=account, metrics=counted.values(), periods=periods, now=now)
    history = {}
    for period in periods:
        span = Span(period.starts_at, period.ends_at)
        charges = account_charges(
            currency=account.currency,
            days_in_period=period.days,
            parts=(),
            add_ons=(),
            uses=[
                MetricUse(terms=metric_terms(row), quantities=used[row.metric_id][period.starts_at])
                for row in rows[period.starts_at]
            ],
            days_used=elapsed_days(span, at=now),
            length=days_in(span),
        )
        history[period.starts_at] = charges.metrics
    return history
