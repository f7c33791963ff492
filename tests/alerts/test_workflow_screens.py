"""The workflow editor by its forms, as a browser without JavaScript sends them (spec 1.3, 4.6)."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from alerts.models import HandoverSteps, Workflow
from tests import factories
from tests.alerts.conversations import Application, limit, make_account
from usage.models import Account, AuditEntry, User

pytestmark = pytest.mark.django_db

AGENT = {"type": "let_ai_agent_answer"}


@pytest.fixture
def account() -> Account:
    account = make_account(workspaces=("atlas", "birch"))
    factories.make_teammate(limits=True)
    factories.make_teammate(email="cleo@example.com", alerts=True)
    return account


def browser(email: str = "ada@example.com", **headers: str) -> Client:
    client = Client(headers=headers or None)
    client.force_login(User.objects.get(email=email), backend="usage.sign_in.UserBackend")
    return client


@pytest.fixture
def ada(account: Account) -> Client:
    return browser()


def address(name: str, *args: Any, workspace: str = "atlas") -> str:
    return reverse(name, args=[workspace, *args])


def stored(position: int = 1, name: str = "First answer", **fields: Any) -> Workflow:
    return Workflow.objects.create(
        workspace=factories.workspace(),
        name=name,
        position=position,
        audience={},
        branches=[{"name": "Everyone", "steps": [AGENT]}],
        **fields,
    )


def form(**changes: Any) -> dict[str, Any]:
    """A workflow of two branches, as the editor sends it."""
    return {
        "name": "First answer",
        "is_on": "on",
        "a-channel": ["chat", "email"],
        "a-limit": "",
        "branch": ["0", "1"],
        "b0-name": "Over the limit",
        "b0-limit": "true",
        "b0-step": ["0", "1"],
        "b0-s0-type": "reply_with_message",
        "b0-s0-message": "Thanks.\r\nA colleague answers.",
        "b0-s1-type": "hand_over_to_team",
        "b0-s1-team": "Berlin",
        "b1-name": "",
        "b1-step": ["0"],
        "b1-s0-type": "let_ai_agent_answer",
        "do": "save",
    } | changes


class TestTheList:
    def test_shows_workflows_in_order_with_their_rules_and_the_handover_steps(self, ada: Client) -> None:
        stored(2, "Second")
        first = stored(1, "First <b>")
        first.audience = {"channels": ["chat"], "limit_reached": True}
        first.save()
        page = ada.get(address("workflows")).content.decode()
        assert page.index("First &lt;b&gt;") < page.index("Second")
        for words in ("Resolution limit reached", "Channel", "Let AI Agent answer", "Hand over to team"):
            assert words in page

    def test_an_empty_one_says_what_happens_without_workflows(self, ada: Client) -> None:
        page = ada.get(address("workflows")).content.decode()
        assert "No workflows yet" in page
        assert address("workflow_new") in page

    def test_a_plan_without_workflows_explains_and_offers_the_upgrade(self) -> None:
        make_account("cobalt", plan="starter", workspaces=("cobalt",))
        factories.make_teammate("cobalt", limits=True)
        client = browser()
        page = client.get(address("workflows", workspace="cobalt")).content.decode()
        assert "Workflows are not included in your plan" in page
        assert "Handover steps" in page
        assert address("workflow_new", workspace="cobalt") not in page
        assert client.get(address("workflow_new", workspace="cobalt")).status_code == 302
        assert client.post(address("workflow_new", workspace="cobalt"), form()).status_code == 302
        assert not Workflow.objects.exists()

    def test_buttons_order_it(self, ada: Client) -> None:
        rows = [stored(1, "a"), stored(2, "b"), stored(3, "c")]

        def move(row: Workflow, direction: str) -> str:
            ada.post(address("workflow_move", row.pk), {"direction": direction})
            return "".join(Workflow.objects.order_by("position").values_list("name", flat=True))

        assert move(rows[2], "up") == "acb"
        assert move(rows[0], "down") == "cab"
        assert move(rows[2], "up") == "cab"  # it is the first already
        assert move(rows[1], "down") == "cab"  # and this one the last

    def test_deleting_asks_first_and_closes_the_gap(self, ada: Client) -> None:
        first, second = stored(1, "a"), stored(2, "b")
        question = ada.get(address("workflow_delete", first.pk))
        assert "Delete “a”?" in question.content.decode()
        assert Workflow.objects.count() == 2
        ada.post(address("workflow_delete", first.pk))
        second.refresh_from_db()
        assert (Workflow.objects.count(), second.position) == (1, 1)
        assert AuditEntry.objects.filter(action="workflow.deleted", subject="a").exists()


class TestSaving:
    def test_a_new_workflow_is_stored_and_answers_the_next_message(self, ada: Client, account: Account) -> None:
        response = ada.post(address("workflow_new"), form())
        assert response.headers["Location"] == address("workflows")
        row = Workflow.objects.get()
        assert (row.name, row.is_on, row.position) == ("First answer", True, 1)
        assert row.audience["channels"] == ["chat", "email"]
        assert row.branches[0]["steps"] == [
            {"type": "reply_with_message", "message": "Thanks.\nA colleague answers."},
            {"type": "hand_over_to_team", "team": "Berlin"},
        ]
        entry = AuditEntry.objects.get(action="workflow.created")
        assert (entry.actor_name, entry.before) == ("ada@example.com", None)
        limit(0)
        assert Application(account).starts("c-1", channel="chat")["reason"] == "workflow"

    def test_the_editor_shows_what_is_stored_and_saving_it_unchanged_changes_nothing(self, ada: Client) -> None:
        ada.post(address("workflow_new"), form())
        row = Workflow.objects.get()
        page = ada.get(address("workflow_edit", row.pk))
        assert page.status_code == 200
        for words in ("First answer", "Over the limit", "Berlin", "A colleague answers."):
            assert words in page.content.decode()
        ada.post(address("workflow_edit", row.pk), form())
        assert AuditEntry.objects.filter(action__startswith="workflow.").count() == 1

    def test_a_change_is_audited_with_before_and_after(self, ada: Client) -> None:
        row = stored()
        ada.post(address("workflow_edit", row.pk), form(name="Renamed"))
        entry = AuditEntry.objects.get(action="workflow.changed")
        assert (entry.before["name"], entry.after["name"]) == ("First answer", "Renamed")

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"name": "  "}, "Give the workflow a name."),
            ({"name": "x" * 101}, "at most 100 characters"),
            ({"name": "a\x00b"}, "cannot be stored"),
            ({"branch": []}, "at least one branch"),
            ({"b0-step": []}, "at least one step"),
            ({"b0-s0-message": " "}, "Must be given"),
            ({"b0-s0-message": "x" * 4001}, "at most 4000 characters"),
            ({"b0-s0-type": "dance"}, "must be one of"),
            ({"a-channel": ["fax"]}, "must be one of"),
            ({"a-metric": ["moons"]}, "is not the key of a metric"),
            ({"b1-metric": ["Ü"]}, "must be the key of a metric"),
        ],
    )
    def test_what_cannot_be_is_refused_in_place_and_nothing_is_stored(
        self, ada: Client, changes: dict[str, Any], words: str
    ) -> None:
        response = ada.post(address("workflow_new"), form(**changes))
        assert response.status_code == 422
        assert words.lower() in response.content.decode().lower()
        assert not Workflow.objects.exists()

    def test_a_crafted_form_of_nonsense_never_breaks(self, ada: Client) -> None:
        junk = {
            "branch": ["-1", "x", "9" * 30, "½", "²", "5"],
            "b5-step": ["7", "", "٣"],
            "b5-s7-type": "",
            "do": "x" * 5000,
        }
        assert ada.post(address("workflow_new"), junk).status_code == 422
        assert ada.post(address("workflow_new"), {"do": "step_up-0-0"}).status_code == 422
        assert ada.get(address("workflow_edit", 10**30)).status_code == 404


class TestButtons:
    def press(self, ada: Client, button: str, **changes: Any) -> str:
        response = ada.post(address("workflow_new"), form(do=button, **changes))
        assert response.status_code == 200
        assert not Workflow.objects.exists()
        return response.content.decode()

    def test_a_branch_moves_and_goes(self, ada: Client) -> None:
        changes = {"b1-name": "Everyone else"}
        page = self.press(ada, "branch_down-0", **changes)
        assert page.index("Everyone else") < page.index("Over the limit")
        assert "Over the limit" not in self.press(ada, "branch_delete-0", **changes)

    def test_a_step_is_added_moved_and_removed(self, ada: Client) -> None:
        page = self.press(ada, "step_add-1", **{"b1-new": "send_to_inbox"})
        assert 'name="b1-s1-type" value="send_to_inbox"' in page
        page = self.press(ada, "step_down-0-0")
        assert 'name="b0-s0-type" value="hand_over_to_team"' in page
        page = self.press(ada, "step_delete-0-1")
        assert "Berlin" not in page

    def test_with_htmx_only_the_editor_comes_back(self, account: Account) -> None:
        client = browser(**{"HX-Request": "true"})
        page = client.post(address("workflow_new"), form(do="branch_add")).content.decode()
        assert page.lstrip().startswith("<form")
        saved = client.post(address("workflow_new"), form())
        assert saved.headers["HX-Redirect"] == address("workflows")


class TestHandoverSteps:
    def test_are_saved_and_given(self, ada: Client, account: Account) -> None:
        sent = {
            "branch": "0",
            "b0-step": "0",
            "b0-s0-type": "reply_with_message",
            "b0-s0-message": "Soon",
            "do": "save",
        }
        assert ada.post(address("handover_steps"), sent).status_code == 302
        assert HandoverSteps.objects.get().steps == [{"type": "reply_with_message", "message": "Soon"}]
        assert AuditEntry.objects.filter(action="handover_steps.changed").count() == 1
        limit(0)
        assert Application(account).starts("c-1")["steps"] == HandoverSteps.objects.get().steps
        assert "Soon" in ada.get(address("handover_steps")).content.decode()

    def test_the_agent_cannot_take_part(self, ada: Client) -> None:
        assert "let_ai_agent_answer" not in ada.get(address("handover_steps")).content.decode()
        sent = {"branch": "0", "b0-step": "0", "b0-s0-type": "let_ai_agent_answer", "do": "save"}
        response = ada.post(address("handover_steps"), sent)
        assert response.status_code == 422
        assert "the agent cannot take part" in response.content.decode().lower()

    def test_need_at_least_one_step(self, ada: Client) -> None:
        assert ada.post(address("handover_steps"), {"branch": "0", "do": "save"}).status_code == 422
        assert ada.post(address("handover_steps"), {"do": "save"}).status_code == 422


class TestWithoutThePermission:
    @pytest.fixture
    def cleo(self, account: Account) -> Client:
        return browser("cleo@example.com")

    def test_everything_can_be_read_and_nothing_used(self, cleo: Client) -> None:
        row = stored()
        for page in (
            cleo.get(address("workflows")),
            cleo.get(address("workflow_edit", row.pk)),
            cleo.get(address("handover_steps")),
        ):
            assert page.status_code == 200
            assert "Can manage hard limits" in page.content.decode()
            assert 'aria-disabled="true"' in page.content.decode()

    def test_every_change_is_refused_by_name_audited_and_without_effect(self, cleo: Client) -> None:
        row = stored()
        attempts = [
            cleo.post(address("workflow_new"), form()),
            cleo.post(address("workflow_edit", row.pk), form(name="Mine")),
            cleo.post(address("workflow_edit", row.pk), form(do="branch_add")),
            cleo.post(address("workflow_move", row.pk), {"direction": "up"}),
            cleo.post(address("workflow_delete", row.pk)),
            cleo.post(address("handover_steps"), {"do": "save"}),
        ]
        for response in attempts:
            assert response.status_code == 403
            page = response.content.decode()
            for words in ("This feature is restricted", "Can manage hard limits", "Ada", "mailto:"):
                assert words in page
        row.refresh_from_db()
        assert (row.name, Workflow.objects.count(), HandoverSteps.objects.count()) == ("First answer", 1, 0)
        assert AuditEntry.objects.filter(action="workflow.refused", actor_name="cleo@example.com").count() == 6

    def test_a_read_only_control_opens_the_pop_up(self, account: Account) -> None:
        client = browser("cleo@example.com", **{"HX-Request": "true"})
        response = client.get(address("workflow_restricted"))
        assert response.status_code == 403
        assert "This feature is restricted" in response.content.decode()
        assert "<html" not in response.content.decode()

    def test_the_pop_up_leads_back_to_the_page_it_came_from(self, account: Account) -> None:
        client = browser("cleo@example.com", **{"HX-Request": "true"})
        for control, page in (("workflow_restricted", "workflows"), ("billing_restricted", "billing")):
            assert f'href="{address(page)}"' in client.get(address(control)).content.decode()


class TestForeignWorkspaces:
    def test_answer_like_missing_ones(self, ada: Client) -> None:
        make_account("other", workspaces=("foreign",))
        foreign = Workflow.objects.create(workspace=factories.workspace("foreign"), name="x", position=1)
        for workspace in ("foreign", "nowhere", "birch"):
            assert ada.get(address("workflows", workspace=workspace)).status_code == 404
            assert ada.post(address("workflow_new", workspace=workspace), form()).status_code == 404
        for name in ("workflow_edit", "workflow_delete"):
            assert ada.get(address(name, foreign.pk)).status_code == 404
        for name in ("workflow_edit", "workflow_delete", "workflow_move"):
            assert ada.post(address(name, foreign.pk)).status_code == 404
        foreign.refresh_from_db()

    def test_without_a_login_they_lead_to_it_and_back(self, account: Account) -> None:
        response = Client().get(address("workflows"))
        assert response.status_code == 302
        assert response.headers["Location"].endswith(f"?next={address('workflows')}")
        fragment = Client(headers={"HX-Request": "true"}).get(address("workflows"))
        assert "HX-Redirect" in fragment.headers

    def test_admins_who_are_no_teammates_see_nothing(self, account: Account) -> None:
        factories.make_user("root@example.com", is_staff=True, is_superuser=True)
        assert browser("root@example.com").get(address("workflows")).status_code == 404
