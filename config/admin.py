"""What every list can do, and the queue in admin, read-only: schedules follow `config.schedules`, never a hand."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django_q.models import Failure, OrmQ, Schedule, Success
from django_q.tasks import async_task

from usage.admin.actions import confirmed
from usage.admin.base import ReadOnlyAdmin, actor_of
from usage.admin.columns import facts, list_link
from usage.admin.exports import download_csv
from usage.services.audit import record

admin.site.add_action(download_csv)


@confirmed(
    description="Queue again…",
    text="The job runs again with the same arguments. Jobs may run twice without harm.",
)
def queue_again(modeladmin: Any, request: HttpRequest, task: Any, typed: dict[str, Any]) -> str:
    async_task(task.func, *(task.args or ()), **(task.kwargs or {}))
    record(by=actor_of(request), action="job.queued_again", subject=task.func, after={"task": task.pk})
    return "queued."


class TaskAdmin(ReadOnlyAdmin):
    """Jobs that ran lately."""

    list_display = ("func", "arguments", "started", "stopped", "attempt_count", "name")
    list_filter = ("func", "started")
    search_fields = ("name", "func")
    fields = ("name", "func", "arguments", "started", "stopped", "attempt_count", facts("result", "outcome"))

    @admin.display(description="arguments")
    def arguments(self, task: Any) -> str:
        return ", ".join([*map(str, task.args or ()), *(f"{k}={v}" for k, v in (task.kwargs or {}).items())]) or "–"


@admin.register(Success)
class SuccessAdmin(TaskAdmin):
    pass


@admin.register(Failure)
class FailureAdmin(TaskAdmin):
    """Jobs that failed for good or are tried again by the queue; the sweeps make up for them."""

    actions = (queue_again,)


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    """The periodic jobs as the queue sees them; the one table is `config.schedules`."""

    list_display = ("name", "func", "cron", "next_run", "runs")
    fields = list_display

    @admin.display(description="runs")
    def runs(self, schedule: Any) -> Any:
        return list_link("usage_jobrun", "Runs", name=schedule.name)


@admin.register(OrmQ)
class QueueAdmin(ReadOnlyAdmin):
    """Jobs that wait or are being worked on."""

    list_display = ("id", "job", "arguments", "lock")
    fields = ("id", "job", "arguments", "lock")
    ordering = ("lock", "id")

    @admin.display(description="job")
    def job(self, row: Any) -> str:
        return str(_packed(row).get("func", "–"))

    @admin.display(description="arguments")
    def arguments(self, row: Any) -> str:
        return ", ".join(map(str, _packed(row).get("args", ()))) or "–"


def _name_of(row: Any) -> str:
    return f"{_packed(row).get('func', 'job')} ({row.pk})"


OrmQ.__str__ = _name_of  # the queue gives its rows no name


def _packed(row: Any) -> dict[str, Any]:
    task = row.task
    return task if isinstance(task, dict) else {}
