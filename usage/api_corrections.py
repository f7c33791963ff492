"""Taking usage back or putting it right over HTTP (spec 2.6)."""

from __future__ import annotations

from typing import Annotated

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field

from usage.api_auth import account_of, bearer, caller_of
from usage.api_types import Body, Quantity, Text, answer, decimal_text, instant_text
from usage.clocks import clock_of
from usage.errors import InvalidInput, NotFound
from usage.models import Account
from usage.services.corrections import Correction, amend_event, void_event

router = Router(tags=["Usage"])


class VoidBody(Body):
    source: Text
    id: Text
    reason: Annotated[str, Field(max_length=1000)] = ""
    account: Annotated[str | None, Field(description="The account's key; needed with an operator's key.")] = None


class AmendBody(VoidBody):
    quantity: Quantity


class CorrectionAnswer(Schema):
    source: str
    id: str
    workspace: str
    metric: str
    period: str
    quantity_before: str
    quantity: str


@router.post(
    "/events/void",
    auth=bearer("ingest"),
    response=CorrectionAnswer,
    operation_id="void_event",
    summary="Take an event back",
)
def void(request: HttpRequest, payload: VoidBody) -> HttpResponse:
    """Totals, limits and charts follow at once. Voiding again changes nothing; the identity stays used."""
    account = _account(request, payload)
    correction = void_event(
        account=account,
        source=payload.source,
        event_id=payload.id,
        reason=payload.reason,
        clock=clock_of(account),
        by=caller_of(request).actor(),
    )
    return _answer(correction)


@router.post(
    "/events/amend",
    auth=bearer("ingest"),
    response=CorrectionAnswer,
    operation_id="amend_event",
    summary="Make an event count another quantity",
)
def amend(request: HttpRequest, payload: AmendBody) -> HttpResponse:
    """Quantity only: another time, metric or workspace is a void and a new event. Voided events stay void (409)."""
    account = _account(request, payload)
    correction = amend_event(
        account=account,
        source=payload.source,
        event_id=payload.id,
        quantity=payload.quantity,
        reason=payload.reason,
        clock=clock_of(account),
        by=caller_of(request).actor(),
    )
    return _answer(correction)


def _account(request: HttpRequest, payload: VoidBody) -> Account:
    caller = caller_of(request)
    if payload.account is not None:
        return account_of(caller, payload.account)
    if caller.account_id is None:
        raise InvalidInput("An operator's key needs to name the account.", field="account")
    account = Account.objects.filter(pk=caller.account_id).first()
    if account is None:
        raise NotFound("There is no such account.")
    return account


def _answer(correction: Correction) -> HttpResponse:
    return answer(
        {
            "source": correction.source,
            "id": correction.id,
            "workspace": correction.workspace,
            "metric": correction.metric,
            "period": instant_text(correction.period),
            "quantity_before": decimal_text(correction.quantity_before),
            "quantity": decimal_text(correction.quantity),
        }
    )
