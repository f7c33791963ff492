"""The statements of an evaluation (Data 7, 8). Each is one look at the database; what they do together is `evaluate`'s.

They start from the pools that were touched and go outward by index, so that they cost what changed and nothing else.
"""

from __future__ import annotations

from typing import Final

from alerts.services.limit_states import IS_LEFT

# The pools (account, metric, period) with a total that nobody has looked at. Over all accounts only of periods that run
# or ended a while ago: what arrives later for older ones never alerts (spec 3.6).
TOUCHED_ANYWHERE: Final = """
SELECT DISTINCT t.account_id, t.metric_id, t.period
  FROM usage_period p
  JOIN usage_account a ON a.id = p.account_id
  JOIN usage_usagetotal t ON t.account_id = p.account_id AND t.period = p.starts_at
 WHERE p.ends_at > %(now)s::timestamptz - interval '35 days' AND (%(sandbox)s OR NOT a.is_sandbox)
   AND (t.evaluated_seq < t.seq OR t.next_level = 0)
   AND (%(metric)s::bigint IS NULL OR t.metric_id = %(metric)s)
 ORDER BY 1, 2, 3
"""
TOUCHED_IN: Final = """
SELECT DISTINCT t.account_id, t.metric_id, t.period
  FROM usage_usagetotal t JOIN usage_account a ON a.id = t.account_id
 WHERE t.account_id = ANY(%(accounts)s::bigint[]) AND (%(sandbox)s OR NOT a.is_sandbox)
   AND (t.evaluated_seq < t.seq OR t.next_level = 0)
   AND (%(metric)s::bigint IS NULL OR t.metric_id = %(metric)s)
 ORDER BY 1, 2, 3
"""

# The touched pools with what is used of them in time and, where plan alerts are on, the included amount in stored
# units.
_POOLS = """
pools AS MATERIALIZED (
    SELECT c.account_id, c.metric_id, c.period, p.ends_at <= %(now)s AS is_over, used.quantity,
           CASE WHEN m.supports_alerts AND coalesce(s.is_on, true) THEN i.included END AS included,
           CASE WHEN s.period = c.period THEN s.baseline ELSE 0 END AS baseline
      FROM unnest(%(pool_accounts)s::bigint[], %(pool_metrics)s::bigint[], %(pool_periods)s::timestamptz[])
           AS c (account_id, metric_id, period)
      JOIN usage_period p ON p.account_id = c.account_id AND p.starts_at = c.period
      JOIN usage_metric m ON m.id = c.metric_id
     CROSS JOIN LATERAL (
           SELECT sum(t.quantity_in_time) AS quantity FROM usage_usagetotal t
            WHERE t.account_id = c.account_id AND t.metric_id = c.metric_id AND t.period = c.period) used
      LEFT JOIN LATERAL (
           SELECT CASE WHEN i.is_active AND NOT i.is_unlimited AND i.included > 0 THEN i.included * m.unit_size END
                  AS included
             FROM billing_periodterms i
            WHERE i.account_id = c.account_id AND i.metric_id = c.metric_id AND i.from_period <= c.period
            ORDER BY i.from_period DESC LIMIT 1) i ON true
      LEFT JOIN alerts_planalertswitch s ON s.account_id = c.account_id AND s.metric_id = c.metric_id
),"""

# The alert in force. A baseline holds in the period in which its row came into force, later ones begin at 0 (spec 3.4).
_OWN_ALERT = """
           SELECT u.threshold, u.also_50_80, CASE WHEN u.from_period = t.period THEN u.baseline ELSE 0 END AS baseline
             FROM alerts_usagealert u
            WHERE u.account_id = t.account_id AND u.workspace_id = t.workspace_id AND u.metric_id = t.metric_id
              AND u.from_period <= t.period
            ORDER BY u.from_period DESC LIMIT 1"""

# Levels (o) with `reached_at` in stored units. Only usage received before the period's end counts (spec 3.6).
_OWN_LEVELS = """
           SELECT t.account_id, t.workspace_id, t.metric_id, t.period, t.quantity_in_time AS quantity, u.threshold,
                  u.baseline, l.level, u.threshold * l.level / 100 AS reached_at
             FROM (VALUES (50), (80), (100)) AS l (level)
            WHERE u.threshold IS NOT NULL AND (l.level = 100 OR u.also_50_80)"""
_PLAN_LEVELS = """
           SELECT c.account_id, c.metric_id, c.period, c.quantity, c.included AS threshold, c.baseline, l.level,
                  c.included * l.level / 100 AS reached_at
             FROM (VALUES (80), (90), (100)) AS l (level) WHERE c.included IS NOT NULL"""
