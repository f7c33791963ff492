"""Who must be told (spec 3, 4.4; Data 7, 8): compares totals with the levels in force and writes what was reached.

One transaction: firings (`ON CONFLICT DO NOTHING`), the notifications and deliveries that tell of them, and last the
mark that nothing is left to tell. Nothing is claimed. Two evaluations at once decide the same, because a firing can be
written only once; a crash rolls all of it back and the next evaluation decides again. The mark proves itself: the
statement that sets it looks once more, on its own snapshot, whether anything reached is still untold, and skips every
row that changed meanwhile. Such rows make the evaluation repeat.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from django_q.tasks import async_task
from psycopg.errors import DeadlockDetected, SerializationFailure

from alerts.models import Firing, Notification
from alerts.services import limit_states, spend
from alerts.services.outbox import News, tell
from usage.faultpoints import reach
from usage.services.periods import open_period

log = logging.getLogger(__name__)

REPEATS: Final = 5  # while rows change under the evaluation; what is left then is queued again
TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Scope:
    """Which totals: of these accounts (None = all), of one metric (None = all), sandbox accounts too or not."""

    account_ids: tuple[int, ...] | None = None
    metric_id: int | None = None
    include_sandbox: bool = False

    @property
    def params(self) -> dict[str, Any]:
        return {
            "accounts": None if self.account_ids is None else list(self.account_ids),
            "metric": self.metric_id,
            "sandbox": self.include_sandbox,
        }


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an evaluation did: firings written, messages decided; what it could not settle: totals that changed under
    it, accounts whose running period is not opened yet."""

    firings: int = 0
    messages: int = 0
    unsettled: int = 0
    unopened: tuple[int, ...] = ()

    def plus(self, other: Evaluated) -> Evaluated:
        """Both together; what is left as of the later one."""
        return replace(other, firings=self.firings + other.firings, messages=self.messages + other.messages)


# The totals that somebody must look at, with everything beside them that shares their pool.
_TOTALS = """
touched AS MATERIALIZED (
    SELECT DISTINCT t.account_id, t.metric_id, t.period
      FROM usage_usagetotal t JOIN usage_account a ON a.id = t.account_id
     WHERE (t.evaluated_seq < t.seq OR t.next_level = 0)
       AND (%(accounts)s::bigint[] IS NULL OR t.account_id = ANY(%(accounts)s::bigint[]))
       AND (%(metric)s::bigint IS NULL OR t.metric_id = %(metric)s)
       AND (%(sandbox)s OR NOT a.is_sandbox)
), totals AS MATERIALIZED (
    SELECT t.account_id, t.workspace_id, t.metric_id, t.period, t.quantity, t.quantity_in_time, t.hard_limit, t.seq,
           t.evaluated_seq, t.next_level, p.ends_at <= %(now)s AS is_over
      FROM touched c
      JOIN usage_usagetotal t ON t.account_id = c.account_id AND t.metric_id = c.metric_id AND t.period = c.period
      JOIN usage_period p ON p.account_id = c.account_id AND p.starts_at = c.period
), pools AS MATERIALIZED (
    SELECT account_id, metric_id, period, sum(quantity_in_time) AS quantity FROM totals GROUP BY 1, 2, 3
),"""

# Levels in force, in stored units. Only usage received before the period's end counts (spec 3.6); a baseline holds in
# the period in which its row came into force, later periods begin at 0 (spec 3.4).
_OWN_ALERT = """
           SELECT u.threshold, u.also_50_80, CASE WHEN u.from_period = t.period THEN u.baseline ELSE 0 END AS baseline
             FROM alerts_usagealert u
            WHERE u.account_id = t.account_id AND u.workspace_id = t.workspace_id AND u.metric_id = t.metric_id
              AND u.from_period <= t.period
            ORDER BY u.from_period DESC LIMIT 1"""
