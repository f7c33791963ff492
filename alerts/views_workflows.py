"""Workflows and handover steps: the list and the editor (spec 4.6). Changes need *Can manage hard limits*."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods
from django_htmx.http import HttpResponseClientRedirect, trigger_client_event

from alerts.forms_workflows import (
    CHANNEL_LABELS,
    CONVERSATION_LABELS,
    LIMIT_LABELS,
    STEP_LABELS,
    Draft,
    rule_words,
)
from alerts.models import Workflow as StoredWorkflow
from alerts.selectors import decisions as selectors
from alerts.services import workflows as services
from alerts.workflow_rules import LET_AI_AGENT_ANSWER, Workflow, handover_steps_from_json
from config.web import is_fragment_request, page_or_partial
from usage.access import require_flag, restricted_page, shell_context, user_of, workspace_page
from usage.clocks import clock_of
from usage.errors import HeadroomError, NotFound
from usage.models import Metric, Workspace
from usage.permissions import has_flag, restricted
from usage.services.audit import Actor

FLAG = "can_manage_limits"
DOING = "change workflows"


@require_GET
@workspace_page
def workflows(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The list in the order in which workflows are tried, and the handover steps."""
    return page_or_partial(request, "alerts/workflow_list.html", "list", _list_context(request, workspace))


