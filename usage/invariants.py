"""What must always hold of the facts (spec 9 a, b, c, j, l), as functions that return a line for each violation.

Each check reads one consistent snapshot, so it may run while events stream in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from django.db import connection

from usage.models import UsageDay, UsageEvent
from usage.services.rebuild import EXPECTED_DAYS, EXPECTED_TOTALS, wrong_level_days

_AT_MOST: Final = 100  # lines of one check: enough to see the pattern

_TOTALS: Final = f"""
SELECT a.key, w.key, m.key, x.period, t.quantity, t.quantity_in_time, t.reserved, t.hard_limit,
       x.quantity, x.quantity_in_time, x.reserved, x.hard_limit
  FROM ({EXPECTED_TOTALS}) AS x
  LEFT JOIN usage_usagetotal t USING (account_id, workspace_id, metric_id, period)
  JOIN usage_account a ON a.id = x.account_id
  LEFT JOIN usage_workspace w ON w.id = x.workspace_id
  LEFT JOIN usage_metric m ON m.id = x.metric_id
 WHERE (t.quantity, t.quantity_in_time, t.reserved, t.hard_limit)
       IS DISTINCT FROM (x.quantity, x.quantity_in_time, x.reserved, x.hard_limit)
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

_DAYS: Final = f"""
SELECT a.key, w.key, m.key, coalesce(d.period, x.period), coalesce(d.day, x.day), d.quantity, x.quantity
  FROM (SELECT d.* FROM usage_usageday d JOIN usage_metric m ON m.id = d.metric_id AND m.kind <> 'level') AS d
  FULL JOIN ({EXPECTED_DAYS}) AS x USING (account_id, workspace_id, metric_id, period, day)
  JOIN usage_account a ON a.id = account_id
  LEFT JOIN usage_workspace w ON w.id = workspace_id
  LEFT JOIN usage_metric m ON m.id = metric_id
 WHERE d.quantity IS DISTINCT FROM x.quantity
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

_EVENT_PERIODS: Final = f"""
SELECT a.key, e.source, e.event_id, e.occurred_at, e.period
  FROM usage_usageevent e
  LEFT JOIN usage_account a ON a.id = e.account_id
  LEFT JOIN usage_period p ON p.account_id = e.account_id AND p.starts_at = e.period
 WHERE p.id IS NULL OR e.occurred_at < p.starts_at OR e.occurred_at >= p.ends_at
    OR e.day NOT BETWEEN p.first_day AND p.last_day
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

_PERIODS_TILE: Final = f"""
SELECT a.key, p.starts_at, p.before
  FROM (SELECT account_id, starts_at, lag(ends_at) OVER (PARTITION BY account_id ORDER BY starts_at) AS before
          FROM usage_period) AS p
  JOIN usage_account a ON a.id = p.account_id
 WHERE p.before IS NOT NULL AND p.before <> p.starts_at
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

_CORRECTIONS: Final = f"""
SELECT a.key, c.source, c.event_id
  FROM usage_usageevent c
  LEFT JOIN usage_account a ON a.id = c.account_id
  LEFT JOIN usage_usageevent e ON e.account_id = c.account_id AND e.key = c.corrects AND e.corrects IS NULL
 WHERE c.corrects IS NOT NULL
   AND (e.workspace_id, e.metric_id, e.period, e.day) IS DISTINCT FROM (c.workspace_id, c.metric_id, c.period, c.day)
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

_NETTED: Final = f"""
SELECT a.key, min(e.source), min(e.event_id), sum(e.quantity), bool_or(e.is_void)
  FROM (SELECT account_id, coalesce(corrects, key) AS event, quantity, is_void, source, event_id FROM usage_usageevent
         WHERE (account_id, coalesce(corrects, key)) IN
               (SELECT account_id, corrects FROM usage_usageevent WHERE corrects IS NOT NULL)) AS e
  LEFT JOIN usage_account a ON a.id = e.account_id
 GROUP BY a.key, e.account_id, e.event
HAVING sum(e.quantity) < 0 OR (bool_or(e.is_void) AND sum(e.quantity) <> 0) OR count(*) FILTER (WHERE e.is_void) > 1
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

_FOREIGN: Final = f"""
SELECT a.key, w.key, m.key, x.kind
  FROM (SELECT DISTINCT account_id, workspace_id, metric_id, 'total' AS kind FROM usage_usagetotal
        UNION ALL SELECT DISTINCT account_id, workspace_id, metric_id, 'day' FROM usage_usageday
        UNION ALL SELECT DISTINCT account_id, workspace_id, metric_id, 'event' FROM usage_usageevent
        UNION ALL SELECT DISTINCT account_id, workspace_id, metric_id, 'limit' FROM usage_usagelimit
        UNION ALL SELECT DISTINCT account_id, workspace_id, metric_id, 'reservation' FROM usage_reservation) AS x
  LEFT JOIN usage_workspace w ON w.id = x.workspace_id
  LEFT JOIN usage_account a ON a.id = x.account_id
  LEFT JOIN usage_metric m ON m.id = x.metric_id
 WHERE w.account_id IS DISTINCT FROM x.account_id OR m.id IS NULL
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants


def totals_equal_events() -> list[str]:
    """9 b, j: totals, what is reserved and the copied limit are what events, open reservations and limit rows say."""
    names = ("quantity", "in time", "reserved", "limit")
    return [
        f"total of {metric} in {account}/{workspace}, period {period:%Y-%m-%d}: "
        + ", ".join(
            f"{name} is {stored} instead of {right}"
            for name, stored, right in zip(names, values[:4], values[4:], strict=True)
            if stored != right
        )
        for account, workspace, metric, period, *values in _rows(_TOTALS)
    ]


def days_equal_events() -> list[str]:
    """9 b: the days of counted metrics add up to their events."""
    return [
        f"day {day} of {metric} in {account}/{workspace}, period {period:%Y-%m-%d}: {stored} instead of {right}"
        for account, workspace, metric, period, day, stored, right in _rows(_DAYS)
    ]


def level_days_equal_reports() -> list[str]:
    """9 b: the days of levels (seats) are those worked out from the reports."""
    lines = []
    places: set[Any] = set()
    for model in (UsageDay, UsageEvent):
        rows = model.objects.filter(metric_id__in=_level_metrics())
        places |= set(rows.values_list("account_id", "workspace_id", "metric_id").distinct())
    for account_id, workspace_id, metric_id in sorted(places):
        lines += [
            f"day {day} of level metric {metric_id} in workspace {workspace_id}: {stored} instead of {expected}"
            for (_, day), stored, expected in wrong_level_days(
                account_id=account_id, workspace_id=workspace_id, metric_id=metric_id
            )
        ]
    return lines[:_AT_MOST]


def events_lie_in_their_period() -> list[str]:
    """9 c: every event belongs to the one stored period in which it happened."""
    return [
        f"event {event_id!r} of {source!r} in {account}: happened at {at}, counted in the period from {period}"
        for account, source, event_id, at, period in _rows(_EVENT_PERIODS)
    ]


def periods_tile() -> list[str]:
    """9 c: an account's periods follow each other without gap (overlaps are impossible by constraint)."""
    return [
        f"period of {account} from {starts_at}: the one before ends at {before}"
        for account, starts_at, before in _rows(_PERIODS_TILE)
    ]


def corrections_belong_to_events() -> list[str]:
    """9 a, 2.6: a correcting row stands beside its event; none is corrected below zero or voided to anything else."""
    lines = [
        f"correction of {event_id!r} of {source!r} in {account} stands beside no such event"
        for account, source, event_id in _rows(_CORRECTIONS)
    ]
    lines += [
        f"event {event_id!r} of {source!r} in {account}: corrected to {quantity}{' although voided' if is_void else ''}"
        for account, source, event_id, quantity, is_void in _rows(_NETTED)
    ]
    return lines


def rows_stay_in_their_account() -> list[str]:
    """9 l: no usage of one account names a workspace of another, and all of it is usage of a metric that exists."""
    return [
        f"a {kind} of account {account} names workspace {workspace} and metric {metric}"
        for account, workspace, metric, kind in _rows(_FOREIGN)
    ]


CHECKS: Final[tuple[Callable[[], Iterable[str]], ...]] = (
    totals_equal_events,
    days_equal_events,
    level_days_equal_reports,
    events_lie_in_their_period,
    periods_tile,
    corrections_belong_to_events,
    rows_stay_in_their_account,
)


def _level_metrics() -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM usage_metric WHERE kind = 'level'")
        return [row[0] for row in cursor.fetchall()]


def _rows(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, {"account": None})
        return list(cursor.fetchall())
