"""`POST …/route`: who answers a customer's message (spec 4.5)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Router, Schema
from pydantic import ConfigDict, Field

from alerts.services.decisions import Message
from alerts.services.decisions import route as decide
from usage.api_auth import bearer, clock_for, workspace_of

router = Router(tags=["Decisions"])


Id = Annotated[str, Field(min_length=1, max_length=255)]


class RouteQuestion(Schema):
    model_config = ConfigDict(strict=True, extra="forbid")

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
    exclude_unset=True,
    summary="Ask who answers a customer's message",
)
def route(request: HttpRequest, key: str, payload: RouteQuestion) -> dict[str, Any]:
    """The same `message_id` of a conversation always gets the same answer, so a lost answer may be asked for again.

    After the limit, a new conversation and the next customer message of one in progress are answered `handover`, later
    messages of those `inbox`. Scope `decide`.
    """
    workspace = workspace_of(request)
    decision = decide(
        account_id=workspace.account_id,
        workspace_id=workspace.id,
        message=Message(
            conversation_id=payload.conversation_id,
            message_id=payload.message_id,
            metric=payload.metric,
            event=payload.event,
            channel=payload.channel,
        ),
        clock=clock_for(workspace),
    )
    return decision.as_json()
