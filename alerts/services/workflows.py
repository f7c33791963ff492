"""Workflows and handover steps: saved, ordered, removed; every change is in the audit trail (spec 4.6, 4.10).

An edited workflow changes the next answer: `route` reads the rows each time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from django.db import transaction
from django.db.models import F, Max

from alerts.models import HandoverSteps
from alerts.models import Workflow as StoredWorkflow
from alerts.selectors.decisions import workflows_are_included
from alerts.workflow_rules import Branch, Rules, Step, Workflow, handover_steps_from_json, steps_to_json
from usage.errors import Conflict, InvalidInput, NotFound
from usage.models import Metric, Workspace
from usage.services.audit import Actor, record

MAX_WORKFLOWS = 100


class WorkflowsNotIncluded(Conflict):
    """The account's plan does not include workflows; handover steps work without it (spec 4.6)."""

    def __init__(self) -> None:
        super().__init__("Workflows are not included in the plan.", code="workflows_not_included")


@transaction.atomic
def save_workflow(
    *,
    workspace: Workspace,
    workflow_id: int | None,
    name: str,
    audience: Rules,
    branches: tuple[Branch, ...],
    is_on: bool,
    now: datetime,
    by: Actor,
) -> int:
    """Store a workflow: a new one (`workflow_id` None) goes to the end of the list. Returns its id (spec 4.6).

    Raises InvalidInput (its field is the path, such as `branches[0].steps[1].message`), WorkflowsNotIncluded when the
    plan at `now` has none, NotFound for an id that is not of this workspace.
    """
    _lock(workspace)
    if not workflows_are_included(account=workspace.account, now=now):
        raise WorkflowsNotIncluded
    if not name.strip():
        raise InvalidInput("Give the workflow a name.", field="name")
    rules = _checked(Workflow(name=name.strip(), audience=audience, branches=branches))
    if not rules.branches:
        raise InvalidInput("A workflow needs at least one branch.", field="branches")
    data = rules.to_json()
    if workflow_id is None:
        rows = StoredWorkflow.objects.filter(workspace=workspace)
        if rows.count() >= MAX_WORKFLOWS:
            raise InvalidInput(f"A workspace can have at most {MAX_WORKFLOWS} workflows.", field="name")
        last = rows.aggregate(last=Max("position"))["last"]
        row = StoredWorkflow(workspace=workspace, position=(last or 0) + 1)
        before = None
    else:
        row = _find(workspace, workflow_id)
        before = _state(row)
    row.name, row.audience, row.branches, row.is_on = data["name"], data["audience"], data["branches"], is_on
    row.save()
    if before != _state(row):
        action = "workflow.created" if before is None else "workflow.changed"
        record(
            by=by,
            action=action,
            subject=row.name,
            account=workspace.account_id,
            workspace=workspace,
            before=before,
            after=_state(row),
        )
    return row.pk


@transaction.atomic
def move_workflow(*, workspace: Workspace, workflow_id: int, direction: Literal["up", "down"], by: Actor) -> None:
    """Swap a workflow with the one before or after it; at the end of the list nothing changes. Raises NotFound."""
    _lock(workspace)
    row = _find(workspace, workflow_id)
    rows = StoredWorkflow.objects.filter(workspace=workspace)
    if direction == "up":
        other = rows.filter(position__lt=row.position).order_by("-position").first()
    else:
        other = rows.filter(position__gt=row.position).order_by("position").first()
    if other is None:
        return
    before = {"position": row.position}
    row.position, other.position = other.position, row.position
    # Both have the same position in between: the constraint is checked at the end.
    row.save(update_fields=["position"])
    other.save(update_fields=["position"])
    record(
        by=by,
        action="workflow.moved",
        subject=row.name,
        account=workspace.account_id,
        workspace=workspace,
        before=before,
        after={"position": row.position},
    )


@transaction.atomic
def delete_workflow(*, workspace: Workspace, workflow_id: int, by: Actor) -> None:
    """Remove a workflow; those after it move up. Raises NotFound."""
    _lock(workspace)
    row = _find(workspace, workflow_id)
    before, name, position = _state(row), row.name, row.position
    row.delete()
    StoredWorkflow.objects.filter(workspace=workspace, position__gt=position).update(position=F("position") - 1)
    record(
        by=by, action="workflow.deleted", subject=name, account=workspace.account_id, workspace=workspace, before=before
    )


@transaction.atomic
def set_handover_steps(*, workspace: Workspace, steps: tuple[Step, ...], by: Actor) -> None:
    """What happens when the agent may not answer: the steps of a workflow without the agent (spec 4.6).

    Raises InvalidInput (its field is the path, such as `handover_steps[0].message`).
    """
    _lock(workspace)
    data = steps_to_json(steps)
    try:
        data = steps_to_json(handover_steps_from_json(data))
    except ValueError as error:
        raise invalid(error) from error
    row = HandoverSteps.objects.filter(workspace=workspace).first() or HandoverSteps(workspace=workspace)
    before = row.steps if row.pk else None
    row.steps = data
    row.save()
    if before != data:
        record(
            by=by,
            action="handover_steps.changed",
            subject="handover steps",
            account=workspace.account_id,
            workspace=workspace,
            before=before,
            after=data,
        )


def _lock(workspace: Workspace) -> None:
    """One editor of a workspace's list at a time. NO KEY UPDATE does not hold up counting, which refers to the row."""
    Workspace.objects.select_for_update(no_key=True).get(pk=workspace.pk)


def _find(workspace: Workspace, workflow_id: int) -> StoredWorkflow:
    row = StoredWorkflow.objects.filter(workspace=workspace, pk=workflow_id).first()
    if row is None:
        raise NotFound("There is no such workflow.")
    return row


def _state(row: StoredWorkflow) -> dict[str, Any]:
    return {"name": row.name, "is_on": row.is_on, "audience": row.audience, "branches": row.branches}


def _checked(workflow: Workflow) -> Workflow:
    """`workflow` as it will be read back; its rules may name existing metrics only."""
    try:
        checked = Workflow.from_json(workflow.to_json())
    except ValueError as error:
        raise invalid(error) from error
    named = {"audience.metrics": checked.audience.metrics} | {
        f"branches[{number}].rules.metrics": branch.rules.metrics for number, branch in enumerate(checked.branches)
    }
    known = set(Metric.objects.values_list("key", flat=True))
    for path, metrics in named.items():
        for metric in metrics:
            if metric not in known:
                raise InvalidInput(f"“{metric}” is not the key of a metric.", field=path)
    return checked


def invalid(error: ValueError) -> InvalidInput:
    """A refusal of `workflow_rules` with its path as the field."""
    path, _, words = str(error).partition(": ")
    return InvalidInput(words[:1].upper() + words[1:], field=path)
