"""What was done: the audit trail, job runs, heartbeats. All read-only."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from usage.admin import registry
from usage.admin.base import ReadOnlyAdmin
from usage.admin.columns import chosen, facts, filled, linked
from usage.models import AuditEntry, Heartbeat, JobRun

registry.ACCOUNT.lists.append(("Audit trail", "usage_auditentry"))
registry.WORKSPACE.lists.append(("Audit trail", "usage_auditentry"))


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who changed what, when, from what to what, and how (spec 4.10)."""

    list_display = ("at", "actor_name", "how", "action", "subject", linked("account"), linked("workspace"), "reason")
    list_display_links = ("at", "action")
    list_filter = ("how", "at", chosen("account"), chosen("workspace"))
    list_select_related = ("account", "workspace")
    unlisted = ("before", "after")
    ordering = ("-pk",)
    search_fields = ("action", "subject", "actor_name", "account__key", "workspace__key", "reason")
    search_help_text = "Action as limit.changed, subject, person, account or workspace"
    fields = (
        "at",
        "actor_name",
        "how",
        "action",
        "subject",
        linked("account"),
        linked("workspace"),
        "reason",
        facts("before"),
        facts("after"),
    )


@admin.register(JobRun)
class JobRunAdmin(ReadOnlyAdmin):
    """Runs of the periodic jobs, one for each slot."""

    list_display = ("name", "slot", "started_at", "finished_at", "took", "summary")
    list_filter = ("name", filled("finished_at", "state", empty="Not finished", filled="Finished"), "slot")
    search_fields = ("name",)
    ordering = ("-pk",)
    fields = ("name", "slot", "started_at", "finished_at", facts("result"))

    @admin.display(description="took")
    def took(self, run: JobRun) -> str:
        if run.finished_at is None:
            return "not finished"
        return f"{max((run.finished_at - run.started_at).total_seconds(), 0):.1f} s"

    @admin.display(description="result")
    def summary(self, run: JobRun) -> str:
        result: Any = run.result
        return ", ".join(f"{name} {value}" for name, value in result.items()) if isinstance(result, dict) else "–"


@admin.register(Heartbeat)
class HeartbeatAdmin(ReadOnlyAdmin):
    """When each cluster of workers last did something."""

    list_display = ("name", "beat_at")
