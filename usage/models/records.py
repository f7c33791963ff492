"""Records of what was done: the audit trail, job runs, heartbeats (spec 4.10, 8.1)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now

from usage.models.accounts import Account, Workspace


class AuditEntry(models.Model):
    """Who changed what, when, from what to what, and how. A trigger refuses UPDATE and DELETE."""

    class How(models.TextChoices):
        SCREEN = "screen", "Web page"
        API = "api", "API"
        ADMIN = "admin", "Admin"
        COMMAND = "command", "Command line"
        SYSTEM = "system", "Headroom itself"

    at = models.DateTimeField("time", db_default=Now())
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
    )
    actor_name = models.CharField(max_length=254, help_text="As it was at the time: a person, a key, a command.")
    how = models.CharField(max_length=8, choices=How)
    account = models.ForeignKey(
        Account, null=True, blank=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="audit_entries"
    )
    workspace = models.ForeignKey(
        Workspace, null=True, blank=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    action = models.CharField(max_length=60, help_text="What happened, as “limit.changed” or “alert.refused”.")
    subject = models.CharField(max_length=200, help_text="What it happened to, as “ai_resolutions”.")
    before = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    after = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    reason = models.TextField(blank=True)

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["account", "-at"], name="audit_by_account"),
            models.Index(fields=["workspace", "action", "subject", "-at"], name="audit_by_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.action} {self.subject}"


class Heartbeat(models.Model):
    """When a worker of a cluster last did something; the supervisor and the health page read it."""

    name = models.CharField(max_length=60, primary_key=True)
    beat_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class JobRun(models.Model):
    """One run of a periodic job for its slot; the unique pair makes a second delivery a no-op."""

    name = models.CharField(max_length=60)
    slot = models.DateTimeField()
    started_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)
    result: models.JSONField[Any, Any] = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)

    class Meta:
        ordering = ["-slot"]
        constraints = [models.UniqueConstraint(fields=["name", "slot"], name="job_once_per_slot")]
        indexes = [models.Index(fields=["name", "-finished_at"], name="job_last_finished")]

    def __str__(self) -> str:
        return f"{self.name} {self.slot:%Y-%m-%d %H:%M}"
