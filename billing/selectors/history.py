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
    uses = uses_of(account=account, periods=periods, metrics=metrics)
    history = {}
    for period in periods:
        span = Span(period.starts_at, period.ends_at)
        charges = account_charges(
            currency=account.currency,
            days_in_period=period.days,
            parts=(),
            add_ons=(),
            uses=list(uses[period.starts_at].values()),
            days_used=elapsed_days(span, at=now),
            length=days_in(span),
        )
        history[period.starts_at] = charges.metrics
    return history


def uses_of(
    *,
    account: Account,
    periods: Sequence[Period],
    metrics: Iterable[Metric] | None = None,
    known: Iterable[Metric] = (),
) -> dict[datetime, dict[int, MetricUse]]:
    """What was used of every counted metric with terms, by period start and metric id, in 3 queries; in 2 when the
    metrics are `known`. `metrics` narrows."""
    wanted = None if metrics is None else {metric.pk for metric in metrics}
    found = terms_by_period(account=account, period_starts=[period.starts_at for period in periods], known=known)
    rows = {
        start: [
            row
            for row in terms.values()
            if row.metric.kind != Metric.Kind.LEVEL and (wanted is None or row.metric_id in wanted)
        ]
        for start, terms in found.items()
    }
    held = {row.pk: row for terms in rows.values() for row in terms}
    plain = {key: metric_terms(row) for key, row in held.items()}
    counted = {row.metric_id: row.metric for row in held.values()}
    used = usage_history(account=account, metrics=counted.values(), periods=periods)
    return {
        start: {row.metric_id: MetricUse(terms=plain[row.pk], quantities=used[row.metric_id][start]) for row in terms}
        for start, terms in rows.items()
    }
