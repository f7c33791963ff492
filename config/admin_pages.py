"""The operator's own pages in admin: health, and what can be started from it (spec 7.2, 7.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django_q.tasks import async_task

from config.health import findings, verdict
from usage.admin.base import actor_of
from usage.clocks import system_clock
from usage.services.audit import record


@dataclass(frozen=True, slots=True)
class Task:
    """Something that an operator may start for the whole installation; it runs as a job with the moment as its slot."""

    label: str
    function: str
    text: str


TASKS: Final = {
    "refresh": Task(
        "Refresh now",
        "alerts.jobs.refresh",
        "Looks at all accounts and tells what has been reached and was not told yet, as every 30 minutes.",
    ),
    "recalculate-limits": Task(
        "Recalculate limits now",
        "alerts.jobs.recalculate_limits",
        "Compares every hard limit with what was told of it, as every hour on the half-hour.",
    ),
    "close-due-periods": Task(
        "Close what is due now",
        "billing.jobs.close_due_periods",
        "Issues the invoices of all billing periods that have ended and whose grace is over, as every five minutes.",
    ),
    "deliver": Task(
        "Send what is due now",
        "alerts.jobs.deliver_pending",
        "Sends the waiting e-mails and webhooks whose next attempt is due, as every minute.",
    ),
    "check-invariants": Task(
        "Check what must always hold",
        "config.jobs.check_invariants",
        "Reads all usage and all documents in one snapshot and compares them. Nothing is changed. With very much usage "
        "run manage.py check_invariants instead: jobs end after five minutes.",
    ),
}


def health(request: HttpRequest) -> HttpResponse:
    """The health page; it fetches itself again while it is open."""
    _require_operator(request)
    now = system_clock()
    groups = findings(now=now)
    context = {
        **admin.site.each_context(request),
        "title": "Health",
        "groups": groups,
        "tasks": TASKS,
        "now": now,
        "verdict": verdict(groups),
    }
    return TemplateResponse(request, "admin/health.html", context)


def run_task(request: HttpRequest, name: str) -> HttpResponse:
    """Asks first; POST queues the job and leaves an audit entry."""
    _require_operator(request)
    task = TASKS.get(name)
    if task is None:
        raise Http404
    if request.method == "POST":
        now = system_clock()
        async_task(task.function, slot=now.isoformat())
        record(by=actor_of(request), action="job.started", subject=name, after={"slot": now})
        messages.success(request, f"{task.label}: queued. This page shows its result as soon as a worker has run it.")
        return redirect("admin:health")
    context = {**admin.site.each_context(request), "title": task.label, "task": task}
    return TemplateResponse(request, "admin/run_task.html", context)


def _require_operator(request: HttpRequest) -> None:
    """Jobs concern everybody's accounts: whoever may change accounts may start them."""
    if not request.user.has_perm("usage.change_account"):
        raise PermissionDenied
