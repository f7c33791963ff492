"""Setting hard limits (spec 4.1, 4.2), and the drawer's one form (1.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

from django.db import transaction

from alerts.errors import LimitBelowIncluded
from alerts.selectors import (
    AlertSetting,
    LimitSetting,
    State,
    alert_state_of,
    limit_setting_of,
    plan_alert_is_on,
)
from alerts.services.alerts import set_plan_alert, set_usage_alert
from alerts.services.evaluate import queue_evaluation
from billing.selectors.terms import terms_for
from usage.clocks import Clock
from usage.errors import InvalidInput
from usage.models import Metric, Period, UsageLimit, User, Workspace
from usage.permissions import Restricted, has_flag, restricted
from usage.rounding import parse_whole_number, plain_quantity, shown_quantity, stored_quantity
from usage.services.audit import Actor, record
from usage.services.limits import write_limit
from usage.services.locks import lock_account
from usage.services.periods import next_period_of, open_period

NEXT_PERIOD: Final = "next_period"
NOW: Final = "now"


@transaction.atomic
def set_hard_limit(
    *, workspace: Workspace, metric: Metric, quantity: Decimal | None, effective: str, clock: Clock, by: Actor
) -> State[LimitSetting]:
    """Set the hard limit of a workspace and metric (display units, whole, >= 0; None = off) from the next billing
    period on (`effective` "next_period") or at once ("now", then for the running and later periods).

    Not below what is included, as far as the other workspaces' limits leave it to this one; off and raise are always
    allowed (spec 4.2). What was scheduled is replaced. The clock is read after the account's lock. Raises
    LimitBelowIncluded, InvalidInput, AccountEnded.
    """
    if not metric.supports_limit:
        raise InvalidInput(f"{metric.name} has no hard limit.", field="metric", code="limit_not_supported")
    if effective not in (NEXT_PERIOD, NOW):
        raise InvalidInput("effective is “next_period” or “now”.", field="effective")
    if quantity is not None:
        try:
            quantity = parse_whole_number(quantity, at_least=0)
        except ValueError as error:
            raise InvalidInput(f"The limit {error}.", field="limit") from error
    lock_account(workspace.account_id)
    period = open_period(account_id=workspace.account_id, at=clock())
    following = next_period_of(period)[0]
    if quantity is not None:
        checked = [following] if effective == NEXT_PERIOD else [period.starts_at, following]
        _check_floor(workspace=workspace, metric=metric, quantity=quantity, periods=checked)
    before = limit_setting_of(workspace=workspace, metric=metric, period=period.starts_at)
    write_limit(
        workspace=workspace,
        metric=metric,
        from_period=following if effective == NEXT_PERIOD else period.starts_at,
        quantity=None if quantity is None else stored_quantity(quantity, unit_size=metric.unit_size),
    )
    after = limit_setting_of(workspace=workspace, metric=metric, period=period.starts_at)
    if after != before:
        record(
            by=by,
            action="limit.changed",
            subject=metric.key,
            account=workspace.account_id,
            workspace=workspace,
            before=limit_record(before),
            after=limit_record(after),
        )
        queue_evaluation(workspace.account_id)
    return after


def lowest_limit(
    *, workspace: Workspace, metric: Metric, period: datetime
) -> tuple[Decimal, LimitBelowIncluded | None]:
    """The lowest limit that the terms of the period starting at `period` leave to a workspace (display units), with the
    refusal that says so; (0, None) where there is no floor (spec 4.2)."""
    terms = terms_for(account=workspace.account, period_start=period).get(metric.pk)
    if terms is None or terms.is_unlimited or not terms.included:
        return Decimal(0), None
    limits = _limits_in(metric=metric, account_id=workspace.account_id, period=period)
    others = [other for other in workspace.account.workspaces.order_by("name", "key") if other.pk != workspace.pk]
    held = [(other.name, limits.get(other.pk)) for other in others]
    if any(limit is None for _, limit in held):
        return Decimal(0), None
    bounded = [(name, limit) for name, limit in held if limit is not None]
    left = terms.included - sum((limit for _, limit in bounded), start=Decimal(0))
    lowest = max(Decimal(0), left).to_integral_value(ROUND_CEILING)
    refusal = LimitBelowIncluded(
        lowest_allowed=lowest, included=terms.included, workspace=workspace.name, others=bounded
    )
    return lowest, refusal


def _check_floor(*, workspace: Workspace, metric: Metric, quantity: Decimal, periods: list[datetime]) -> None:
    refusals = []
    for period in periods:
        own = _limits_in(metric=metric, account_id=workspace.account_id, period=period).get(workspace.pk)
        if own is not None and quantity >= own:
            continue  # a raise, or what holds anyway
        lowest, refusal = lowest_limit(workspace=workspace, metric=metric, period=period)
        if refusal is not None and quantity < lowest:
            refusals.append(refusal)
    if refusals:
        raise max(refusals, key=lambda refusal: refusal.lowest_allowed)


def _limits_in(*, metric: Metric, account_id: int, period: datetime) -> dict[int, Decimal | None]:
    """The limits of all workspaces in force in a period, in display units."""
    rows = UsageLimit.objects.filter(account_id=account_id, metric=metric, from_period__lte=period)
    return {
        row.workspace_id: None if row.quantity is None else shown_quantity(row.quantity, unit_size=metric.unit_size)
        for row in rows.order_by("from_period")
    }


def limit_record(state: State[LimitSetting]) -> dict[str, Any]:
    """The state as the audit trail keeps it: display units as decimal strings."""

    def setting(value: LimitSetting | None) -> dict[str, Any] | None:
        if value is None:
            return None
        limit = None if value.limit is None else plain_quantity(value.limit)
        return {"enabled": value.is_on, "limit": limit, "from": value.from_period.isoformat()}

    return {"in_force": setting(state.in_force), "scheduled": setting(state.scheduled)}


# --- The drawer: one form, all or nothing
# --------------------------------------------------------------------------------


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
