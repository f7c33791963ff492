"""Workflows and handover steps as services: order, audit, checks, and two editors at once (spec 4.6, 4.10)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from alerts.models import HandoverSteps, Workflow
from alerts.selectors.decisions import handover_steps_of, workflows_are_included, workflows_of
from alerts.services import workflows as services
from alerts.workflow_rules import DEFAULT_HANDOVER, LET_AI_AGENT_ANSWER, SEND_TO_INBOX, Branch, Rules, Step
from tests import factories
from tests.alerts.conversations import make_account
from usage.errors import InvalidInput, NotFound
from usage.models import Account, AuditEntry, Workspace

pytestmark = pytest.mark.django_db

EVERYONE = (Branch(name="Everyone", steps=(Step(LET_AI_AGENT_ANSWER),)),)


@pytest.fixture
def account() -> Account:
    return make_account(workspaces=("atlas", "birch"))


@pytest.fixture
def atlas(account: Account) -> Workspace:
    return factories.workspace("atlas")


def save(workspace: Workspace, name: str = "First answer", **changes: Any) -> int:
    fields: dict[str, Any] = {
        "workflow_id": None,
        "audience": Rules(),
        "branches": EVERYONE,
        "is_on": True,
        "now": factories.NOON,
        "by": factories.BY,
    }
    return services.save_workflow(workspace=workspace, name=name, **(fields | changes))


def names(workspace: Workspace) -> list[tuple[int, str]]:
    return [(row.position, row.name) for row in workflows_of(workspace=workspace)]


def test_new_ones_go_to_the_end_of_their_workspaces_list(atlas: Workspace) -> None:
    birch = factories.workspace("birch")
    save(atlas, "a")
    save(birch, "other")
    save(atlas, "b")
    assert (names(atlas), names(birch)) == ([(1, "a"), (2, "b")], [(1, "other")])


def test_moving_swaps_neighbours_and_is_audited(atlas: Workspace) -> None:
    save(atlas, "a")
    second = save(atlas, "b")
    services.move_workflow(workspace=atlas, workflow_id=second, direction="up", by=factories.BY)
    assert names(atlas) == [(1, "b"), (2, "a")]
    entry = AuditEntry.objects.get(action="workflow.moved")
    assert (entry.subject, entry.before, entry.after) == ("b", {"position": 2}, {"position": 1})
    services.move_workflow(workspace=atlas, workflow_id=second, direction="up", by=factories.BY)
    assert AuditEntry.objects.filter(action="workflow.moved").count() == 1


def test_deleting_closes_the_gap_and_keeps_what_was_in_the_audit_trail(atlas: Workspace) -> None:
    first = save(atlas, "a")
    save(atlas, "b")
    save(atlas, "c")
    services.delete_workflow(workspace=atlas, workflow_id=first, by=factories.BY)
    assert names(atlas) == [(1, "b"), (2, "c")]
    assert AuditEntry.objects.get(action="workflow.deleted").before["branches"][0]["name"] == "Everyone"


def test_one_of_another_workspace_is_not_found(atlas: Workspace) -> None:
    foreign = save(factories.workspace("birch"))
    for attempt in (
        lambda: save(atlas, workflow_id=foreign),
        lambda: services.move_workflow(workspace=atlas, workflow_id=foreign, direction="up", by=factories.BY),
        lambda: services.delete_workflow(workspace=atlas, workflow_id=foreign, by=factories.BY),
    ):
        with pytest.raises(NotFound):
            attempt()
    assert Workflow.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"branches": ()}, "branches"),
        ({"branches": (Branch(),)}, "branches[0].steps"),
        ({"audience": Rules(metrics=("moons",))}, "audience.metrics"),
        ({"branches": (Branch(rules=Rules(metrics=("moons",)), steps=DEFAULT_HANDOVER),)}, "branches[0].rules.metrics"),
        ({"branches": (Branch(steps=(Step("dance"),)),)}, "branches[0].steps[0].type"),
    ],
)
def test_what_cannot_be_is_refused_by_its_path(atlas: Workspace, changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        save(atlas, **changes)
    assert refused.value.field == field
    assert not AuditEntry.objects.filter(action__startswith="workflow.").exists()


def test_a_plan_without_workflows_stores_none_but_handover_steps(account: Account) -> None:
    cobalt = make_account("cobalt", plan="starter", workspaces=("cobalt",))
    workspace = factories.workspace("cobalt")
    assert not workflows_are_included(account=cobalt, now=factories.NOON)
    assert workflows_are_included(account=account, now=factories.NOON)
    with pytest.raises(services.WorkflowsNotIncluded):
        save(workspace)
    services.set_handover_steps(workspace=workspace, steps=(Step(SEND_TO_INBOX),), by=factories.BY)
    assert handover_steps_of(workspace=workspace) == (Step(SEND_TO_INBOX),)


def test_handover_steps_are_to_hand_over_until_they_are_set(atlas: Workspace) -> None:
    assert handover_steps_of(workspace=atlas) == DEFAULT_HANDOVER
    with pytest.raises(InvalidInput) as refused:
        services.set_handover_steps(workspace=atlas, steps=(Step(LET_AI_AGENT_ANSWER),), by=factories.BY)
    assert refused.value.field == "handover_steps[0].type"
    for _ in range(2):
        services.set_handover_steps(workspace=atlas, steps=(Step(SEND_TO_INBOX),), by=factories.BY)
    entry = AuditEntry.objects.get(action="handover_steps.changed")  # once: the second time nothing changed
    assert (entry.before, entry.after) == (None, [{"type": "send_to_inbox"}])
    assert HandoverSteps.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_many_editors_at_once_leave_a_list_without_gaps(atlas: Workspace) -> None:
    ids = [save(atlas, name) for name in "abc"]
    together = threading.Barrier(6)

    def edit(number: int) -> None:
        together.wait()
        try:
            if number < 3:
                save(atlas, f"new-{number}")
            elif number < 5:
                services.move_workflow(workspace=atlas, workflow_id=ids[number - 3], direction="down", by=factories.BY)
            else:
                services.delete_workflow(workspace=atlas, workflow_id=ids[2], by=factories.BY)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(edit, range(6)))
    assert [position for position, _ in names(atlas)] == [1, 2, 3, 4, 5]
