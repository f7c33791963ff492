"""`…/alerts/{metric}` and `…/limits/{metric}`: what is in force, what is scheduled, and changing it (spec 10.5)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import ConfigDict, Field, WithJsonSchema

from alerts.selectors.settings import AlertSetting, LimitSetting, State, alert_state_of, limit_setting_of
from alerts.services.alerts import set_usage_alert
from alerts.services.limits import NEXT_PERIOD, set_hard_limit
from usage.api_auth import bearer, caller_of, clock_for, workspace_of
from usage.errors import Forbidden, InvalidInput, NotFound
from usage.models import Metric, Workspace
from usage.periods import plain_instant
from usage.rounding import parse_whole_number, plain_quantity
from usage.selectors import current_period

router = Router(tags=["Alerts and limits"])

# Judged by the service, which says in one sentence what is wrong with it.
Number = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}, {"type": "null"}],
            "description": "A whole number in display units; a decimal string will do.",
        }
    ),
]


class AlertChange(Schema):
    model_config = ConfigDict(strict=True, extra="forbid")

    enabled: bool
    threshold: Number = None
    also_50_80: bool = False


class LimitChange(Schema):
    model_config = ConfigDict(strict=True, extra="forbid")

    enabled: bool
    limit: Number = None
    effective: Literal["next_period", "now"] = NEXT_PERIOD


class AlertRow(Schema):
    enabled: bool
    threshold: str | None
    also_50_80: bool
    from_: Annotated[str, Field(alias="from", description="Start of the first billing period in which it holds.")]


class LimitRow(Schema):
    enabled: bool
    limit: str | None
    from_: Annotated[str, Field(alias="from", description="Start of the first billing period in which it holds.")]


class AlertAnswer(Schema):
    in_force: AlertRow | None
    scheduled: AlertRow | None


class LimitAnswer(Schema):
    in_force: LimitRow | None
    scheduled: LimitRow | None


@router.get(
    "/workspaces/{key}/alerts/{metric}", auth=bearer(), response=AlertAnswer, by_alias=True, summary="The usage alert"
)
def read_alert(request: HttpRequest, key: str, metric: str) -> dict[str, Any]:
    """What is in force in the running billing period, of an ended account in its last (null: nothing), and what is
    scheduled. Scope `read` or `manage`."""
    workspace, measured = _place(request, metric)
    period = current_period(workspace.account, clock_for(workspace_of(request))())
    return _alert(alert_state_of(workspace=workspace, metric=measured, period=period.starts_at))


@router.put(
    "/workspaces/{key}/alerts/{metric}",
    auth=bearer("manage"),
    response=AlertAnswer,
    by_alias=True,
    summary="Set the usage alert",
)
def change_alert(request: HttpRequest, key: str, metric: str, payload: AlertChange) -> dict[str, Any]:
    """Above the usage of this moment it is in force at once; at or below it, from the next billing period on."""
    workspace, measured = _place(request, metric)
    threshold = _number(payload.threshold, "threshold", at_least=1) if payload.enabled else None
    return _alert(
        set_usage_alert(
            workspace=workspace,
            metric=measured,
            threshold=threshold,
            also_50_80=payload.also_50_80,
            clock=clock_for(workspace_of(request)),
            by=caller_of(request).actor(),
        )
    )


@router.get(
    "/workspaces/{key}/limits/{metric}", auth=bearer(), response=LimitAnswer, by_alias=True, summary="The hard limit"
)
def read_limit(request: HttpRequest, key: str, metric: str) -> dict[str, Any]:
    """What is in force in the running billing period, of an ended account in its last (null: no limit), and what is
    scheduled. Scope `read` or `manage`."""
    workspace, measured = _place(request, metric)
    period = current_period(workspace.account, clock_for(workspace_of(request))())
    return _limit(limit_setting_of(workspace=workspace, metric=measured, period=period.starts_at))


@router.put(
    "/workspaces/{key}/limits/{metric}",
    auth=bearer("manage"),
    response=LimitAnswer,
    by_alias=True,
    summary="Set the hard limit",
)
def change_limit(request: HttpRequest, key: str, metric: str, payload: LimitChange) -> dict[str, Any]:
    """From the next billing period on, or at once. Not below what is included: 422 `limit_below_included` then names
    the lowest number as `lowest_allowed`."""
    workspace, measured = _place(request, metric)
    limit = _number(payload.limit, "limit", at_least=0) if payload.enabled else None
    return _limit(
        set_hard_limit(
            workspace=workspace,
            metric=measured,
            quantity=limit,
            effective=payload.effective,
            clock=clock_for(workspace_of(request)),
            by=caller_of(request).actor(),
        )
    )


def _place(request: HttpRequest, metric_key: str) -> tuple[Workspace, Metric]:
    if not caller_of(request).scopes & {"read", "manage"}:
        raise Forbidden("This key lacks the scope “read”.", code="missing_scope", scope="read")
    workspace = Workspace.objects.select_related("account").get(pk=workspace_of(request).id)
    metric = Metric.objects.filter(key=metric_key, is_active=True).first()
    if metric is None:
        raise NotFound("There is no such metric.")
    return workspace, metric


def _number(value: object, field: str, *, at_least: int) -> Decimal:
    if value is None:
        raise InvalidInput(f"{field} is needed when it is enabled.", field=field)
    try:
        return parse_whole_number(value, at_least=at_least)
    except ValueError as error:
        raise InvalidInput(f"{field} {error}.", field=field) from error


def _alert(state: State[AlertSetting]) -> dict[str, Any]:
    def row(setting: AlertSetting | None) -> Mapping[str, Any] | None:
        if setting is None:
            return None
        return {
            "enabled": setting.is_on,
            "threshold": None if setting.threshold is None else plain_quantity(setting.threshold),
            "also_50_80": setting.also_50_80,
            "from": plain_instant(setting.from_period),
        }

    return {"in_force": row(state.in_force), "scheduled": row(state.scheduled)}


def _limit(state: State[LimitSetting]) -> dict[str, Any]:
    def row(setting: LimitSetting | None) -> Mapping[str, Any] | None:
        if setting is None:
            return None
        return {
            "enabled": setting.is_on,
            "limit": None if setting.limit is None else plain_quantity(setting.limit),
            "from": plain_instant(setting.from_period),
        }

    return {"in_force": row(state.in_force), "scheduled": row(state.scheduled)}
