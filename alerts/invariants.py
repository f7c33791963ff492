"""What must always hold of what was told (spec 9 i, j), as functions that return a line for each violation.

That a firing is written once, and that its quantity had reached its level, the database's own constraints hold; here
stands what they cannot say. Only totals that evaluation has marked as settled are judged: the others are still to be
looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from django.db import connection

_AT_MOST: Final = 100  # lines of one check: enough to see the pattern

# A total that evaluation marked has no level left that was reached and not fired.
_UNFIRED: Final = f"""
SELECT a.key, w.key, m.key, t.period, l.level, u.threshold, t.quantity_in_time
  FROM usage_usagetotal t
  JOIN usage_account a ON a.id = t.account_id
  JOIN usage_workspace w ON w.id = t.workspace_id
  JOIN usage_metric m ON m.id = t.metric_id
 CROSS JOIN LATERAL (
       SELECT u.threshold, u.also_50_80, CASE WHEN u.from_period = t.period THEN u.baseline ELSE 0 END AS baseline
         FROM alerts_usagealert u
        WHERE u.account_id = t.account_id AND u.workspace_id = t.workspace_id AND u.metric_id = t.metric_id
          AND u.from_period <= t.period
        ORDER BY u.from_period DESC LIMIT 1) u
  JOIN (VALUES (50), (80), (100)) AS l (level) ON l.level = 100 OR u.also_50_80
 WHERE t.evaluated_seq = t.seq AND t.next_level IS DISTINCT FROM 0 AND u.threshold IS NOT NULL
   AND u.threshold * l.level / 100 > u.baseline AND u.threshold * l.level / 100 <= t.quantity_in_time
   AND NOT EXISTS (
       SELECT 1 FROM alerts_firing f
        WHERE f.account_id = t.account_id AND f.rule = 'usage_alert' AND f.workspace_id = t.workspace_id
          AND f.metric_id = t.metric_id AND f.period = t.period AND f.level = l.level AND f.threshold = u.threshold)
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

# What fired together is told by one notification that names the highest level, so the highest of each has one.
_UNTOLD: Final = f"""
SELECT a.key, f.rule, w.key, m.key, f.period, f.threshold, f.level
  FROM (SELECT account_id, rule, workspace_id, metric_id, period, threshold, max(level) AS level
          FROM alerts_firing GROUP BY 1, 2, 3, 4, 5, 6) f
  JOIN usage_account a ON a.id = f.account_id
  LEFT JOIN usage_workspace w ON w.id = f.workspace_id
  LEFT JOIN usage_metric m ON m.id = f.metric_id
 WHERE NOT EXISTS (
       SELECT 1 FROM alerts_notification n
        WHERE n.account_id = f.account_id AND n.kind = CASE f.rule WHEN 'limit' THEN 'limit_reached' ELSE f.rule END
          AND n.workspace_id IS NOT DISTINCT FROM f.workspace_id AND n.metric_id IS NOT DISTINCT FROM f.metric_id
          AND n.period = f.period AND n.threshold = f.threshold AND (f.rule = 'limit' OR n.level = f.level))
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

_TWICE: Final = f"""
SELECT a.key, n.title, d.recipient, count(*)
  FROM alerts_delivery d
  JOIN alerts_notification n ON n.id = d.notification_id
  JOIN usage_account a ON a.id = d.account_id
 GROUP BY a.key, n.id, n.title, d.channel, d.recipient, d.endpoint_id, d.dispatch_id
HAVING count(*) > 1
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

# The fact on a settled total of a period that was running when it was marked, against what was told.
_LIMITS: Final = f"""
SELECT a.key, w.key, m.key, t.period, t.quantity, t.hard_limit, coalesce(s.is_reached, false)
  FROM usage_usagetotal t
  JOIN usage_period p ON p.account_id = t.account_id AND p.starts_at = t.period
  JOIN usage_account a ON a.id = t.account_id
  JOIN usage_workspace w ON w.id = t.workspace_id
  JOIN usage_metric m ON m.id = t.metric_id
  LEFT JOIN alerts_limitstate s ON s.account_id = t.account_id AND s.workspace_id = t.workspace_id
                               AND s.metric_id = t.metric_id
 WHERE t.evaluated_seq = t.seq AND t.next_level IS DISTINCT FROM 0 AND t.evaluated_at < p.ends_at
   AND coalesce(s.period <= t.period AND s.told_at < p.ends_at, true)
   AND coalesce(t.quantity >= t.hard_limit, false)
       <> coalesce(s.is_reached AND s.period = t.period AND s."limit" = t.hard_limit, false)
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants


def every_reached_level_has_fired() -> list[str]:
    """9 i, 3.2: a total that evaluation marked has no reached level of its alert untold."""
    return [
        f"{metric} in {account}/{workspace}, period {period:%Y-%m-%d}: {level}% of {threshold} reached at {quantity}, "
        "not fired"
        for account, workspace, metric, period, level, threshold, quantity in _rows(_UNFIRED)
    ]


def every_firing_is_told() -> list[str]:
    """9 i: the highest firing of each rule, scope, period and threshold has its notification."""
    return [
        f"{rule} of {account}/{workspace or '-'}/{metric or '-'}, period {period:%Y-%m-%d}: {level}% of {threshold} "
        "fired and never told"
        for account, rule, workspace, metric, period, threshold, level in _rows(_UNTOLD)
    ]


def nobody_is_told_twice() -> list[str]:
    """3.2: a notification has one delivery for each recipient."""
    return [
        f"{account}: “{title}” has {count} deliveries to {recipient}"
        for account, title, recipient, count in _rows(_TWICE)
    ]


def limits_are_told_as_they_are() -> list[str]:
    """9 j: what was last told of a limit is the fact on the total, once evaluation has looked."""
    return [
        f"{metric} in {account}/{workspace}, period {period:%Y-%m-%d}: {quantity} of limit {limit}, told as "
        f"{'reached' if was_told else 'clear'}"
        for account, workspace, metric, period, quantity, limit, was_told in _rows(_LIMITS)
    ]


CHECKS: Final[tuple[Callable[[], Iterable[str]], ...]] = (
    every_reached_level_has_fired,
    every_firing_is_told,
    nobody_is_told_twice,
    limits_are_told_as_they_are,
)


def _rows(query: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())