_OWN_LEVELS = f"""
own_levels AS (
    SELECT t.account_id, t.workspace_id, t.metric_id, t.period, t.quantity_in_time AS quantity, u.threshold, u.baseline,
           l.level, u.threshold * l.level / 100 AS reached_at
      FROM totals t
     CROSS JOIN LATERAL ({_OWN_ALERT}) u
      JOIN (VALUES (50), (80), (100)) AS l (level) ON l.level = 100 OR u.also_50_80
     WHERE u.threshold IS NOT NULL
),"""  # noqa: S608  fragments of this file
_PLAN_LEVELS = """
plan_levels AS (
    SELECT p.account_id, p.metric_id, p.period, p.quantity, i.included AS threshold,
           CASE WHEN s.period = p.period THEN s.baseline ELSE 0 END AS baseline, l.level,
           i.included * l.level / 100 AS reached_at
      FROM pools p
      JOIN usage_metric m ON m.id = p.metric_id AND m.supports_alerts
     CROSS JOIN LATERAL (
           SELECT i.included * m.unit_size AS included,
                  i.is_active AND NOT i.is_unlimited AND i.included > 0 AS has_levels
             FROM billing_periodterms i
            WHERE i.account_id = p.account_id AND i.metric_id = p.metric_id AND i.from_period <= p.period
            ORDER BY i.from_period DESC LIMIT 1) i
      LEFT JOIN alerts_planalertswitch s ON s.account_id = p.account_id AND s.metric_id = p.metric_id
     CROSS JOIN (VALUES (80), (90), (100)) AS l (level)
     WHERE i.has_levels AND coalesce(s.is_on, true)
),"""

_FIRED_OWN = """EXISTS (
    SELECT 1 FROM alerts_firing f
     WHERE f.account_id = o.account_id AND f.rule = 'usage_alert' AND f.workspace_id = o.workspace_id
       AND f.metric_id = o.metric_id AND f.period = o.period AND f.level = o.level AND f.threshold = o.threshold)"""
_FIRED_PLAN = """EXISTS (
    SELECT 1 FROM alerts_firing f
     WHERE f.account_id = o.account_id AND f.rule = 'plan_alert' AND f.workspace_id IS NULL
       AND f.metric_id = o.metric_id AND f.period = o.period AND f.level = o.level AND f.threshold = o.threshold)"""

# The planner cannot know how many rows a common table expression gives. For all accounts at once, and for that
# transaction alone, joins are made in memory: by hash, where it would have guessed few rows and compared every one with
# every other.
_FOR_ALL = "SET LOCAL work_mem = '64MB'; SET LOCAL enable_nestloop = off; SET LOCAL enable_mergejoin = off"

# Inserted in one order everywhere, so that two evaluations never wait for each other in a circle.
_FIRE = f"""
WITH {_TOTALS} {_OWN_LEVELS} {_PLAN_LEVELS}
reached AS (
    SELECT 'usage_alert' AS rule, o.account_id, o.workspace_id, o.metric_id, o.period, o.level, o.threshold, o.quantity,
           o.baseline
      FROM own_levels o
     WHERE o.reached_at > o.baseline AND o.reached_at <= o.quantity AND NOT {_FIRED_OWN}
     UNION ALL
    SELECT 'plan_alert', o.account_id, NULL, o.metric_id, o.period, o.level, o.threshold, o.quantity, o.baseline
      FROM plan_levels o
     WHERE o.reached_at > o.baseline AND o.reached_at <= o.quantity AND NOT {_FIRED_PLAN}
)
INSERT INTO alerts_firing (rule, account_id, workspace_id, metric_id, period, level, threshold, quantity, baseline,
                           fired_at)
SELECT r.*, %(now)s FROM reached r
 ORDER BY account_id, rule, workspace_id, metric_id, period, level, threshold
ON CONFLICT DO NOTHING
RETURNING rule, account_id, workspace_id, metric_id, period, level, threshold, quantity
"""  # noqa: S608  fragments of this file

