"""What is in force of a line of alerts or limits, and what is scheduled (spec 3.1, 3.7, 3.10, 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from alerts.models import LimitState, PlanAlertSwitch, SpendAlert, UsageAlert
from usage.models import Account, Metric, UsageLimit, Workspace
from usage.rounding import shown_quantity
from usage.written import Written


@dataclass(frozen=True, slots=True)
class AlertSetting:
    """A usage alert (display units) or spend alert (money): `threshold` None = off."""

    threshold: Decimal | None
    also_50_80: bool
    from_period: datetime
    baseline: Decimal = Decimal(0)

    @property
    def is_on(self) -> bool:
        return self.threshold is not None


@dataclass(frozen=True, slots=True)
class LimitSetting:
    """A hard limit in display units; None = off."""

    limit: Decimal | None
    from_period: datetime

    @property
    def is_on(self) -> bool:
        return self.limit is not None


@dataclass(frozen=True, slots=True)
class State[Setting]:
    """What is in force in the running period (None = nothing), and what is scheduled from a later one (None = no
    change)."""

    in_force: Setting | None
    scheduled: Setting | None


_ALERTS: Final = Written(
    lambda account, workspace, metric: UsageAlert.objects.filter(
        account=account, workspace=workspace, metric=metric
    ).order_by("from_period")
)
_LIMITS: Final = Written(
    lambda account, workspace, metric: UsageLimit.objects.filter(
        account=account, workspace=workspace, metric=metric
    ).order_by("from_period")
)
_SPEND: Final = Written(lambda account: SpendAlert.objects.filter(account=account).order_by("from_period"))
_PLAN_SWITCH: Final = Written(
    lambda account, metric: PlanAlertSwitch.objects.filter(account=account, metric=metric).values_list(
        "is_on", flat=True
    )
)
_LIMIT_STATE: Final = Written(
    lambda account, workspace, metric: LimitState.objects.filter(account=account, workspace=workspace, metric=metric)
)


def alert_state_of(*, workspace: Workspace, metric: Metric, period: datetime) -> State[AlertSetting]:
    """The usage alert of a metric of a workspace in the period that starts at `period`; one query."""
    rows = _ALERTS(account=workspace.account_id, workspace=workspace.pk, metric=metric.pk)
    for row in rows:
        row.metric = metric
    return alert_state(rows, period)


def alert_state(rows: Sequence[UsageAlert], period: datetime) -> State[AlertSetting]:
    """What the rows of one line (oldest first, with their metric) say of the period that starts at `period`."""

    def setting(row: UsageAlert) -> AlertSetting:
        size = row.metric.unit_size
        return AlertSetting(
            threshold=None if row.threshold is None else shown_quantity(row.threshold, unit_size=size),
            also_50_80=row.also_50_80,
            from_period=row.from_period,
            baseline=shown_quantity(row.baseline, unit_size=size) if row.from_period == period else Decimal(0),
        )

    return _state([setting(row) for row in rows], period)


def spend_alert_of(*, account: Account, period: datetime) -> State[AlertSetting]:
    """The account's spend alert in the period that starts at `period`; one query."""
    rows = _SPEND(account=account.pk)
    settings = [
        AlertSetting(
            row.threshold, row.also_50_80, row.from_period, row.baseline if row.from_period == period else Decimal(0)
        )
        for row in rows
    ]
    return _state(settings, period)


def limit_state(rows: Sequence[UsageLimit], period: datetime) -> State[LimitSetting]:
    """What the rows of one line (oldest first, with their metric) say of the period that starts at `period`."""
    limits = [
        LimitSetting(
            None if row.quantity is None else shown_quantity(row.quantity, unit_size=row.metric.unit_size),
            row.from_period,
        )
        for row in rows
    ]
    state = _state(limits, period)
    if state.scheduled is not None and state.scheduled.limit == (state.in_force.limit if state.in_force else None):
        return State(state.in_force, None)  # what is scheduled says what holds anyway
    return state


def limit_setting_of(*, workspace: Workspace, metric: Metric, period: datetime) -> State[LimitSetting]:
    """The hard limit of a metric of a workspace in the period that starts at `period`; one query."""
    rows = _LIMITS(account=workspace.account_id, workspace=workspace.pk, metric=metric.pk)
    for row in rows:
        row.metric = metric
    return limit_state(rows, period)


def plan_alert_is_on(*, account: Account, metric: Metric) -> bool:
    """Whether 80, 90 and 100 % of the included amount are told (spec 3.7)."""
    return all(_PLAN_SWITCH(account=account.pk, metric=metric.pk))


def limit_state_of(*, workspace: Workspace, metric: Metric) -> LimitState | None:
    """What was last told of the workspace's limit (spec 4.4)."""
    found = _LIMIT_STATE(account=workspace.account_id, workspace=workspace.pk, metric=metric.pk)
    return found[0] if found else None


def _state[Setting: (AlertSetting, LimitSetting)](line: Sequence[Setting], period: datetime) -> State[Setting]:
    """What a line of dated settings, oldest first, says of the period that starts at `period`."""
    held = [setting for setting in line if setting.from_period <= period]
    later = [setting for setting in line if setting.from_period > period]
    return State(held[-1] if held and held[-1].is_on else None, later[0] if later else None)
