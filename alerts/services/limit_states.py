"""Hard limits: the fact on the total against what was last told (spec 4.3, 4.4).

The fact is `quantity >= hard_limit` on the running period's total, or a limit of 0 where nothing was used yet. What was
told stands in LimitState. A difference is decided under that row's lock, from facts read after it was taken, so that
two evaluations tell one transition once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import connection

from alerts.models import Firing, LimitState, Notification
from alerts.services.firings import FiringRow, fire
from alerts.services.news import News

# Whether a total (t) of a pool (c) with its LimitState (s) has something left to be told: part of evaluation's mark.
IS_LEFT: Final = """CASE
    WHEN c.is_over THEN coalesce(t.quantity_in_time >= t.hard_limit, false) AND t.evaluated_seq < t.seq AND NOT EXISTS (
        SELECT 1 FROM alerts_firing f
         WHERE f.account_id = t.account_id AND f.rule = 'limit' AND f.workspace_id = t.workspace_id
           AND f.metric_id = t.metric_id AND f.period = t.period AND f.threshold = t.hard_limit)
    ELSE coalesce(t.quantity >= t.hard_limit, false)
         <> coalesce(s.is_reached AND s.period = t.period AND s."limit" = t.hard_limit, false)
    END"""

# The differences, by kind: `late` = reached in time in a period that has ended, never told; `reached`; `cleared`.
# Beside each the running period (NULL = not opened yet), what is used in it, and whether the account goes on: that is
# where the agent is on again.
_DIFFERENCES: Final = """
WITH lines AS MATERIALIZED (
    SELECT DISTINCT l.account_id, l.workspace_id, l.metric_id, coalesce(a.ended_at > %(now)s, true) AS goes_on
      FROM usage_usagelimit l JOIN usage_account a ON a.id = l.account_id
     WHERE (%(sandbox)s OR NOT a.is_sandbox)
       AND (%(accounts)s::bigint[] IS NULL OR l.account_id = ANY(%(accounts)s::bigint[]))
       AND (%(metric)s::bigint IS NULL OR l.metric_id = %(metric)s)
), reached AS MATERIALIZED (
    SELECT l.account_id, l.workspace_id, l.metric_id, p.starts_at AS period,
           CASE WHEN t.account_id IS NULL THEN f.quantity ELSE t.hard_limit END AS hard_limit,
           coalesce(t.quantity, 0) AS quantity
      FROM lines l
      JOIN usage_period p ON p.account_id = l.account_id AND p.starts_at <= %(now)s AND p.ends_at > %(now)s
      LEFT JOIN usage_usagetotal t ON t.account_id = l.account_id AND t.workspace_id = l.workspace_id
                                  AND t.metric_id = l.metric_id AND t.period = p.starts_at
      LEFT JOIN LATERAL (
           SELECT f.quantity FROM usage_usagelimit f
            WHERE f.account_id = l.account_id AND f.workspace_id = l.workspace_id AND f.metric_id = l.metric_id
              AND f.from_period <= p.starts_at
            ORDER BY f.from_period DESC LIMIT 1) f ON true
     WHERE CASE WHEN t.account_id IS NULL THEN f.quantity = 0 ELSE t.quantity >= t.hard_limit END
)
SELECT 'late' AS kind, t.account_id, t.workspace_id, t.metric_id, t.period, t.hard_limit AS "limit",
       t.quantity_in_time AS quantity, running.starts_at AS running,
       coalesce(now_on.quantity, 0) AS used, l.goes_on
  FROM lines l
  JOIN usage_usagetotal t ON t.account_id = l.account_id AND t.workspace_id = l.workspace_id
                         AND t.metric_id = l.metric_id
  JOIN usage_period p ON p.account_id = t.account_id AND p.starts_at = t.period
  LEFT JOIN usage_period running ON running.account_id = t.account_id AND running.starts_at <= %(now)s
                                AND running.ends_at > %(now)s
  LEFT JOIN usage_usagetotal now_on ON now_on.account_id = t.account_id AND now_on.workspace_id = t.workspace_id
                                   AND now_on.metric_id = t.metric_id AND now_on.period = running.starts_at
 WHERE t.evaluated_seq < t.seq AND p.ends_at <= %(now)s AND t.quantity_in_time >= t.hard_limit
   AND NOT EXISTS (
       SELECT 1 FROM alerts_firing f
        WHERE f.account_id = t.account_id AND f.rule = 'limit' AND f.workspace_id = t.workspace_id
          AND f.metric_id = t.metric_id AND f.period = t.period AND f.threshold = t.hard_limit)
 UNION ALL
