"""`POST …/route`: who answers a customer's message (spec 4.5)."""

from __future__ import annotations

from typing import Annotated, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Router, Schema
from pydantic import Field, ValidationError

from alerts.services.decisions import Message, route_at_once
from alerts.services.decisions import route as decide
from usage.api_auth import bearer, clock_for, small_body, workspace_of
from usage.api_types import Body, answer
from usage.clocks import system_clock
from usage.errors import Unauthorized
from usage.services.api_keys import admission

router = Router(tags=["Decisions"])


Id = Annotated[str, Field(min_length=1, max_length=255)]


class RouteQuestion(Body):
    conversation_id: Id
    message_id: Id
    metric: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
    event: Literal["started", "customer_replied"]
    channel: Literal["chat", "email", "sms", "whatsapp", "phone"] | None = None


class RouteStep(Schema):
    type: Literal["let_ai_agent_answer", "hand_over_to_team", "send_to_inbox", "reply_with_message"]
    team: str | None = None
    message: str | None = None


class RouteAnswer(Schema):
    answered_by: Literal["ai_agent", "handover", "inbox", "workflow"]
    steps: list[RouteStep]
    reason: Literal["already_handed_over", "workflow", "limit_reached", "default"]
    counts_towards_resolution_rate: bool


@router.post(
    "/workspaces/{key}/route",
    auth=bearer("decide"),
    response=RouteAnswer,
    summary="Ask who answers a customer's message",
)
def route(request: HttpRequest, key: str, payload: RouteQuestion) -> HttpResponse:
    """The same `message_id` of a conversation always gets the same answer, so a lost answer may be asked for again.

    After the limit, a new conversation and the next customer message of one in progress are answered `handover`, later
    messages of those `inbox`. Scope `decide`.
    """
    workspace = workspace_of(request)
    decision = decide(
        account_id=workspace.account_id,
        workspace_id=workspace.id,
        message=Message(**payload.model_dump()),
        clock=clock_for(workspace),
    )
    return answer(decision.as_json())


def decide_at_once(request: HttpRequest, key: str) -> HttpResponse | None:
    """The ordinary question of `route`, one trip to the database shorter; None for any other."""
    try:
        question = RouteQuestion.model_validate(small_body(request))
        asked = admission(request.META.get("HTTP_AUTHORIZATION"), key, "decide", now=system_clock())
    except (ValidationError, Unauthorized):
        return None
    decision = route_at_once(admission=asked, message=Message(**question.model_dump()))
    return None if decision is None else answer(decision.as_json())
