"""Setting hard limits (spec 4.1, 4.2)."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any, Final

from django.db import transaction

from alerts.errors import LimitBelowIncluded
from alerts.selectors.settings import (
    LimitSetting,
    State,
    limit_setting_of,
)
from alerts.services.evaluate import queue_evaluation
from billing.selectors.terms import terms_for
from usage.clocks import Clock
from usage.errors import InvalidInput
from usage.models import Metric, UsageLimit, Workspace
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
