"""Days of level metrics (seats), kept from their reports (spec 2.2).

A reported day has one row per period: the highest level held on it and the level at its end. A late, amended or voided
report changes the rows from its day up to and including the next reported day; later ones stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from operator import itemgetter
from typing import Any

from django.db import connection
from django.db.models import Q

from usage.models import Period, UsageDay
from usage.periods import local_day
from usage.seats import NONE_HELD, SeatReport, days_from_reports

# Reports that still count, with what their corrections left of them. Corrections are rows of the same period.
_REPORTS = """
SELECT e.period, e.occurred_at, e.received_at, e.quantity + coalesce(sum(c.quantity), 0)
  FROM usage_usageevent e
  LEFT JOIN usage_usageevent c
    ON c.account_id = e.account_id AND c.workspace_id = e.workspace_id AND c.metric_id = e.metric_id
   AND c.period = e.period AND c.corrects = e.key
 WHERE e.account_id = %(account_id)s AND e.workspace_id = %(workspace_id)s AND e.metric_id = %(metric_id)s
   AND e.period >= %(begins)s AND e.corrects IS NULL
 GROUP BY e.account_id, e.key
HAVING NOT coalesce(bool_or(c.is_void), false)
 ORDER BY e.period, e.occurred_at, e.received_at, e.key
"""
_WRITE = """
INSERT INTO usage_usageday (account_id, workspace_id, metric_id, period, day, quantity, level)
SELECT %(account_id)s, %(workspace_id)s, %(metric_id)s, d.period, d.day, d.highest, d.closing
  FROM unnest(%(periods)s::timestamptz[], %(days)s::date[], %(highest)s::numeric[], %(closing)s::numeric[])
    AS d(period, day, highest, closing)
    ON CONFLICT (account_id, workspace_id, metric_id, period, day)
    DO UPDATE SET quantity = EXCLUDED.quantity, level = EXCLUDED.level
"""

# (period, day): (highest, closing)
_Days = dict[tuple[datetime, date], tuple[Decimal, Decimal]]


def recompute_days(*, account_id: int, workspace_id: int, metric_id: int, since: datetime | None = None) -> None:
    """Make the day rows agree with the reports, from the day of `since` on (None: from the first report).

    Call it in the transaction that stored the reports, after storing them: of two that report at once the second waits
    here, and then sees both. Only rows that differ are written.
    """
    line = {"account_id": account_id, "workspace_id": workspace_id, "metric_id": metric_id}
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"level {workspace_id} {metric_id}"])
    zones = dict(Period.objects.filter(account_id=account_id).order_by("starts_at").values_list("starts_at", "zone"))
    starts = list(zones)
    if not starts:
        return
    begins = starts[0] if since is None else max(start for start in starts if start <= since)
    first_day = date.min if since is None else local_day(since, zones[begins])
    is_earlier = Q(period__lt=begins) | Q(period=begins, day__lt=first_day)
    stored = UsageDay.objects.filter(**line)
    before = stored.filter(is_earlier).order_by("-period", "-day").values_list("level", flat=True).first()
    wanted = _days(line, begins, first_day, before or NONE_HELD, zones)
    present: _Days = {
        (row.period, row.day): (row.quantity, row.level or NONE_HELD)
        for row in stored.filter(period__gte=begins).exclude(is_earlier)
    }
    for period, day in present.keys() - wanted.keys():
        stored.filter(period=period, day=day).delete()
    changed = [(key, levels) for key, levels in wanted.items() if present.get(key) != levels]
    if not changed:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            _WRITE,
            line
            | {
                "periods": [key[0] for key, _ in changed],
                "days": [key[1] for key, _ in changed],
                "highest": [levels[0] for _, levels in changed],
                "closing": [levels[1] for _, levels in changed],
            },
        )


def days_of_reports(*, account_id: int, workspace_id: int, metric_id: int) -> _Days:
    """What the day rows should be, worked out from all reports: (highest, closing) by (period, day)."""
    line = {"account_id": account_id, "workspace_id": workspace_id, "metric_id": metric_id}
    zones = dict(Period.objects.filter(account_id=account_id).order_by("starts_at").values_list("starts_at", "zone"))
    return _days(line, min(zones), date.min, NONE_HELD, zones) if zones else {}


def _days(
    line: dict[str, int], begins: datetime, first_day: date, carried_in: Decimal, zones: dict[datetime, str]
) -> _Days:
    days: _Days = {}
    level = carried_in
    for period, rows in groupby(_reports(line, begins), key=itemgetter(0)):
        zone = zones[period]
        reports = [SeatReport(at=at, received_at=received_at, level=held) for _, at, received_at, held in rows]
        if period == begins:
            reports = [report for report in reports if local_day(report.at, zone) >= first_day]
        for row in days_from_reports(reports, carried_in=level, zone=zone):
            days[period, row.day] = (row.highest, row.closing)
            level = row.closing
    return days


def _reports(line: dict[str, int], begins: datetime) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(_REPORTS, line | {"begins": begins})
        yield from cursor.fetchall()
