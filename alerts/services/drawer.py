"""Saving the drawer: one form, all or nothing (spec 1.3, 4.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from alerts.selectors.settings import (
    AlertSetting,
    LimitSetting,
    State,
    alert_state_of,
    limit_setting_of,
    plan_alert_is_on,
)
from alerts.services.alerts import set_plan_alert, set_usage_alert
from alerts.services.limits import NEXT_PERIOD, NOW, set_hard_limit
from usage.clocks import Clock
from usage.errors import InvalidInput
from usage.models import Metric, Period, User, Workspace
from usage.permissions import Restricted, has_flag, restricted
from usage.services.audit import Actor, record
from usage.services.locks import lock_account
from usage.services.periods import open_period


@dataclass(frozen=True, slots=True)
class DrawerChanges:
    """What the form holds, in display units; a section that is None was not in it.

    `threshold` and `limit` None = off. `effective` (“next_period”, “now” or None = not decided yet) matters only when
    the limit changes.
    """

    has_alert: bool = False
    threshold: Decimal | None = None
    also_50_80: bool = False
    plan_alert: bool | None = None
    has_limit: bool = False
    limit: Decimal | None = None
    effective: str | None = None

    def scheduled(self) -> DrawerChanges:
        """The same from the next period on."""
        return replace(self, effective=NEXT_PERIOD)


@dataclass(frozen=True, slots=True)
class DrawerChanged:
    """Which sections of the form differ from what stands."""

    alert: bool
    plan_alert: bool
    limit: bool

    @property
    def anything(self) -> bool:
        return self.alert or self.plan_alert or self.limit


@dataclass(frozen=True, slots=True)
class DrawerSaved:
    """What the save came to."""

    period: Period
    changed: DrawerChanged
    alert: State[AlertSetting]
    limit: State[LimitSetting]


class EffectiveNeeded(InvalidInput):
    """The limit changes, and nobody has said yet from when on: the confirmation asks (spec 4.1)."""

    def __init__(self) -> None:
        super().__init__("Say when the new limit starts.", field="effective", code="effective_needed")


def drawer_changes(*, workspace: Workspace, metric: Metric, changes: DrawerChanges, period: datetime) -> DrawerChanged:
    """Which sections differ from what a teammate sees in the drawer: what is scheduled if something is, else what is in
    force.

    `period` is the running period's start.
    """
    alert = alert_state_of(workspace=workspace, metric=metric, period=period)
    shown_alert = alert.scheduled or alert.in_force
    has_threshold = (
        (shown_alert.threshold, shown_alert.also_50_80) if shown_alert and shown_alert.is_on else (None, False)
    )
    wants = (changes.threshold, changes.also_50_80 if changes.threshold is not None else False)
    limit = limit_setting_of(workspace=workspace, metric=metric, period=period)
    shown_limit = limit.scheduled or limit.in_force
    is_other_limit = changes.limit != (shown_limit.limit if shown_limit else None)
    # The number that is scheduled, applied now, is a change too.
    is_hurried = changes.effective == NOW and limit.scheduled is not None
    return DrawerChanged(
        alert=changes.has_alert and wants != has_threshold,
        plan_alert=changes.plan_alert is not None
        and changes.plan_alert != plan_alert_is_on(account=workspace.account, metric=metric),
        limit=changes.has_limit and (is_other_limit or is_hurried),
    )


def save_drawer(
    *, workspace: Workspace, metric: Metric, changes: DrawerChanges, user: User, clock: Clock
) -> DrawerSaved:
    """Save the drawer's form: all sections that changed or, when one is refused, none (spec 1.3, 4.1).

    Each changed section needs its permission: alerts and plan alerts *Can manage usage alerts* (plan alerts in any
    workspace of the account), the limit *Can manage hard limits*. Raises Restricted (the attempt is audited),
    EffectiveNeeded, LimitBelowIncluded, InvalidInput, AccountEnded.
    """
    by = Actor.of_user(user)
    try:
        return _save_drawer(workspace=workspace, metric=metric, changes=changes, user=user, clock=clock, by=by)
    except Restricted as refusal:
        record(
            by=by,
            action="drawer.refused",
            subject=metric.key,
            account=workspace.account_id,
            workspace=workspace,
            after={"missing": list(refusal.permissions)},
            reason=refusal.detail,
        )
        raise


@transaction.atomic
def _save_drawer(
    *, workspace: Workspace, metric: Metric, changes: DrawerChanges, user: User, clock: Clock, by: Actor
) -> DrawerSaved:
    lock_account(workspace.account_id)
    period = open_period(account_id=workspace.account_id, at=clock())
    changed = drawer_changes(workspace=workspace, metric=metric, changes=changes, period=period.starts_at)
    check_permissions(user=user, workspace=workspace, changed=changed)
    if changed.limit and changes.effective is None:
        raise EffectiveNeeded
    if changed.alert:
        set_usage_alert(
            workspace=workspace,
            metric=metric,
            threshold=changes.threshold,
            also_50_80=changes.also_50_80,
            clock=clock,
            by=by,
        )
    if changed.plan_alert and changes.plan_alert is not None:
        set_plan_alert(account=workspace.account, metric=metric, is_on=changes.plan_alert, clock=clock, by=by)
    if changed.limit and changes.effective is not None:
        set_hard_limit(
            workspace=workspace, metric=metric, quantity=changes.limit, effective=changes.effective, clock=clock, by=by
        )
    return DrawerSaved(
        period=period,
        changed=changed,
        alert=alert_state_of(workspace=workspace, metric=metric, period=period.starts_at),
        limit=limit_setting_of(workspace=workspace, metric=metric, period=period.starts_at),
    )


def check_permissions(*, user: User, workspace: Workspace, changed: DrawerChanged) -> None:
    """Raise Restricted when the user lacks a permission that a changed section needs (spec 1.2, 1.3)."""
    missing: list[str] = []
    lacks_alerts = changed.alert and not has_flag(user=user, workspace=workspace, flag="can_manage_alerts")
    lacks_plan = changed.plan_alert and not has_flag(
        user=user, workspace=workspace, flag="can_manage_alerts", anywhere_in_account=True
    )
    if lacks_alerts or lacks_plan:
        missing.append("can_manage_alerts")
    if changed.limit and not has_flag(user=user, workspace=workspace, flag="can_manage_limits"):
        missing.append("can_manage_limits")
    if missing:
        raise restricted(workspace=workspace, flags=missing)
