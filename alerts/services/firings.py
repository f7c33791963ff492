"""Firings: the decision that something is told, written once whoever decides it (spec 9 i)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import connection

_FIRE: Final = """
INSERT INTO alerts_firing (rule, account_id, workspace_id, metric_id, period, level, threshold, quantity, baseline,
fired_at) SELECT r.*, %(now)s
  FROM unnest(%(rules)s::text[], %(accounts)s::bigint[], %(workspaces)s::bigint[], %(metrics)s::bigint[],
              %(periods)s::timestamptz[], %(levels)s::smallint[], %(thresholds)s::numeric[], %(quantities)s::numeric[],
              %(baselines)s::numeric[])
       AS r (rule, account_id, workspace_id, metric_id, period, level, threshold, quantity, baseline)
 ORDER BY r.account_id, r.rule, r.workspace_id, r.metric_id, r.period, r.level, r.threshold
ON CONFLICT DO NOTHING
RETURNING rule, account_id, workspace_id, metric_id, period, level, threshold, quantity, baseline
"""


@dataclass(frozen=True, slots=True)
class FiringRow:
    """A firing to be written; quantities in stored units, for spend in money."""

    rule: str
    account_id: int
    workspace_id: int | None
    metric_id: int | None
    period: datetime
    level: int
    threshold: Decimal
    quantity: Decimal
    baseline: Decimal = Decimal(0)


def fire(rows: Sequence[FiringRow], *, now: datetime) -> list[FiringRow]:
    """Write those that are not there yet and return them; the others were decided before. Aware `now`.

    Waits for another transaction that writes the same one; its rollback leaves the decision to us.
    """
    if not rows:
        return []
    columns = zip(*(astuple(row) for row in rows), strict=True)
    names = ("rules", "accounts", "workspaces", "metrics", "periods", "levels", "thresholds", "quantities", "baselines")
    with connection.cursor() as cursor:
        cursor.execute(_FIRE, {"now": now, **dict(zip(names, map(list, columns), strict=True))})
        return [FiringRow(*row) for row in cursor.fetchall()]
