"""Decisions: conversations, stored answers, workflows and handover steps (spec 4.5, 4.6)."""

from __future__ import annotations

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from usage.models import Account, Metric, Workspace
from usage.validators import validate_plain_text


class Conversation(models.Model):
    """A conversation of the application's customers, as far as decisions need it."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    conversation_id = models.CharField(max_length=255)
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="+")
    is_with_team = models.BooleanField("with the team", default=False)
    first_answered_by = models.CharField(max_length=9, blank=True, help_text="ai_agent, handover, inbox or workflow.")
    first_period = models.DateTimeField(help_text="Period of the first answer: the resolution rate counts it there.")
    first_answered_at = models.DateTimeField()

    class Meta:
        ordering = ["workspace", "-first_answered_at"]
        constraints = [models.UniqueConstraint(fields=["workspace", "conversation_id"], name="conversation_once")]
        indexes = [
            models.Index(
                fields=["workspace", "metric", "first_period"],
                name="conversation_by_agent",
                condition=models.Q(first_answered_by="ai_agent"),
            )
        ]

    def __str__(self) -> str:
        return self.conversation_id


class StoredAnswer(models.Model):
    """The answer given to a message; the same message gets the same answer."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="answers")
    message_id = models.CharField(max_length=255)
    answer = models.JSONField(encoder=DjangoJSONEncoder)
    answered_at = models.DateTimeField()

    class Meta:
        ordering = ["conversation", "id"]
        constraints = [models.UniqueConstraint(fields=["conversation", "message_id"], name="answer_once_per_message")]

    def __str__(self) -> str:
        return self.message_id


class Workflow(models.Model):
    """An audience and ordered branches; the first match answers."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="workflows")
    name = models.CharField(max_length=120, validators=[validate_plain_text])
    position = models.PositiveSmallIntegerField()
    audience = models.JSONField(default=dict)
    branches = models.JSONField(default=list)
    is_on = models.BooleanField("on", default=True)

    class Meta:
        ordering = ["workspace", "position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "position"], name="workflow_position_once", deferrable=models.Deferrable.DEFERRED
            )
        ]

    def __str__(self) -> str:
        return self.name


class HandoverSteps(models.Model):
    """What happens when the agent may not answer; no row = hand over to team."""

    workspace = models.OneToOneField(Workspace, on_delete=models.CASCADE, related_name="handover_steps")
    steps = models.JSONField(default=list)

    class Meta:
        verbose_name_plural = "handover steps"

    def __str__(self) -> str:
        return f"Handover steps of {self.workspace}"
