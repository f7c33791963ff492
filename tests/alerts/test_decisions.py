"""Who answers a customer's message (spec 4.5), asked over HTTP against real PostgreSQL."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.models import Conversation, HandoverSteps, StoredAnswer, Workflow
from alerts.selectors.decisions import resolution_rate
from tests import factories
from tests.alerts.conversations import Application, limit, make_account, set_clock
from usage.models import Account, Period

pytestmark = pytest.mark.django_db

BODY = {"conversation_id": "c-1", "message_id": "m-1", "metric": "ai_resolutions", "event": "started"}
AGENT = [{"type": "let_ai_agent_answer"}]
TEAM = [{"type": "hand_over_to_team"}]
INBOX = [{"type": "send_to_inbox"}]
JULY = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
def account() -> Account:
    return make_account(workspaces=("atlas", "birch"))


@pytest.fixture
def app(account: Account) -> Application:
    return Application(account)


def write_workflow(audience: dict[str, Any], *branches: dict[str, Any], position: int = 1, **fields: Any) -> Workflow:
    return Workflow.objects.create(
        workspace=factories.workspace(),
        name="First answer",
        position=position,
        audience=audience,
        branches=list(branches),
        **fields,
    )


def branch(*steps: dict[str, str], **rules: Any) -> dict[str, Any]:
    return {"rules": rules, "steps": list(steps)}


class TestWithoutALimit:
    def test_the_agent_answers(self, app: Application) -> None:
        assert app.starts("c-1") == {
            "answered_by": "ai_agent",
            "steps": AGENT,
            "reason": "default",
            "counts_towards_resolution_rate": True,
        }

    def test_a_reply_of_an_unknown_conversation_is_answered_too(self, app: Application) -> None:
        answer = app.ask("c-unknown")
        assert (answer["answered_by"], answer["reason"]) == ("ai_agent", "default")

    def test_usage_below_the_limit_leaves_the_agent_on(self, app: Application) -> None:
        limit(3)
        factories.use(quantity=2)
        assert app.starts("c-1")["answered_by"] == "ai_agent"


class TestAfterTheLimit:
    def test_a_new_conversation_jumps_to_the_handover_steps_and_does_not_count(self, app: Application) -> None:
        limit(2)
        factories.use(quantity=2)
        assert app.starts("c-1") == {
            "answered_by": "handover",
            "steps": TEAM,
            "reason": "limit_reached",
            "counts_towards_resolution_rate": False,
        }

    def test_one_in_progress_is_handed_over_at_the_customers_next_message_and_then_waits_in_the_inbox(
        self, app: Application
    ) -> None:
        limit(1)
        app.starts("c-1")
        factories.use()
        answers = [app.ask("c-1") for _ in range(3)]
        assert [(answer["answered_by"], answer["reason"]) for answer in answers] == [
            ("handover", "limit_reached"),
            ("inbox", "already_handed_over"),
            ("inbox", "already_handed_over"),
        ]
        assert [answer["steps"] for answer in answers] == [TEAM, INBOX, INBOX]
        # It was first answered by the agent, so it goes on counting.
        assert all(answer["counts_towards_resolution_rate"] for answer in answers)

    def test_a_reply_of_an_unknown_conversation_counts_as_in_progress(self, app: Application) -> None:
        limit(0)
        answers = [app.ask("c-1"), app.ask("c-1")]
        assert [answer["answered_by"] for answer in answers] == ["handover", "inbox"]
        assert not answers[1]["counts_towards_resolution_rate"]

    def test_a_limit_of_zero_stops_before_anything_was_used(self, app: Application) -> None:
        limit(0)
        assert app.starts("c-1")["reason"] == "limit_reached"

    def test_the_workspaces_own_handover_steps_are_given(self, app: Application) -> None:
        steps = [{"type": "reply_with_message", "message": "A colleague answers."}, {"type": "send_to_inbox"}]
        HandoverSteps.objects.create(workspace=factories.workspace(), steps=steps)
        limit(0)
        assert app.starts("c-1")["steps"] == steps

    def test_handover_steps_work_on_a_plan_without_workflows(self) -> None:
        app = Application(make_account("cobalt", plan="starter", workspaces=("cobalt",)), workspace="cobalt")
        HandoverSteps.objects.create(workspace=factories.workspace("cobalt"), steps=INBOX)
        limit(0, workspace="cobalt")
        assert app.starts("c-1")["steps"] == INBOX

    def test_only_the_workspace_and_metric_of_the_limit_are_stopped(self, app: Application) -> None:
        limit(0)
        assert app.starts("voice", metric="voice_resolutions")["answered_by"] == "ai_agent"
        app.workspace = "birch"
        assert app.starts("c-1")["answered_by"] == "ai_agent"

    def test_voice_behaves_the_same(self, app: Application) -> None:
        limit(1, "voice_resolutions")
        factories.use("voice_resolutions")
        answer = app.starts("call-1", metric="voice_resolutions", channel="phone")
        assert (answer["answered_by"], answer["reason"]) == ("handover", "limit_reached")


class TestWhenTheAgentIsOnAgain:
    def test_what_was_handed_over_stays_with_the_team_and_the_others_return(
        self, app: Application, account: Account
    ) -> None:
        limit(1)
        app.starts("handed over")
        app.starts("silent")
        factories.use()
        app.ask("handed over")
        limit(None)
        assert app.ask("handed over")["reason"] == "already_handed_over"
        assert app.ask("silent")["answered_by"] == "ai_agent"
        assert app.starts("new")["answered_by"] == "ai_agent"

    def test_a_voided_resolution_switches_it_on_at_once(self, app: Application, account: Account) -> None:
        limit(1)
        from usage.services.corrections import void_event
        from usage.services.ingest import ingest_sent

        sent = factories.event(id_="r-1", time=factories.NOON)
        ingest_sent(account_id=account.pk, sent=[sent], clock=lambda: factories.NOON)
        assert app.starts("c-1")["answered_by"] == "handover"
        void_event(
            account=account,
            source="urn:tests",
            event_id="r-1",
            reason="The customer came back.",
            clock=lambda: factories.NOON,
            by=factories.BY,
        )
        assert app.starts("c-2")["answered_by"] == "ai_agent"

    def test_a_new_period_begins_without_any_job(self, app: Application, account: Account) -> None:
        limit(1)
        factories.use()
        assert app.starts("june")["answered_by"] == "handover"
        set_clock(account, JULY)
        assert not Period.objects.filter(account=account, starts_at=JULY).exists()
        assert app.starts("july")["answered_by"] == "ai_agent"
        assert Conversation.objects.get(conversation_id="july").first_period == JULY

    def test_a_limit_scheduled_for_the_next_period_holds_from_its_first_instant(
        self, app: Application, account: Account
    ) -> None:
        limit(0, from_period=JULY)
        set_clock(account, JULY - timedelta(microseconds=1))
        assert app.starts("june")["answered_by"] == "ai_agent"
        set_clock(account, JULY)
        assert app.starts("july")["answered_by"] == "handover"


class TestWorkflows:
    def test_the_first_matching_branch_answers(self, app: Application) -> None:
        write_workflow(
            {},
            branch({"type": "reply_with_message", "message": "By SMS"}, channels=["sms"]),
            branch({"type": "hand_over_to_team", "team": "Berlin"}, channels=["chat", "email"]),
        )
        assert app.starts("c-1", channel="email") == {
            "answered_by": "workflow",
            "steps": [{"type": "hand_over_to_team", "team": "Berlin"}],
            "reason": "workflow",
            "counts_towards_resolution_rate": False,
        }
        assert app.ask("c-1")["reason"] == "already_handed_over"
        assert app.starts("c-2", channel="phone")["reason"] == "default"
        assert app.starts("c-3")["reason"] == "default"  # without a channel no rule about channels matches

    def test_a_reply_alone_does_not_give_the_conversation_away(self, app: Application) -> None:
        write_workflow({"conversations": ["new"]}, branch({"type": "reply_with_message", "message": "Hello"}))
        assert app.starts("c-1")["answered_by"] == "workflow"
        later = app.ask("c-1")
        assert (later["answered_by"], later["counts_towards_resolution_rate"]) == ("ai_agent", False)

    def test_a_backup_workflow_takes_over_when_the_limit_is_reached(self, app: Application) -> None:
        limit(1)
        write_workflow(
            {},
            branch({"type": "send_to_inbox"}, limit_reached=True),
            branch({"type": "let_ai_agent_answer"}),
        )
        before = app.starts("c-1")
        assert (before["answered_by"], before["reason"]) == ("ai_agent", "workflow")
        factories.use()
        after = app.starts("c-2")
        assert (after["answered_by"], after["reason"], after["steps"]) == ("workflow", "workflow", INBOX)

    def test_without_the_predicate_the_agents_step_becomes_the_inbox(self, app: Application) -> None:
        limit(0)
        write_workflow({}, branch({"type": "let_ai_agent_answer"}))
        answer = app.starts("c-1")
        assert (answer["answered_by"], answer["reason"], answer["steps"]) == ("inbox", "limit_reached", INBOX)
        limit(None)
        assert app.ask("c-1")["answered_by"] == "ai_agent"

    def test_replies_are_only_for_workflows_about_conversations_in_progress(self, app: Application) -> None:
        write_workflow({}, branch({"type": "send_to_inbox"}))
        assert app.ask("c-1")["reason"] == "default"
        write_workflow({"conversations": ["in_progress"]}, branch(*TEAM), position=2)
        assert app.ask("c-1")["steps"] == TEAM

    def test_they_are_tried_in_order_and_only_when_on(self, app: Application) -> None:
        write_workflow({}, branch(*INBOX), position=1, is_on=False)
        write_workflow({}, branch(*TEAM), position=3)
        write_workflow({}, branch({"type": "reply_with_message", "message": "Hi"}), position=2)
        assert app.starts("c-1")["steps"] == [{"type": "reply_with_message", "message": "Hi"}]

    def test_an_edited_workflow_changes_the_next_answer(self, app: Application) -> None:
        stored = write_workflow({}, branch(*INBOX))
        assert app.starts("c-1")["steps"] == INBOX
        stored.branches = [branch(*TEAM)]
        stored.save()
        assert app.starts("c-2")["steps"] == TEAM

    @pytest.mark.parametrize("plan", ["starter", None])
    def test_stored_ones_are_skipped_when_the_plan_has_none(self, plan: str | None) -> None:
        app = Application(make_account(plan=plan))
        write_workflow({}, branch(*INBOX))
        assert app.starts("c-1")["reason"] == "default"

    def test_one_that_cannot_be_read_is_skipped(self, app: Application) -> None:
        write_workflow({"moon": "full"}, branch(*INBOX))
        write_workflow({}, branch(*TEAM), position=2)
        assert app.starts("c-1")["steps"] == TEAM


class TestTheSameMessage:
    def test_gets_the_same_answer_whatever_changed_since(self, app: Application) -> None:
        first = app.starts("c-1", message="m-1")
        limit(0)
        assert app.starts("c-1", message="m-1") == first
        assert app.ask("c-1", message="m-1", metric="voice_resolutions") == first
        assert StoredAnswer.objects.count() == 1

    def test_is_the_same_only_within_its_conversation_and_workspace(self, app: Application) -> None:
        app.starts("c-1", message="m-1")
        app.starts("c-2", message="m-1")
        app.workspace = "birch"
        app.starts("c-1", message="m-1")
        assert (Conversation.objects.count(), StoredAnswer.objects.count()) == (3, 3)

    def test_a_handover_is_not_repeated_when_its_answer_was_lost(self, app: Application) -> None:
        limit(0)
        first = app.ask("c-1", message="m-1")
        assert app.ask("c-1", message="m-1") == first
        assert first["answered_by"] == "handover"
        assert app.ask("c-1", message="m-2")["answered_by"] == "inbox"


def test_a_question_costs_two_statements(app: Application, account: Account) -> None:
    # The sandbox clock reads the account; a real account's does not.
    Account.objects.filter(pk=account.pk).update(is_sandbox=False, sandbox_now=None)
    app.starts("warm up: the running period is opened")
    with CaptureQueriesContext(connection) as statements:
        app.starts("c-1")
    assert len(statements) == 2  # key, workspace and facts; the answer


@pytest.mark.django_db(transaction=True)
class TestRaces:
    def ask_together(self, app: Application, bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        together = threading.Barrier(len(bodies))

        def ask(body: dict[str, Any]) -> dict[str, Any]:
            together.wait()
            try:
                response = app.post(body)
                assert response.status_code == 200, response.content
                answer: dict[str, Any] = response.json()
                return answer
            finally:
                connection.close()

        with ThreadPoolExecutor(len(bodies)) as pool:
            return list(pool.map(ask, bodies))

    def test_one_message_asked_by_many_at_once_has_one_answer(self, app: Application) -> None:
        limit(0)
        for number in range(5):
            body = BODY | {"conversation_id": f"c-{number}"}
            answers = self.ask_together(app, [body] * 6)
            assert all(answer == answers[0] for answer in answers)
            assert StoredAnswer.objects.filter(conversation__conversation_id=f"c-{number}").count() == 1

    def test_messages_of_one_new_conversation_at_once_begin_it_once(self, app: Application) -> None:
        for number in range(5):
            bodies = [BODY | {"conversation_id": f"c-{number}", "message_id": f"m-{each}"} for each in range(6)]
            self.ask_together(app, bodies)
            assert Conversation.objects.filter(conversation_id=f"c-{number}").count() == 1
        assert StoredAnswer.objects.count() == 30

    def test_of_many_messages_after_the_limit_exactly_one_hands_over(self, app: Application) -> None:
        app.starts("c-1")
        limit(0)
        bodies = [BODY | {"message_id": f"late-{each}", "event": "customer_replied"} for each in range(6)]
        answers = self.ask_together(app, bodies)
        assert sorted(answer["answered_by"] for answer in answers) == ["handover", *["inbox"] * 5]


class TestResolutionRate:
    def test_is_resolutions_over_the_conversations_that_the_agent_answered_first(
        self, app: Application, account: Account
    ) -> None:
        limit(3)
        for number in range(4):
            app.starts(f"c-{number}")
        factories.use(quantity=3)
        app.starts("after the limit")
        rate = resolution_rate(workspace=factories.workspace(), period=datetime(2026, 6, 1, tzinfo=UTC))
        assert (rate.resolutions, rate.conversations, rate.percent) == (Decimal(3), 4, Decimal(75))

    def test_is_unknown_before_the_first_conversation(self, account: Account) -> None:
        rate = resolution_rate(workspace=factories.workspace(), period=datetime(2026, 6, 1, tzinfo=UTC))
        assert (rate.resolutions, rate.conversations, rate.percent) == (Decimal(0), 0, None)

    def test_belongs_to_the_period_of_the_first_answer(self, app: Application, account: Account) -> None:
        app.starts("june")
        set_clock(account, JULY)
        app.ask("june")
        app.starts("july")
        rates = [
            resolution_rate(workspace=factories.workspace(), period=period)
            for period in (datetime(2026, 6, 1, tzinfo=UTC), JULY)
        ]
        assert [rate.conversations for rate in rates] == [1, 1]