SELECT 'reached', r.account_id, r.workspace_id, r.metric_id, r.period, r.hard_limit, r.quantity, r.period, r.quantity,
       true
  FROM reached r
  LEFT JOIN alerts_limitstate s ON s.account_id = r.account_id AND s.workspace_id = r.workspace_id
                               AND s.metric_id = r.metric_id
 WHERE NOT coalesce(s.is_reached AND s.period = r.period AND s."limit" = r.hard_limit, false)
 UNION ALL
-- Cleared: told as reached, and not so now. Where the running period is not opened yet nothing is used in it, and only
-- a limit of 0 that still holds keeps the agent off. After the account's end nothing is on again.
SELECT 'cleared', s.account_id, s.workspace_id, s.metric_id, coalesce(p.starts_at, s.period), now_on.hard_limit,
       coalesce(now_on.quantity, 0), p.starts_at, coalesce(now_on.quantity, 0), true
  FROM alerts_limitstate s
  JOIN usage_account a ON a.id = s.account_id AND coalesce(a.ended_at > %(now)s, true)
  LEFT JOIN usage_period p ON p.account_id = s.account_id AND p.starts_at <= %(now)s AND p.ends_at > %(now)s
  LEFT JOIN usage_usagetotal now_on ON now_on.account_id = s.account_id AND now_on.workspace_id = s.workspace_id
                                   AND now_on.metric_id = s.metric_id AND now_on.period = p.starts_at
 WHERE s.is_reached AND (%(sandbox)s OR NOT a.is_sandbox)
   AND (%(accounts)s::bigint[] IS NULL OR s.account_id = ANY(%(accounts)s::bigint[]))
   AND (%(metric)s::bigint IS NULL OR s.metric_id = %(metric)s)
   AND NOT EXISTS (
       SELECT 1 FROM reached x
        WHERE x.account_id = s.account_id AND x.workspace_id = s.workspace_id AND x.metric_id = s.metric_id)
   AND (now_on.account_id IS NOT NULL OR coalesce((
       SELECT l.quantity FROM usage_usagelimit l
        WHERE l.account_id = s.account_id AND l.workspace_id = s.workspace_id AND l.metric_id = s.metric_id
          AND l.from_period <= %(now)s
        ORDER BY l.from_period DESC LIMIT 1) <> 0, true))
 ORDER BY account_id, workspace_id, metric_id, period
