"""The alerts and limits of a workspace as its usage page shows them: everything in one read (spec 6.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import BooleanField, DateTimeField, DecimalField, F, Value
from django.db.models.functions import Cast

from alerts.models import LimitState, UsageAlert
from alerts.selectors import AlertSetting, LimitSetting, State, alert_state, limit_state
from usage.models import Metric, UsageLimit, Workspace

_ALERT: Final = "alert"
_LIMIT: Final = "limit"
_TOLD: Final = "told"
_NUMBER: Final = DecimalField(max_digits=30, decimal_places=6)


@dataclass(frozen=True, slots=True)
class Rules:
    """What was set for a metric of a workspace, in display units; `limit_told_at`: when the limit was last told to be
    reached in the period, None when it was not or holds no more."""

    alert: State[AlertSetting]
    limit: State[LimitSetting]
    limit_told_at: datetime | None = None


NO_RULES: Final = Rules(alert=State(None, None), limit=State(None, None))


def rules_of(*, workspace: Workspace, metrics: Mapping[int, Metric], period: datetime) -> dict[int, Rules]:
    """Alerts and limits in the period that starts at `period`, and what is scheduled, by metric id; 1 query. A metric
    without any is not in it."""
    alerts: dict[int, list[UsageAlert]] = {}
    limits: dict[int, list[UsageLimit]] = {}
    told: dict[int, datetime] = {}
    for kind, metric_id, at, quantity, also_50_80, baseline, told_at in _rows(workspace, period):
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
            alert=alert_state(sorted(alerts.get(metric_id, []), key=lambda row: row.from_period), period),
            limit=limit_state(sorted(limits.get(metric_id, []), key=lambda row: row.from_period), period),
            limit_told_at=told.get(metric_id),
        )
        for metric_id in {*alerts, *limits, *told}
    }


def _rows(workspace: Workspace, period: datetime) -> Any:
    where: dict[str, Any] = {"account_id": workspace.account_id, "workspace": workspace}
    no_time = Cast(Value(None), DateTimeField())
    no_number = Cast(Value(None), _NUMBER)
    no_flag = Value(False, output_field=BooleanField())
    alerts = UsageAlert.objects.filter(**where).values_list(
        Value(_ALERT), "metric_id", F("from_period"), F("threshold"), F("also_50_80"), F("baseline"), no_time
    )
    limits = UsageLimit.objects.filter(**where).values_list(
        Value(_LIMIT), "metric_id", F("from_period"), F("quantity"), no_flag, no_number, no_time
    )
    told = LimitState.objects.filter(**where, is_reached=True, period=period).values_list(
        Value(_TOLD), "metric_id", F("period"), F("quantity"), no_flag, no_number, F("told_at")
    )
    return alerts.order_by().union(limits.order_by(), told.order_by(), all=True).order_by()
