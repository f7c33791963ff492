"""Totals and days worked out anew from the events, which are the only truth (spec 9 b, m).

What they should be is said once here: `rebuild_usage` writes it, and the checks of `usage.invariants` compare with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.db import connection, transaction

from usage.models import Metric, UsageDay, Workspace
from usage.services.audit import Actor, record
from usage.services.locks import lock_account
from usage.services.seats import days_of_reports, recompute_days
from usage.signals import usage_corrected

# Per workspace, metric and period: what the events, the open reservations and the limits say. %(account)s NULL = all.
EXPECTED_TOTALS: Final = """
SELECT k.account_id, k.workspace_id, k.metric_id, k.period,
       coalesce(e.quantity, 0) AS quantity, coalesce(e.quantity_in_time, 0) AS quantity_in_time,
       coalesce(r.quantity, 0) AS reserved, l.quantity AS hard_limit, e.last_received_at
  FROM (
        SELECT account_id, workspace_id, metric_id, period FROM usage_usagetotal
         WHERE %(account)s::bigint IS NULL OR account_id = %(account)s
        UNION
        SELECT e.account_id, e.workspace_id, e.metric_id, e.period FROM usage_usageevent e
          JOIN usage_metric m ON m.id = e.metric_id AND m.kind <> 'level'
         WHERE %(account)s::bigint IS NULL OR e.account_id = %(account)s
       ) AS k
  LEFT JOIN (
        SELECT e.account_id, e.workspace_id, e.metric_id, e.period, sum(e.quantity) AS quantity,
               sum(e.quantity) FILTER (WHERE e.received_at < p.ends_at) AS quantity_in_time,
               max(e.received_at) AS last_received_at
          FROM usage_usageevent e
          LEFT JOIN usage_period p ON p.account_id = e.account_id AND p.starts_at = e.period
         WHERE %(account)s::bigint IS NULL OR e.account_id = %(account)s
         GROUP BY e.account_id, e.workspace_id, e.metric_id, e.period
       ) AS e USING (account_id, workspace_id, metric_id, period)
  LEFT JOIN (
        SELECT account_id, workspace_id, metric_id, period, sum(quantity) AS quantity
          FROM usage_reservation
         WHERE state = 'open' AND (%(account)s::bigint IS NULL OR account_id = %(account)s)
         GROUP BY account_id, workspace_id, metric_id, period
       ) AS r USING (account_id, workspace_id, metric_id, period)
  LEFT JOIN LATERAL (
        SELECT u.quantity FROM usage_usagelimit u
         WHERE u.account_id = k.account_id AND u.workspace_id = k.workspace_id AND u.metric_id = k.metric_id
           AND u.from_period <= k.period
         ORDER BY u.from_period DESC LIMIT 1
       ) AS l ON true
"""

EXPECTED_DAYS: Final = """
SELECT e.account_id, e.workspace_id, e.metric_id, e.period, e.day, sum(e.quantity) AS quantity
  FROM usage_usageevent e JOIN usage_metric m ON m.id = e.metric_id AND m.kind <> 'level'
 WHERE %(account)s::bigint IS NULL OR e.account_id = %(account)s
 GROUP BY e.account_id, e.workspace_id, e.metric_id, e.period, e.day
"""

# Rows that are right stay untouched; changed ones are looked at by the next evaluation.
_WRITE_TOTALS: Final = f"""
INSERT INTO usage_usagetotal AS t (account_id, workspace_id, metric_id, period, quantity, quantity_in_time, reserved,
                                   hard_limit, seq, evaluated_seq, next_level, last_received_at)
SELECT account_id, workspace_id, metric_id, period, quantity, quantity_in_time, reserved, hard_limit, 1, 0, 0,
       coalesce(last_received_at, period)
  FROM ({EXPECTED_TOTALS}) AS expected
 ORDER BY account_id, workspace_id, metric_id, period
