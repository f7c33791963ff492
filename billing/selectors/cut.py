"""What had been received at a closing's cut (spec 5.7, 5.10; Data 5).

In the exact system the cut lies after everything received, so the totals are it. In the previous system the cut lies
up to 24 hours back: what arrived since is taken off again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from billing.charges import MetricUse
from billing.models import PeriodTerms
from billing.selectors.holdings import metric_terms
from usage.models import Account, Metric, Period
from usage.periods import Period as Span
from usage.periods import local_days
from usage.seats import SeatReport, days_from_reports, seats_per_day
from usage.selectors import account_usage

_RECEIVED_LATER = """
SELECT w.id, m.id, later.quantity
  FROM usage_workspace w
 CROSS JOIN unnest(%(metrics)s::bigint[]) AS m(id)
 CROSS JOIN LATERAL (
        SELECT sum(e.quantity) AS quantity FROM usage_usageevent e
         WHERE e.account_id = %(account)s AND e.workspace_id = w.id AND e.metric_id = m.id AND e.period = %(period)s
           AND e.received_at > %(cut)s) AS later
 WHERE w.account_id = %(account)s AND later.quantity IS NOT NULL
"""

# Reports of a level with their corrections netted, as known at the cut; a voided one is gone.
_REPORTS = """
SELECT r.workspace_id, r.occurred_at, r.received_at, r.quantity + coalesce(fix.quantity, 0)
  FROM usage_usageevent r
  LEFT JOIN LATERAL (
        SELECT sum(c.quantity) AS quantity, bool_or(c.is_void) AS is_void FROM usage_usageevent c
         WHERE c.account_id = r.account_id AND c.workspace_id = r.workspace_id AND c.metric_id = r.metric_id
           AND c.period = r.period AND c.corrects = r.key AND c.received_at <= %(cut)s) AS fix ON true
 WHERE r.account_id = %(account)s AND r.metric_id = %(metric)s AND r.corrects IS NULL
   AND r.workspace_id IN (SELECT id FROM usage_workspace WHERE account_id = %(account)s)
   AND r.received_at <= %(cut)s AND r.occurred_at < %(ends_at)s AND NOT coalesce(fix.is_void, false)
 ORDER BY r.workspace_id, r.occurred_at, r.received_at
"""


@dataclass(frozen=True, slots=True)
class Cut:
    """`at`: received up to here. `is_behind`: something may have been received later (the previous system)."""

    at: datetime
    is_behind: bool


def uses_at(*, account: Account, period: Period, terms: Mapping[int, PeriodTerms], cut: Cut) -> list[MetricUse]:
    """The usage of a period that has ended, of every metric with terms, as received up to the cut; stored units."""
    metrics = [row.metric for row in terms.values()]
    usage = account_usage(account=account, period=period, metrics=metrics, with_days=False)
    later: dict[tuple[int, int], Decimal] = {}
    if cut.is_behind:
        counted = [metric.pk for metric in metrics if metric.kind != Metric.Kind.LEVEL]
        later = _received_later(account=account, period=period, metric_ids=counted, cut=cut)
    uses = []
    for metric_id, row in terms.items():
        used = usage[metric_id]
        if used.is_level:
            days = (
                seats_at(account=account, period=period, metric_id=metric_id, cut=cut)
                if cut.is_behind
                else {workspace: [seats for _, seats in held] for workspace, held in used.days.items()}
            )
            uses.append(MetricUse(terms=metric_terms(row), quantities=used.own, days=days))
        else:
            quantities = {
                workspace: quantity - later.get((workspace, metric_id), Decimal(0))
                for workspace, quantity in used.own.items()
            }
            uses.append(MetricUse(terms=metric_terms(row), quantities=quantities))
    return uses


def _received_later(
    *, account: Account, period: Period, metric_ids: Sequence[int], cut: Cut
) -> dict[tuple[int, int], Decimal]:
    rows = _rows(
        _RECEIVED_LATER,
        {"account": account.pk, "metrics": list(metric_ids), "period": period.starts_at, "cut": cut.at},
    )
    return {(workspace, metric): quantity for workspace, metric, quantity in rows}


def seats_at(*, account: Account, period: Period, metric_id: int, cut: Cut) -> dict[int, Sequence[Decimal]]:
    """Seats of each local day by workspace, from the reports known at the cut."""
    reports: dict[int, list[SeatReport]] = {}
    arguments = {"account": account.pk, "metric": metric_id, "cut": cut.at, "ends_at": period.ends_at}
    for workspace, at, received_at, level in _rows(_REPORTS, arguments):
        reports.setdefault(workspace, []).append(SeatReport(at=at, received_at=received_at, level=level))
    days = local_days(Span(period.starts_at, period.ends_at), period.zone)
    held: dict[int, Sequence[Decimal]] = {}
    for workspace, known in reports.items():
        earlier = [report for report in known if report.at < period.starts_at]
        carried_in = days_from_reports(earlier, carried_in=Decimal(0), zone=period.zone)
        inside = [report for report in known if report.at >= period.starts_at]
        level = carried_in[-1].closing if carried_in else Decimal(0)
        rows = days_from_reports(inside, carried_in=level, zone=period.zone)
        held[workspace] = seats_per_day(days, rows=rows, carried_in=level)
    return held


def periods_touched(*, account: Account, after: datetime, until: datetime, before: datetime) -> set[datetime]:
    """Starts of the periods before `before` whose usage changed by what was received in (after, until].

    A late report of a level changes the days up to the next report, so every later period counts as touched too.
    """
    rows = _rows(_TOUCHED, {"account": account.pk, "after": after, "until": until, "before": before})
    touched = {period for period, is_level in rows if not is_level}
    levels = [period for period, is_level in rows if is_level]
    if levels:
        following = Period.objects.filter(account=account, starts_at__gte=min(levels), starts_at__lt=before)
        touched |= set(following.values_list("starts_at", flat=True))
    return touched


# Totals say when they last changed, so history costs nothing; levels have none and are asked by the index of lines.
_TOUCHED = """
SELECT DISTINCT t.period, false
  FROM usage_usagetotal t
 WHERE t.account_id = %(account)s AND t.period < %(before)s AND t.last_received_at > %(after)s
UNION ALL
SELECT p.starts_at, true
  FROM usage_period p
 WHERE p.account_id = %(account)s AND p.starts_at < %(before)s
   AND EXISTS (
        SELECT 1 FROM usage_usageevent e
         WHERE e.account_id = %(account)s AND e.period = p.starts_at
           AND e.workspace_id IN (SELECT id FROM usage_workspace WHERE account_id = %(account)s)
           AND e.metric_id IN (SELECT id FROM usage_metric WHERE kind = 'level')
           AND e.received_at > %(after)s AND e.received_at <= %(until)s)
"""


def _rows(query: str, arguments: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return list(cursor.fetchall())
