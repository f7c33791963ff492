"""The alerts and limits of a workspace as its usage page shows them: everything in one read (spec 6.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from alerts.models import UsageAlert
from alerts.selectors.settings import AlertSetting, LimitSetting, State, alert_state, limit_state
from usage.models import Metric, UsageLimit, Workspace
from usage.sql import Read

_ALERT: Final = "alert"
_LIMIT: Final = "limit"
_RULES: Final = """
SELECT 'alert', metric_id, from_period, threshold, also_50_80, baseline, NULL::timestamptz
  FROM alerts_usagealert WHERE account_id = %(account)s AND workspace_id = %(workspace)s
 UNION ALL
SELECT 'limit', metric_id, from_period, quantity, false, NULL, NULL
  FROM usage_usagelimit WHERE account_id = %(account)s AND workspace_id = %(workspace)s
 UNION ALL
SELECT 'told', metric_id, period, quantity, false, NULL, told_at
  FROM alerts_limitstate
 WHERE account_id = %(account)s AND workspace_id = %(workspace)s AND period = %(period)s AND is_reached
"""


@dataclass(frozen=True, slots=True)
class Rules:
    """What was set for a metric of a workspace, in display units; `limit_told_at`: when the limit was last told to be
    reached in the period, None when it was not or holds no more."""

    alert: State[AlertSetting]
    limit: State[LimitSetting]
    limit_told_at: datetime | None = None


NO_RULES: Final = Rules(alert=State(None, None), limit=State(None, None))


@dataclass(frozen=True, slots=True)
class RuleRows:
    """What is set for a workspace, of all metrics, and what was told in the period that starts at `period`."""

    period: datetime
    rows: list[Any]

    def of(self, metrics: Mapping[int, Metric]) -> dict[int, Rules]:
        """Alerts and limits in force in the period, and what is scheduled, by metric id. A metric without any is not
        in it."""
        alerts: dict[int, list[UsageAlert]] = {}
        limits: dict[int, list[UsageLimit]] = {}
        told: dict[int, datetime] = {}
        for kind, metric_id, at, quantity, also_50_80, baseline, told_at in self.rows:
            if metric_id not in metrics:
                continue
            if kind == _ALERT:
                row = UsageAlert(from_period=at, threshold=quantity, also_50_80=also_50_80, baseline=baseline)
                row.metric = metrics[metric_id]
                alerts.setdefault(metric_id, []).append(row)
            elif kind == _LIMIT:
                limit = UsageLimit(from_period=at, quantity=quantity)
                limit.metric = metrics[metric_id]
                limits.setdefault(metric_id, []).append(limit)
            else:
                told[metric_id] = told_at
        return {
            metric_id: Rules(
                alert=alert_state(sorted(alerts.get(metric_id, []), key=lambda row: row.from_period), self.period),
                limit=limit_state(sorted(limits.get(metric_id, []), key=lambda row: row.from_period), self.period),
                limit_told_at=told.get(metric_id),
            )
            for metric_id in {*alerts, *limits, *told}
        }


def rule_rows(*, workspace: Workspace, period: datetime) -> Read[RuleRows]:
    """The alerts and limits of a workspace as of the period that starts at `period`; 1 query."""
    values = {"account": workspace.account_id, "workspace": workspace.pk, "period": period}
    return Read([(_RULES, values)], partial(RuleRows, period))