# `next_level` (Data 7): the own quantity at which somebody must be told next. A pool's level is shared out among the
# workspaces: if the pool reaches it, one of them has reached its part, because all parts are computed at one instant.
# Rows are locked in key order, as counting does, so that the two never wait for each other in a circle.
_SETTLE = f"""
WITH {_TOTALS} {_PLAN_LEVELS}
plan AS (
    SELECT o.account_id, o.metric_id, o.period,
           (min(o.reached_at) FILTER (WHERE o.reached_at > o.baseline AND o.reached_at > o.quantity) - min(o.quantity))
           / (SELECT count(*) FROM usage_workspace w WHERE w.account_id = o.account_id) AS part,
           bool_or(o.reached_at > o.baseline AND o.reached_at <= o.quantity AND NOT {_FIRED_PLAN}) AS is_left
      FROM plan_levels o GROUP BY 1, 2, 3
), wanted AS MATERIALIZED (
    SELECT t.account_id, t.workspace_id, t.metric_id, t.period, t.seq,
           CASE WHEN NOT t.is_over THEN least(
               trunc(own.next_level, 6),
               -- greatest() passes over NULL, which here means: nobody is to be told of the pool.
               CASE WHEN plan.part IS NOT NULL THEN t.quantity + greatest(trunc(plan.part, 6), 0.000001) END,
               CASE WHEN t.hard_limit > t.quantity THEN t.hard_limit END) END AS next_level,
           coalesce(own.is_left, false) OR coalesce(plan.is_left, false) OR {limit_states.IS_LEFT} AS is_left,
           t.evaluated_seq, t.next_level AS old_level
      FROM totals t
      LEFT JOIN LATERAL ({_OWN_ALERT}) u ON true
      LEFT JOIN LATERAL (
           SELECT min(o.reached_at) FILTER (WHERE o.reached_at > greatest(o.baseline, o.quantity)) AS next_level,
                  bool_or(o.reached_at > o.baseline AND o.reached_at <= o.quantity AND NOT {_FIRED_OWN}) AS is_left
             FROM (SELECT t.account_id, t.workspace_id, t.metric_id, t.period, t.quantity_in_time AS quantity,
                          u.threshold, u.baseline, l.level, u.threshold * l.level / 100 AS reached_at
                     FROM (VALUES (50), (80), (100)) AS l (level) WHERE l.level = 100 OR u.also_50_80) o
           ) own ON true
      LEFT JOIN plan ON plan.account_id = t.account_id AND plan.metric_id = t.metric_id AND plan.period = t.period
      LEFT JOIN alerts_limitstate s ON s.account_id = t.account_id AND s.workspace_id = t.workspace_id
                                   AND s.metric_id = t.metric_id
), changing AS MATERIALIZED (
    SELECT * FROM wanted w WHERE w.is_left OR w.evaluated_seq < w.seq OR w.old_level IS DISTINCT FROM w.next_level
), locked AS MATERIALIZED (
    SELECT u.account_id, u.workspace_id, u.metric_id, u.period, w.seq, w.next_level
      FROM usage_usagetotal u
      JOIN changing w ON w.account_id = u.account_id AND w.workspace_id = u.workspace_id AND w.metric_id = u.metric_id
                     AND w.period = u.period AND w.seq = u.seq
     WHERE NOT w.is_left
     ORDER BY u.account_id, u.workspace_id, u.metric_id, u.period
       FOR NO KEY UPDATE OF u
), settled AS (
    UPDATE usage_usagetotal u SET evaluated_seq = w.seq, evaluated_at = %(now)s, next_level = w.next_level
      FROM locked w
     WHERE w.account_id = u.account_id AND w.workspace_id = u.workspace_id AND w.metric_id = u.metric_id
       AND w.period = u.period AND w.seq = u.seq
    RETURNING 1
)
SELECT (SELECT count(*) FROM changing) - (SELECT count(*) FROM settled)
"""  # noqa: S608  fragments of this file

_LOOK_AGAIN = """
WITH locked AS MATERIALIZED (
    SELECT account_id, workspace_id, metric_id, period FROM usage_usagetotal
     WHERE account_id = %(account)s AND period >= %(from_period)s
       AND (%(metric)s::bigint IS NULL OR metric_id = %(metric)s)
     ORDER BY account_id, workspace_id, metric_id, period
       FOR NO KEY UPDATE
)
UPDATE usage_usagetotal t SET next_level = 0, seq = t.seq + 1
  FROM locked l
 WHERE t.account_id = l.account_id AND t.workspace_id = l.workspace_id AND t.metric_id = l.metric_id
   AND t.period = l.period
"""


def evaluate(
    *, account_ids: Sequence[int] | None, now: datetime, include_sandbox: bool = False, metric_id: int | None = None
) -> Evaluated:
    """Tell whatever was reached and not told yet, of these accounts or (None) of all (spec 3, 4.4, 2.8).

    `now` is an aware instant: periods that have ended by then are still told of what was received in time, and limits
    reached in them are told and cleared. Sandbox accounts are left out unless `include_sandbox`. Repeats while totals
    change under it; called inside a transaction, it is part of it. Nothing is raised for what it finds.
    """
    scope = Scope(None if account_ids is None else tuple(account_ids), metric_id, include_sandbox)
    done = Evaluated()
    for _ in range(REPEATS):
        done = done.plus(_evaluate_patiently(scope=scope, now=now))
        reach("evaluate.after_commit")
        # Outside the evaluation's transaction, because opening takes the account's lock.
        for account_id in done.unopened:
            open_period(account_id=account_id, at=now)
        if not done.unsettled and not done.unopened:
            break
    return done


