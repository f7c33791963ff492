"""Consume and reservations over HTTP (spec 4.8)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field, ValidationError

from usage.api_auth import bearer, clock_for, small_body, workspace_of
from usage.api_types import Body, Quantity, QuantityOrZero, Text, answer, decimal_text, instant_text
from usage.clocks import system_clock
from usage.errors import Unauthorized
from usage.services import consume as service
from usage.services.api_keys import admission
from usage.services.consume_at_once import consume_at_once as grant_at_once

router = Router(tags=["Consume"])
_auth = bearer("decide", "ingest")


class ConsumeBody(Body):
    metric: Text
    quantity: Quantity
    id: Text


class ReservationBody(ConsumeBody):
    expires_in: Annotated[int, Field(ge=1, le=86_400, description="Seconds.")] = 300


class SettleBody(Body):
    quantity: QuantityOrZero


class GrantAnswer(Schema):
    allowed: bool
    remaining: str | None
    limit: str | None
    resets_at: str
    reason: Literal["granted", "no_limit", "limit_reached", "duplicate"]


class ReservationAnswer(GrantAnswer):
    id: str
    expires_at: str | None


class SettlementAnswer(Schema):
    id: str
    quantity: str
    remaining: str | None


@router.post(
    "/workspaces/{key}/consume",
    auth=_auth,
    response=GrantAnswer,
    operation_id="consume",
    summary="Check the limit and count, in one step",
)
def consume(request: HttpRequest, key: str, payload: ConsumeBody) -> HttpResponse:
    """However many clients race, no grant passes the limit in force at that moment. The same `id` with the same content
    is counted once; with other content it is refused (409). A refusal is not remembered."""
    workspace = workspace_of(request)
    grant = service.consume(
        account_id=workspace.account_id,
        workspace_id=workspace.id,
        metric_key=payload.metric,
        quantity=payload.quantity,
        consume_id=payload.id,
        clock=clock_for(workspace),
    )
    return answer(_grant(grant))


def consume_at_once(request: HttpRequest, key: str) -> HttpResponse | None:
    """The ordinary call of `consume` by one trip to the database; None for any other."""
    try:
        payload = ConsumeBody.model_validate(small_body(request))
        asked = admission(request.META.get("HTTP_AUTHORIZATION"), key, "decide", "ingest", now=system_clock())
    except (ValidationError, Unauthorized):
        return None
    grant = grant_at_once(admission=asked, metric_key=payload.metric, quantity=payload.quantity, consume_id=payload.id)
    return None if grant is None else answer(_grant(grant))


@router.post(
    "/workspaces/{key}/reservations",
    auth=_auth,
    response=ReservationAnswer,
    operation_id="reserve",
    summary="Set a quantity aside before it is used",
)
def reserve(request: HttpRequest, key: str, payload: ReservationBody) -> HttpResponse:
    """Settle or release it later under its `id`. Expired reservations are given back when the quantity is needed."""
    workspace = workspace_of(request)
    grant = service.reserve(
        account_id=workspace.account_id,
        workspace_id=workspace.id,
        metric_key=payload.metric,
        quantity=payload.quantity,
        reservation_id=payload.id,
        expires_in=timedelta(seconds=payload.expires_in),
        clock=clock_for(workspace),
    )
    return answer(_grant(grant) | {"id": grant.id, "expires_at": instant_text(grant.expires_at)})


@router.post(
    "/workspaces/{key}/reservations/{path:reservation_id}/settle",
    auth=_auth,
    response=SettlementAnswer,
    operation_id="settle",
    summary="Count what was really used of a reservation",
)
def settle(request: HttpRequest, key: str, reservation_id: str, payload: SettleBody) -> HttpResponse:
    """It counts in the reservation's billing period, also beyond what was reserved and after the expiry. 0 releases."""
    workspace = workspace_of(request)
    settlement = service.settle(
        account_id=workspace.account_id,
        workspace_id=workspace.id,
        reservation_id=reservation_id,
        quantity=payload.quantity,
        clock=clock_for(workspace),
    )
    return answer(_settlement(settlement))


@router.post(
    "/workspaces/{key}/reservations/{path:reservation_id}/release",
    auth=_auth,
    response=SettlementAnswer,
    operation_id="release",
    summary="Give a reservation back unused",
)
def release(request: HttpRequest, key: str, reservation_id: str) -> HttpResponse:
    """The same as settling 0."""
    workspace = workspace_of(request)
    settlement = service.release(
        account_id=workspace.account_id,
        workspace_id=workspace.id,
        reservation_id=reservation_id,
        clock=clock_for(workspace),
    )
    return answer(_settlement(settlement))


def _grant(grant: service.Grant) -> dict[str, Any]:
    return {
        "allowed": grant.allowed,
        "remaining": decimal_text(grant.remaining),
        "limit": decimal_text(grant.limit),
        "resets_at": instant_text(grant.resets_at),
        "reason": grant.reason,
    }


def _settlement(settlement: service.Settlement) -> dict[str, Any]:
    return {
        "id": settlement.id,
        "quantity": decimal_text(settlement.quantity),
        "remaining": decimal_text(settlement.remaining),
    }