@require_http_methods(["GET", "POST"])
@workspace_page
def workflow_new(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The editor with a first draft."""
    if not _are_included(workspace):
        return redirect("workflows", workspace_key=workspace.key)
    return _edit(request, workspace, Draft.new(), workflow_id=None)


@require_http_methods(["GET", "POST"])
@workspace_page
def workflow_edit(request: HttpRequest, workspace: Workspace, workflow_id: int) -> HttpResponse:
    """The editor with a stored workflow."""
    row = StoredWorkflow.objects.filter(workspace=workspace, pk=workflow_id).first()
    if row is None:
        raise Http404
    stored = selectors.workflow_row(row)
    draft = Draft.of(stored.rules or Workflow(), name=stored.name, is_on=stored.is_on)
    if stored.rules is None:
        draft.error = "The stored workflow cannot be read and is skipped. Save it anew."
    return _edit(request, workspace, draft, workflow_id=workflow_id)


@require_http_methods(["GET", "POST"])
@workspace_page
def handover_steps(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The editor of what happens when the agent may not answer."""
    stored = Draft.of_steps(selectors.handover_steps_of(workspace=workspace))
    address = reverse("handover_steps", args=[workspace.key])

    def save(draft: Draft, by: Actor) -> str:
        steps = [step.to_json() for branch in draft.branches[:1] for step in branch.steps]
        parsed = _parsed(lambda: handover_steps_from_json(steps))
        services.set_handover_steps(workspace=workspace, steps=parsed, by=by)
        return "Handover steps saved"

    return _editor(request, workspace, stored, save, template="alerts/workflow_handover.html", address=address)


@require_http_methods(["POST"])
@workspace_page
def workflow_move(request: HttpRequest, workspace: Workspace, workflow_id: int) -> HttpResponse:
    """One place up or down."""

    def move(by: Actor) -> str:
        direction: Literal["up", "down"] = "down" if request.POST.get("direction") == "down" else "up"
        services.move_workflow(workspace=workspace, workflow_id=workflow_id, direction=direction, by=by)
        return ""

    return _change_list(request, workspace, move)


@require_http_methods(["GET", "POST"])
@workspace_page
def workflow_delete(request: HttpRequest, workspace: Workspace, workflow_id: int) -> HttpResponse:
    """Asks first; the form of the question removes it."""
    row = StoredWorkflow.objects.filter(workspace=workspace, pk=workflow_id).first()
    if row is None:
        raise Http404
    if request.method == "GET":
        context = shell_context(request, workspace, "workflows") | {
            "workflow": row,
            "action": reverse("workflow_delete", args=[workspace.key, workflow_id]),
            "close_url": reverse("workflows", args=[workspace.key]),
        }
        return render(request, "alerts/workflow_delete.html", context)

    def delete(by: Actor) -> str:
        services.delete_workflow(workspace=workspace, workflow_id=workflow_id, by=by)
        return f"{row.name} deleted"

    return _change_list(request, workspace, delete)


@require_GET
@workspace_page
def workflow_restricted(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The pop-up that a read-only control opens (spec 1.3)."""
    refusal = restricted(workspace=workspace, flags=[FLAG], doing=DOING, page="workflows")
    return restricted_page(request, refusal, attempted=False)


# --- The list ---


def _list_context(request: HttpRequest, workspace: Workspace) -> dict[str, Any]:
    names = dict(Metric.objects.values_list("key", "name"))
    rows = selectors.workflows_of(workspace=workspace)
    shown = [
        {
            "row": row,
            "rules": rule_words(row.rules.audience, names) if row.rules else [],
            "branches": [
                {
                    "name": branch.name or f"Branch {number}",
                    "steps": [STEP_LABELS[step.type] for step in branch.steps],
                }
                for number, branch in enumerate(row.rules.branches, start=1)
            ]
            if row.rules
            else [],
        }
        for row in rows
    ]
    return _context(request, workspace) | {
        "workflows": shown,
        "handover": Draft.of_steps(selectors.handover_steps_of(workspace=workspace)).branches[0].steps,
    }


def _change_list(request: HttpRequest, workspace: Workspace, change: Callable[[Actor], str]) -> HttpResponse:
    """Run a change of the list if the user may, and show the list again."""
    _require(request, workspace)
    said = change(Actor.of_user(user_of(request)))
    if said:
        messages.success(request, said)
    if is_fragment_request(request) and not said:
        return page_or_partial(request, "alerts/workflow_list.html", "list", _list_context(request, workspace))
    return _go_to(request, reverse("workflows", args=[workspace.key]))


# --- The editor ---


def _edit(request: HttpRequest, workspace: Workspace, stored: Draft, workflow_id: int | None) -> HttpResponse:
    address = (
        reverse("workflow_new", args=[workspace.key])
        if workflow_id is None
        else reverse("workflow_edit", args=[workspace.key, workflow_id])
    )

    def save(draft: Draft, by: Actor) -> str:
        parsed = _parsed(lambda: Workflow.from_json(draft.to_json()))
        services.save_workflow(
            workspace=workspace,
            workflow_id=workflow_id,
            name=parsed.name,
            audience=parsed.audience,
            branches=parsed.branches,
            is_on=draft.is_on,
            now=clock_of(workspace.account)(),
            by=by,
        )
        return f"{parsed.name} saved"

    return _editor(
        request,
        workspace,
        stored,
        save,
        template="alerts/workflow_edit.html",
        address=address,
        workflow_id=workflow_id,
    )


def _editor(
    request: HttpRequest,
    workspace: Workspace,
    stored: Draft,
    save: Callable[[Draft, Actor], str],
    *,
    template: str,
    address: str,
    **extra: Any,
) -> HttpResponse:
    """Show the stored draft, change the one that was sent, or save it and go back to the list."""
    draft, status = stored, 200
    if request.method == "POST":
        _require(request, workspace)
        draft = Draft.sent(request.POST)
        if not draft.press(request.POST.get("do", ""), request.POST.dict()):
            try:
                messages.success(request, save(draft, Actor.of_user(user_of(request))))
                return _go_to(request, reverse("workflows", args=[workspace.key]))
            except NotFound as error:
                raise Http404 from error
            except HeadroomError as refused:
                draft.show_error(refused.field or "", refused.detail)
                status = refused.status
    draft.describe(dict(Metric.objects.values_list("key", "name")))
    kinds = [
        (kind, label)
        for kind, label in STEP_LABELS.items()
        if "handover" not in template or kind != LET_AI_AGENT_ANSWER
    ]
    context = _context(request, workspace) | {
        "draft": draft,
        "address": address,
        "close_url": reverse("workflows", args=[workspace.key]),
        "channels": list(CHANNEL_LABELS.items()),
        "conversations": list(CONVERSATION_LABELS.items()),
        "limits": list(LIMIT_LABELS.items()),
        "metrics": _metrics(draft),
        "step_kinds": kinds,
        **extra,
    }
    response = page_or_partial(request, template, "editor", context, status=status)
    if draft.focus and is_fragment_request(request):
        trigger_client_event(response, "focus:on", {"selector": draft.focus}, after="settle")
    return response


def _parsed[Parsed](parse: Callable[[], Parsed]) -> Parsed:
    try:
        return parse()
    except ValueError as error:
        raise services.invalid(error) from error


def _metrics(draft: Draft) -> list[tuple[str, str]]:
    """Metrics with an agent or a limit, and those that the draft names already."""
    named = {key for each in (draft.audience, *(branch.rules for branch in draft.branches)) for key in each.metrics}
    return [
        (metric.key, metric.name)
        for metric in Metric.objects.order_by("position", "key")
        if metric.key in named or (metric.is_active and (metric.supports_limit or metric.agent_name))
    ]


# --- Both ---


def _context(request: HttpRequest, workspace: Workspace) -> dict[str, Any]:
    may_edit = has_flag(user=user_of(request), workspace=workspace, flag=FLAG)
    restricted_url = "" if may_edit else reverse("workflow_restricted", args=[workspace.key])
    return shell_context(request, workspace, "workflows") | {
        "may_edit": may_edit,
        "restricted_url": restricted_url,
        "are_included": _are_included(workspace),
    }


def _are_included(workspace: Workspace) -> bool:
    return selectors.workflows_are_included(account=workspace.account, now=clock_of(workspace.account)())


def _require(request: HttpRequest, workspace: Workspace) -> None:
    require_flag(
        request, workspace, FLAG, doing=DOING, action="workflow.refused", subject="workflows", page="workflows"
    )


def _go_to(request: HttpRequest, address: str) -> HttpResponse:
    return HttpResponseClientRedirect(address) if is_fragment_request(request) else redirect(address)