def evaluate_each(*, account_ids: Sequence[int], now: datetime, include_sandbox: bool = False) -> Evaluated:
    """`evaluate` account by account: one whose message cannot be written does not keep the others from being told."""
    done = Evaluated()
    for account_id in account_ids:
        try:
            done = done.plus(evaluate(account_ids=[account_id], now=now, include_sandbox=include_sandbox))
        except DatabaseError:
            raise
        except Exception:
            log.exception("account %s could not be evaluated", account_id)
            done = replace(done, unsettled=done.unsettled + 1)
    return done


@transaction.atomic
def evaluate_limits(*, account_ids: Sequence[int] | None, now: datetime, include_sandbox: bool = False) -> Evaluated:
    """Compare every hard limit with what was last told, and tell the difference (spec 2.8, 4.3, 4.4). Aware `now`."""
    scope = Scope(None if account_ids is None else tuple(account_ids), None, include_sandbox)
    firings, news = limit_states.tell_transitions(params=scope.params, now=now)
    tell(news, now=now)
    return Evaluated(firings=firings, messages=len(news))


def _evaluate_patiently(*, scope: Scope, now: datetime) -> Evaluated:
    """Again when PostgreSQL broke a circle of waiting; inside a caller's transaction that is the caller's business."""
    for _ in range(TRIES - 1):
        try:
            return _evaluate_once(scope=scope, now=now)
        except OperationalError as error:
            if connection.in_atomic_block or not isinstance(error.__cause__, DeadlockDetected | SerializationFailure):
                raise
            log.info("an evaluation gave way to another and starts again")
    return _evaluate_once(scope=scope, now=now)


@transaction.atomic
def _evaluate_once(*, scope: Scope, now: datetime) -> Evaluated:
    params = {**scope.params, "now": now}
    with connection.cursor() as cursor:
        if scope.account_ids is None:
            cursor.execute(f"{_FOR_ALL}; {_FIRE}", params)
            while cursor.nextset():
                pass  # the answers of SET; the last one is the query's
        else:
            cursor.execute(_FIRE, params)
        fired = cursor.fetchall()
    reach("evaluate.after_firings")
    news = _news_of(fired, now=now)
    spent = spend.tell_spend(params=scope.params, now=now) if scope.metric_id is None else spend.SpendTold()
    limit_firings, limit_news = limit_states.tell_transitions(params=scope.params, now=now)
    news += [*spent.news, *limit_news]
    tell(news, now=now)
    reach("evaluate.after_messages")
    with connection.cursor() as cursor:
        cursor.execute(_SETTLE, params)
        row = cursor.fetchone()
    reach("evaluate.before_commit")
    return Evaluated(len(fired) + spent.firings + limit_firings, len(news), row[0] if row else 0, spent.unopened)


def _news_of(fired: Sequence[tuple[Any, ...]], *, now: datetime) -> list[News]:
    """One message for everything that one rule reached at once: the highest level speaks for the others (spec 3.2)."""
    highest: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for row in fired:
        rule, account, workspace, metric, period, level, threshold, _ = row
        key = (rule, account, workspace, metric, period, threshold)
        if key not in highest or highest[key][5] < level:
            highest[key] = row
    return [
        News(
            kind=Notification.Kind.USAGE_ALERT if rule == Firing.Rule.USAGE_ALERT else Notification.Kind.PLAN_ALERT,
            account_id=account,
            workspace_id=workspace,
            metric_id=metric,
            period=period,
            level=level,
            threshold=threshold,
            quantity=quantity,
            at=now,
            once=f"{period.isoformat()}:{level}:{threshold.normalize():f}",
        )
        for rule, account, workspace, metric, period, level, threshold, quantity in highest.values()
    ]


def queue_evaluation(account_id: int) -> None:
    """Have the account evaluated as soon as the running transaction commits; with LIVE_EVALUATION off the sweeps do it.

    The queue row is part of the transaction (spec 2.8, Data 7).
    """
    if settings.LIVE_EVALUATION:
        async_task("alerts.jobs.evaluate_account", account_id)


def look_again(*, account_id: int, metric_id: int | None = None, from_period: datetime) -> int:
    """Mark totals of the account as not evaluated, from a period on, because the levels beside them changed (Data 7).

    `seq` grows, so that an evaluation that read the old levels cannot mark them. Returns how many.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LOOK_AGAIN, {"account": account_id, "metric": metric_id, "from_period": from_period})
        return int(cursor.rowcount)
