"""Decisions: conversations, stored answers, workflows, handover steps. Teammates edit workflows on their own page,
which checks them; here they can be read."""

from __future__ import annotations

from django.contrib import admin

from alerts.models import Conversation, HandoverSteps, StoredAnswer, Workflow
from usage.admin.base import ReadOnlyAdmin, ReadOnlyInline
from usage.admin.columns import chosen, facts, first_day, linked, worded


class AnswerInline(ReadOnlyInline):
    model = StoredAnswer
    show_change_link = False
    fields = ("answered_at", "message_id", facts("answer"))


ANSWERED_BY = {"ai_agent": "AI Agent", "handover": "Handover", "inbox": "Inbox", "workflow": "Workflow"}


@admin.register(Conversation)
class ConversationAdmin(ReadOnlyAdmin):
    """Conversations as far as decisions need them."""

    list_display = (
        "conversation_id",
        linked("workspace"),
        "metric",
        "is_with_team",
        "answered_by",
        "first_answered_at",
    )
    list_filter = (
        "is_with_team",
        worded("first_answered_by", "first answered by", ANSWERED_BY),
        "metric",
        chosen("workspace"),
        chosen("account"),
    )
    list_select_related = ("workspace", "metric")
    search_fields = ("conversation_id", "workspace__key")
    ordering = ("-pk",)
    inlines = (AnswerInline,)
    fields = (
        "conversation_id",
        linked("account"),
        linked("workspace"),
        linked("metric"),
        "is_with_team",
        "answered_by",
        "first_answered_at",
        first_day("first_period", "billing period from"),
    )

    @admin.display(description="first answered by", ordering="first_answered_by")
    def answered_by(self, conversation: Conversation) -> str:
        return ANSWERED_BY.get(conversation.first_answered_by, conversation.first_answered_by)


@admin.register(StoredAnswer)
class StoredAnswerAdmin(ReadOnlyAdmin):
    """Answers that were given; the same message gets the same answer."""

    list_display = ("message_id", linked("conversation"), linked("conversation.workspace", "workspace"), "answered_at")
    list_filter = ("answered_at",)
    list_select_related = ("conversation__workspace",)
    unlisted = ("answer",)
    search_fields = ("message_id", "conversation__conversation_id")
    ordering = ("-pk",)
    fields = ("message_id", linked("conversation"), "answered_at", facts("answer"))


@admin.register(Workflow)
class WorkflowAdmin(ReadOnlyAdmin):
    """Audiences and branches, in the order in which they answer."""

    list_display = ("name", linked("workspace"), "position", "is_on")
    list_filter = ("is_on", chosen("workspace"))
    list_select_related = ("workspace",)
    search_fields = ("name", "workspace__key", "workspace__name")
    fields = ("name", linked("workspace"), "position", "is_on", facts("audience"), facts("branches"))


@admin.register(HandoverSteps)
class HandoverStepsAdmin(ReadOnlyAdmin):
    """What happens when the agent may not answer; no row = hand over to team."""

    list_display = ("__str__", linked("workspace"))
    list_select_related = ("workspace",)
    search_fields = ("workspace__key", "workspace__name")
    fields = (linked("workspace"), facts("steps"))