"""


@dataclass(frozen=True, slots=True)
class _Difference:
    kind: str
    account_id: int
    workspace_id: int
    metric_id: int
    period: datetime
    limit: Decimal | None
    quantity: Decimal
    running: datetime | None
    used: Decimal
    goes_on: bool

    @property
    def waits(self) -> bool:
        """Whether the agent is on again in a period that is not opened yet."""
        return self.goes_on and self.running is None

    @property
    def key(self) -> tuple[int, int, int]:
        return self.account_id, self.workspace_id, self.metric_id


@dataclass(frozen=True, slots=True)
class LimitsTold:
    """Firings written, what to tell in order, and the accounts whose running period must be opened before it can be
    told that their agents are on again in it."""

    firings: int = 0
    news: tuple[News, ...] = ()
    unopened: tuple[int, ...] = ()


def tell_transitions(*, params: dict[str, Any], now: datetime) -> LimitsTold:
    """Write the firings and states of all limits that were reached or cleared.

    `params` is the evaluation's scope. Must run inside a transaction; the caller tells the news in it. Aware `now`.
    """
    if not (seen := _differences(params, now)):
        return LimitsTold()
    states = _lock_states({difference.key for difference in seen}, now=now)
    # What was read before the locks may have been told by somebody else meanwhile.
    found = [difference for difference in _differences(params, now) if difference.key in states]
    unopened = tuple(sorted({difference.account_id for difference in found if difference.waits}))
    differences = [difference for difference in found if difference.kind != "cleared" or not difference.waits]
    fired = fire(
        [
            FiringRow(
                rule=Firing.Rule.LIMIT,
                account_id=d.account_id,
                workspace_id=d.workspace_id,
                metric_id=d.metric_id,
                period=d.period,
                level=100,
                threshold=d.limit,
                quantity=d.quantity,
            )
            for d in differences
            if d.kind != "cleared" and d.limit is not None
        ],
        now=now,
    )
    mailed = {(row.account_id, row.workspace_id, row.metric_id, row.period, row.threshold) for row in fired}
    news: list[News] = []
    for key in sorted({difference.key for difference in differences}):
        for difference in _in_order([d for d in differences if d.key == key]):
            state = states[key]
            is_reached = difference.kind != "cleared"
            news.append(
                News(
                    kind=Notification.Kind.LIMIT_REACHED if is_reached else Notification.Kind.LIMIT_CLEARED,
                    account_id=difference.account_id,
                    workspace_id=difference.workspace_id,
                    metric_id=difference.metric_id,
                    period=difference.period,
                    level=None,
                    threshold=difference.limit if is_reached else state.limit,
                    quantity=difference.quantity,
                    at=now,
                    once=f"{state.pk}:{state.changes + 1}",
                    # One e-mail per limit value and period, however often it flips (spec 4.4).
                    has_email=is_reached and (*key, difference.period, difference.limit) in mailed,
                )
            )
            state.is_reached = is_reached
            state.period = difference.period
            state.limit = difference.limit if is_reached else state.limit
            state.quantity = difference.quantity
            state.told_at = now
            state.changes += 1
    LimitState.objects.bulk_update(
        [states[key] for key in {difference.key for difference in differences}],
        ["is_reached", "period", "limit", "quantity", "told_at", "changes"],
    )
    return LimitsTold(len(fired), tuple(news), unopened)


def _differences(params: dict[str, Any], now: datetime) -> list[_Difference]:
    with connection.cursor() as cursor:
        cursor.execute(_DIFFERENCES, {**params, "now": now})
        return [_Difference(*row) for row in cursor.fetchall()]


def _lock_states(keys: set[tuple[int, int, int]], *, now: datetime) -> dict[tuple[int, int, int], LimitState]:
    ordered = sorted(keys)
    LimitState.objects.bulk_create(
        [
            LimitState(account_id=a, workspace_id=w, metric_id=m, period=now, limit=None, quantity=0, told_at=now)
            for a, w, m in ordered
        ],
        ignore_conflicts=True,
    )
    rows = LimitState.objects.filter(
        workspace_id__in={w for _, w, _ in ordered}, metric_id__in={m for *_, m in ordered}
    )
    locked = rows.order_by("account_id", "workspace_id", "metric_id").select_for_update()
    return {key: row for row in locked if (key := (row.account_id, row.workspace_id, row.metric_id)) in keys}


def _in_order(differences: Sequence[_Difference]) -> list[_Difference]:
    """Late ones first, by period. What was reached in an ended period is followed by its clearing, unless the running
    period has reached its own limit by now: a flip back that nobody saw is not told (spec 4.4)."""
    late = [d for d in differences if d.kind == "late"]
    rest = [d for d in differences if d.kind != "late"]
    if late and not rest and (last := late[-1]).running is not None:
        rest = [replace(last, kind="cleared", period=last.running, quantity=last.used)]
    return [*late, *rest]