# Cheap questions first: most totals are below their lowest level.
_IS_OWN_NEAR = "t.quantity_in_time >= u.threshold * CASE WHEN u.also_50_80 THEN 0.5 ELSE 1 END"
_IS_PLAN_NEAR = "c.quantity >= c.included * 0.8"

_FIRED = """EXISTS (
           SELECT 1 FROM alerts_firing f
            WHERE f.account_id = o.account_id AND f.rule = '{rule}' AND f.workspace_id {workspace}
              AND f.metric_id = o.metric_id AND f.period = o.period AND f.level = o.level
              AND f.threshold = o.threshold)"""
_FIRED_OWN = _FIRED.format(rule="usage_alert", workspace="= o.workspace_id")
_FIRED_PLAN = _FIRED.format(rule="plan_alert", workspace="IS NULL")

_TOTALS_OF_POOLS = """pools c
      JOIN usage_usagetotal t ON t.account_id = c.account_id AND t.metric_id = c.metric_id AND t.period = c.period"""

# Inserted in one order everywhere, so that two evaluations never wait for each other in a circle.
FIRE: Final = f"""
WITH {_POOLS}
reached AS (
    SELECT 'usage_alert' AS rule, o.account_id, o.workspace_id, o.metric_id, o.period, o.level, o.threshold, o.quantity,
           o.baseline
      FROM {_TOTALS_OF_POOLS}
     CROSS JOIN LATERAL ({_OWN_ALERT}) u
     CROSS JOIN LATERAL ({_OWN_LEVELS}) o
     WHERE {_IS_OWN_NEAR} AND o.reached_at > o.baseline AND o.reached_at <= o.quantity AND NOT {_FIRED_OWN}
     UNION ALL
    SELECT 'plan_alert', o.account_id, NULL, o.metric_id, o.period, o.level, o.threshold, o.quantity, o.baseline
      FROM pools c
     CROSS JOIN LATERAL ({_PLAN_LEVELS}) o
     WHERE {_IS_PLAN_NEAR} AND o.reached_at > o.baseline AND o.reached_at <= o.quantity AND NOT {_FIRED_PLAN}
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
# Only totals with nothing left to tell are marked, and only if they did not change since this statement looked. Rows
# are locked in key order, as counting does, so that the two never wait for each other in a circle.
SETTLE: Final = f"""
WITH {_POOLS}
shared AS MATERIALIZED (
    SELECT c.*,
           (least(CASE WHEN c.included * 0.8 > greatest(c.baseline, c.quantity) THEN c.included * 0.8 END,
                  CASE WHEN c.included * 0.9 > greatest(c.baseline, c.quantity) THEN c.included * 0.9 END,
                  CASE WHEN c.included > greatest(c.baseline, c.quantity) THEN c.included END) - c.quantity)
           / (SELECT count(*) FROM usage_workspace w WHERE w.account_id = c.account_id) AS part,
           {_IS_PLAN_NEAR} AND EXISTS (
               SELECT 1 FROM ({_PLAN_LEVELS}) o
                WHERE o.reached_at > o.baseline AND o.reached_at <= o.quantity AND NOT {_FIRED_PLAN}) AS is_left
      FROM pools c
), wanted AS MATERIALIZED (
    SELECT t.account_id, t.workspace_id, t.metric_id, t.period, t.seq, t.evaluated_seq, t.next_level AS old_level,
           CASE WHEN NOT c.is_over THEN least(
               CASE WHEN u.also_50_80 AND u.threshold * 0.5 > greatest(u.baseline, t.quantity_in_time)
                    THEN trunc(u.threshold * 0.5, 6) END,
               CASE WHEN u.also_50_80 AND u.threshold * 0.8 > greatest(u.baseline, t.quantity_in_time)
                    THEN trunc(u.threshold * 0.8, 6) END,
               CASE WHEN u.threshold > greatest(u.baseline, t.quantity_in_time) THEN u.threshold END,
               -- greatest() passes over NULL, which here means: nobody is to be told of the pool.
               CASE WHEN c.part IS NOT NULL THEN t.quantity + greatest(trunc(c.part, 6), 0.000001) END,
               CASE WHEN t.hard_limit > t.quantity THEN t.hard_limit END) END AS next_level,
           coalesce({_IS_OWN_NEAR}, false) AND EXISTS (
               SELECT 1 FROM ({_OWN_LEVELS}) o
                WHERE o.reached_at > o.baseline AND o.reached_at <= o.quantity AND NOT {_FIRED_OWN})
           OR coalesce(c.is_left, false) OR {IS_LEFT} AS is_left
      FROM {_TOTALS_OF_POOLS.replace("pools c", "shared c")}
      LEFT JOIN LATERAL ({_OWN_ALERT}) u ON true
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

LOOK_AGAIN: Final = """
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
