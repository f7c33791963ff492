"""Terms in force: what charts, prices, alerts and invoices read (spec 5.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from django.db.models import QuerySet

from billing.models import PeriodTerms, Plan, Subscription
from usage.models import Account, Metric
from usage.selectors.metrics import put_metrics
from usage.sql import Read, from_columns, model_columns
from usage.written import Written

_ALL: Final = Written(
    lambda account, latest: PeriodTerms.objects.filter(account=account, from_period__lte=latest).order_by(
        "from_period", "metric__position", "metric__key"
    )
)
_PLAN: Final = Written(
    lambda account, period_start: (
        Subscription.objects.filter(account=account, period__lte=period_start)
        .select_related("plan")
        .order_by("-period", "-starts_on")[:1]
    )
)
_WIDTH: Final = len(PeriodTerms._meta.concrete_fields)
_TERMS: Final = f"""
SELECT DISTINCT ON (t.metric_id) {model_columns(PeriodTerms, "t")}, {model_columns(Metric, "m")}
  FROM billing_periodterms t JOIN usage_metric m ON m.id = t.metric_id
 WHERE t.account_id = %(account)s AND t.from_period <= %(period)s
 ORDER BY t.metric_id, t.from_period DESC
"""  # noqa: S608 - columns of our own tables


def last_rows(rows: QuerySet[PeriodTerms]) -> QuerySet[PeriodTerms]:
    """The last of `rows` (of one account) for each metric, with metric and plan, also inactive ones."""
    return rows.order_by("metric_id", "-from_period").distinct("metric_id").select_related("metric", "plan")


def terms_for(*, account: Account, period_start: datetime) -> dict[int, PeriodTerms]:
    """The account's terms in the period that starts at `period_start`, by metric id in the metrics' order, in 1 query
    (spec 5.3).

    Also of a period that does not exist yet. A metric without terms is not in it: its usage is recorded, has no card
    and costs nothing.
    """
    return terms_read(account=account, period_start=period_start).answer()


def terms_read(*, account: Account, period_start: datetime) -> Read[dict[int, PeriodTerms]]:
    """`terms_for`, to be read together with other things."""
    return Read([(_TERMS, {"account": account.pk, "period": period_start})], _in_order)


def _in_order(rows: Sequence[Sequence[Any]]) -> dict[int, PeriodTerms]:
    found = []
    for row in rows:
        terms = from_columns(PeriodTerms, row[:_WIDTH])
        if terms.is_active:
            terms.metric = from_columns(Metric, row[_WIDTH:])
            found.append(terms)
    found.sort(key=lambda terms: (terms.metric.position, terms.metric.key))
    return {terms.metric_id: terms for terms in found}


def terms_by_period(
    *, account: Account, period_starts: Sequence[datetime], known: Iterable[Metric] = ()
) -> dict[datetime, dict[int, PeriodTerms]]:
    """`terms_for` for several periods of the account, in 2 queries, in 1 when their metrics are `known`. Periods share
    the rows that hold in several of them."""
    if not period_starts:
        return {}
    rows = all_terms_read(account=account, latest=max(period_starts)).answer()
    put_metrics(rows, known=known)
    return terms_in_periods(rows, period_starts)


def all_terms_read(*, account: Account, latest: datetime) -> Read[list[PeriodTerms]]:
    """The account's rows of terms from periods up to `latest`, in order of time and of the metrics; 1 query."""
    return _ALL.read(account=account.pk, latest=latest)


def terms_in_periods(
    rows: Sequence[PeriodTerms], period_starts: Sequence[datetime]
) -> dict[datetime, dict[int, PeriodTerms]]:
    """Which of `all_terms_read` hold in each of the periods, by metric id."""
    found = {}
    for start in period_starts:
        last = {row.metric_id: row for row in rows if row.from_period <= start}
        found[start] = {metric_id: row for metric_id, row in last.items() if row.is_active}
    return found


def plan_for(*, account: Account, period_start: datetime) -> Plan | None:
    """The plan version that the account holds at the end of the period that starts at `period_start` (an upgrade during
    it counts), in 1 query; None without a subscription and after a cancellation."""
    return next((row.plan for row in _PLAN(account=account.pk, period_start=period_start)), None)