ON CONFLICT (account_id, workspace_id, metric_id, period) DO UPDATE
   SET quantity = EXCLUDED.quantity, quantity_in_time = EXCLUDED.quantity_in_time, reserved = EXCLUDED.reserved,
       hard_limit = EXCLUDED.hard_limit, seq = t.seq + 1, next_level = 0,
       last_received_at = greatest(t.last_received_at, EXCLUDED.last_received_at)
 WHERE (t.quantity, t.quantity_in_time, t.reserved, t.hard_limit)
       IS DISTINCT FROM (EXCLUDED.quantity, EXCLUDED.quantity_in_time, EXCLUDED.reserved, EXCLUDED.hard_limit)
"""  # noqa: S608 - constants of this module

_WRITE_DAYS: Final = f"""
INSERT INTO usage_usageday AS d (account_id, workspace_id, metric_id, period, day, quantity)
SELECT account_id, workspace_id, metric_id, period, day, quantity FROM ({EXPECTED_DAYS}) AS expected
 ORDER BY account_id, workspace_id, metric_id, period, day
ON CONFLICT (account_id, workspace_id, metric_id, period, day) DO UPDATE SET quantity = EXCLUDED.quantity
 WHERE d.quantity <> EXCLUDED.quantity
"""  # noqa: S608 - constants of this module

_DROP_DAYS: Final = """
DELETE FROM usage_usageday d USING usage_metric m
 WHERE m.id = d.metric_id AND m.kind <> 'level' AND d.account_id = %(account)s
   AND NOT EXISTS (SELECT FROM usage_usageevent e
                    WHERE e.account_id = d.account_id AND e.workspace_id = d.workspace_id AND e.metric_id = d.metric_id
                      AND e.period = d.period AND e.day = d.day)
"""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """How many rows were wrong and were put right; 0 on a healthy installation."""

    totals: int
    days: int


@transaction.atomic
def rebuild_account(*, account_id: int, by: Actor) -> Rebuilt:
    """Make the account's totals and days equal to its events, reservations and limits.

    Holds the account's lock: ingest of this account waits meanwhile, that of the others goes on. What was wrong is
    looked at by the next evaluation, and an audit entry is left.
    """
    lock_account(account_id)
    arguments = {"account": account_id}
    totals = _write(_WRITE_TOTALS, arguments)
    days = _write(_WRITE_DAYS, arguments) + _write(_DROP_DAYS, arguments)
    for metric in Metric.objects.filter(kind=Metric.Kind.LEVEL):
        for workspace in Workspace.objects.filter(account_id=account_id):
            days += _rebuild_level(account_id, workspace.pk, metric.pk)
    if totals or days:
        record(
            by=by,
            action="usage.rebuilt",
            subject="totals and days",
            account=account_id,
            after={"totals": totals, "days": days},
        )
        usage_corrected.send(sender=None, account_id=account_id)
    return Rebuilt(totals=totals, days=days)


def _rebuild_level(account_id: int, workspace_id: int, metric_id: int) -> int:
    wrong = wrong_level_days(account_id=account_id, workspace_id=workspace_id, metric_id=metric_id)
    if wrong:
        recompute_days(account_id=account_id, workspace_id=workspace_id, metric_id=metric_id)
    return len(wrong)


def wrong_level_days(*, account_id: int, workspace_id: int, metric_id: int) -> list[tuple[Any, Any, Any]]:
    """((period, day), stored, expected) of a level metric's days that differ from its reports; None = there is none."""
    line = {"account_id": account_id, "workspace_id": workspace_id, "metric_id": metric_id}
    expected = days_of_reports(**line)
    stored = {(row.period, row.day): (row.quantity, row.level) for row in UsageDay.objects.filter(**line)}
    return [
        (place, stored.get(place), expected.get(place))
        for place in sorted(expected.keys() | stored.keys())
        if stored.get(place) != expected.get(place)
    ]


def _write(query: str, arguments: dict[str, Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return int(cursor.rowcount)
