"""Who answers: spec 4.5 and 4.6, sentence by sentence."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.workflow_rules import (
    CHANNELS,
    Answer,
    Branch,
    Question,
    Rules,
    Step,
    Workflow,
    answer_question,
    handover_steps_from_json,
    steps_to_json,
)

AGENT = Step("let_ai_agent_answer")
HAND_OVER = Step("hand_over_to_team", team="Billing")
INBOX = Step("send_to_inbox")
REPLY = Step("reply_with_message", message="We will be with you soon.")


def ask(*workflows: Workflow, handover: tuple[Step, ...] = (), **question: Any) -> Answer:
    asked = Question(**{"metric": "ai_resolutions", "event": "started", **question})
    return answer_question(question=asked, workflows=workflows, handover_steps=handover)


def flow(*branches: Branch, **audience: Any) -> Workflow:
    return Workflow(audience=Rules(**audience), branches=branches)


def branch(*steps: Step, **rules: Any) -> Branch:
    return Branch(rules=Rules(**rules), steps=steps)


# --- without workflows ------------------------------------------------------------------------------------------------


def test_without_a_match_the_agent_answers():
    assert ask() == Answer("ai_agent", "default", (AGENT,), stays_with_team=False)
    assert ask(event="customer_replied").answered_by == "ai_agent"


def test_over_the_limit_a_new_conversation_jumps_to_the_handover_steps_and_stays_with_the_team():
    assert ask(limit_reached=True, handover=(REPLY, HAND_OVER)) == Answer(
        "handover", "limit_reached", (REPLY, HAND_OVER), stays_with_team=True
    )


def test_over_the_limit_a_conversation_in_progress_is_handed_over_at_the_customers_first_message():
    answer = ask(limit_reached=True, event="customer_replied")
    assert (answer.answered_by, answer.reason, answer.stays_with_team) == ("handover", "limit_reached", True)


def test_without_handover_steps_the_conversation_is_handed_over_to_the_team():
    assert ask(limit_reached=True).steps == (Step("hand_over_to_team"),)


@pytest.mark.parametrize("limit_reached", [True, False])
def test_a_conversation_with_the_team_goes_to_the_inbox_whatever_else_holds(limit_reached):
    everything = flow(branch(AGENT), conversations=("new", "in_progress"))
    answer = ask(everything, is_with_team=True, event="customer_replied", limit_reached=limit_reached)
    assert answer == Answer("inbox", "already_handed_over", (INBOX,), stays_with_team=True)


# --- which branch -----------------------------------------------------------------------------------------------------


def test_the_first_matching_branch_of_the_first_workflow_with_one_answers():
    first = flow(branch(INBOX, channels=("sms",)))
    second = flow(branch(REPLY, channels=("email",)), branch(HAND_OVER), branch(AGENT))
    third = flow(branch(AGENT))
    assert ask(first, second, third, channel="sms").steps == (INBOX,)
    assert ask(first, second, third, channel="email").steps == (REPLY,)
    assert ask(first, second, third, channel="chat").steps == (HAND_OVER,)


def test_a_workflow_for_another_audience_is_passed_over():
    assert ask(flow(branch(INBOX), metrics=("voice_resolutions",))).reason == "default"
    assert ask(flow(branch(INBOX), metrics=("voice_resolutions",)), metric="voice_resolutions").reason == "workflow"
    assert ask(flow(branch(INBOX), channels=("email", "chat")), channel="chat").reason == "workflow"


def test_a_workflow_without_branches_answers_nobody():
    assert ask(flow()).reason == "default"


def test_a_question_without_channel_matches_no_rule_about_channels():
    assert ask(flow(branch(INBOX, channels=CHANNELS))).reason == "default"
    assert ask(flow(branch(INBOX), channels=CHANNELS)).reason == "default"
    assert ask(flow(branch(INBOX))).reason == "workflow"


def test_a_customers_reply_is_only_for_workflows_whose_audience_says_in_progress():
    def replied(**audience: Any) -> str:
        return ask(flow(branch(INBOX), **audience), event="customer_replied").reason

    assert replied() == "default"
    assert replied(conversations=("new",)) == "default"
    assert replied(conversations=("in_progress",)) == "workflow"
    assert replied(conversations=("new", "in_progress")) == "workflow"


def test_a_branch_cannot_stand_in_for_the_audience():
    assert ask(flow(branch(INBOX, conversations=("in_progress",))), event="customer_replied").reason == "default"


def test_a_new_conversation_is_for_every_audience_but_those_in_progress():
    assert ask(flow(branch(INBOX))).reason == "workflow"
    assert ask(flow(branch(INBOX), conversations=("new",))).reason == "workflow"
    assert ask(flow(branch(INBOX), conversations=("in_progress",))).reason == "default"
    assert (
        ask(flow(branch(INBOX, conversations=("in_progress",)), conversations=("new", "in_progress"))).reason
        == "default"
    )


def test_a_plan_without_workflows_skips_the_stored_ones_and_keeps_the_handover_steps():
    stored = flow(branch(INBOX))
    assert ask(stored, workflows_included=False).reason == "default"
    over = ask(stored, workflows_included=False, limit_reached=True, handover=(REPLY,))
    assert (over.answered_by, over.steps) == ("handover", (REPLY,))


# --- what the branch answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "answered_by", "stays"),
    [
        ((AGENT,), "ai_agent", False),
        ((REPLY, AGENT), "ai_agent", False),
        ((AGENT, HAND_OVER), "ai_agent", False),
        ((HAND_OVER,), "workflow", True),
        ((REPLY, INBOX), "workflow", True),
        ((REPLY,), "workflow", False),
    ],
)
def test_a_branch_with_the_agent_is_the_agents_and_one_that_hands_over_without_it_is_the_teams(
    steps, answered_by, stays
):
    assert ask(flow(branch(*steps))) == Answer(answered_by, "workflow", steps, stays_with_team=stays)


def test_over_the_limit_the_agents_step_becomes_send_to_inbox_and_the_conversation_returns_to_the_agent_later():
    assert ask(flow(branch(REPLY, AGENT)), limit_reached=True) == Answer(
        "inbox", "limit_reached", (REPLY, INBOX), stays_with_team=False
    )
    assert ask(flow(branch(AGENT, REPLY, HAND_OVER)), limit_reached=True).steps == (INBOX, REPLY, HAND_OVER)
    assert ask(flow(branch(REPLY, AGENT, INBOX)), limit_reached=True).steps == (REPLY, INBOX)


def test_with_the_predicate_before_it_the_other_branch_answers_over_the_limit():
    backup = flow(branch(REPLY, HAND_OVER, limit_reached=True), branch(AGENT))
    assert ask(backup).answered_by == "ai_agent"
    assert ask(backup, limit_reached=True) == Answer("workflow", "workflow", (REPLY, HAND_OVER), stays_with_team=True)


def test_a_hard_limit_also_stops_an_agent_that_stands_behind_the_predicate():
    assert ask(flow(branch(AGENT, limit_reached=True)), limit_reached=True).reason == "limit_reached"


def test_the_predicate_in_the_audience_chooses_the_workflow():
    over, under = flow(branch(REPLY), limit_reached=True), flow(branch(INBOX), limit_reached=False)
    assert ask(over, under, limit_reached=True).steps == (REPLY,)
    assert ask(over, under, limit_reached=False).steps == (INBOX,)


# --- properties -------------------------------------------------------------------------------------------------------

steps = st.lists(st.sampled_from([HAND_OVER, INBOX, REPLY]), min_size=1, max_size=3).flatmap(
    lambda rest: st.booleans().flatmap(
        lambda agent: st.permutations([AGENT, *rest] if agent else rest).map(tuple),
    )
)
rules = st.builds(
    Rules,
    channels=st.sets(st.sampled_from(CHANNELS), max_size=2).map(
        lambda chosen: tuple(c for c in CHANNELS if c in chosen)
    ),
    metrics=st.sampled_from([(), ("ai_resolutions",), ("voice_resolutions",)]),
    conversations=st.sampled_from([(), ("new",), ("in_progress",), ("new", "in_progress")]),
    limit_reached=st.sampled_from([None, True, False]),
)
workflows = st.builds(
    Workflow,
    name=st.sampled_from(["", "First answer"]),
    audience=rules,
    branches=st.lists(st.builds(Branch, rules=rules, steps=steps), max_size=3).map(tuple),
)
questions = st.builds(
    Question,
    metric=st.sampled_from(["ai_resolutions", "voice_resolutions"]),
    event=st.sampled_from(["started", "customer_replied"]),
    channel=st.sampled_from([None, *CHANNELS]),
    limit_reached=st.booleans(),
    is_with_team=st.booleans(),
    workflows_included=st.booleans(),
)


@given(question=questions, stored=st.lists(workflows, max_size=3), handover=st.lists(st.just(REPLY), max_size=1))
def test_over_the_limit_or_with_the_team_the_agent_never_answers(question, stored, handover):
    answer = answer_question(question=question, workflows=stored, handover_steps=handover)
    if question.limit_reached or question.is_with_team:
        assert answer.answered_by != "ai_agent"
        assert AGENT not in answer.steps
    assert (answer.answered_by == "ai_agent") == (AGENT in answer.steps)
    assert answer.steps
    if question.is_with_team or answer.answered_by == "handover":
        assert answer.stays_with_team


@given(workflow=workflows)
def test_a_workflow_survives_storage(workflow):
    assert Workflow.from_json(json.loads(json.dumps(workflow.to_json()))) == workflow


# --- stored form ------------------------------------------------------------------------------------------------------


def test_steps_are_written_without_what_they_do_not_have():
    assert steps_to_json([AGENT, HAND_OVER, REPLY]) == [
        {"type": "let_ai_agent_answer"},
        {"type": "hand_over_to_team", "team": "Billing"},
        {"type": "reply_with_message", "message": "We will be with you soon."},
    ]


def test_what_is_not_said_is_no_condition():
    assert Workflow.from_json({}) == Workflow()
    assert Rules.from_json({"channels": None}) == Rules()


def test_equal_choices_are_equal_rules():
    assert Rules.from_json({"channels": ["sms", "chat", "sms"]}) == Rules.from_json({"channels": ["chat", "sms"]})


AT = "branches[0].steps[1]"


def with_step(step: object) -> dict[str, Any]:
    return {"branches": [{"steps": [{"type": "send_to_inbox"}, step]}]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "workflow: must be an object"),
        ([], "workflow: must be an object"),
        ({"branch": []}, "workflow: has no member 'branch'"),
        ({"name": 7}, "name: must be a text"),
        ({"name": "x" * 101}, "name: must have at most 100 characters"),
        ({"audience": []}, "audience: must be an object"),
        ({"audience": {"channels": "chat"}}, "audience.channels: must be a list"),
        ({"audience": {"channels": ["chat", "fax"]}}, "audience.channels[1]: must be one of chat, email"),
        ({"audience": {"channels": [None]}}, "audience.channels[0]: must be a text"),
        ({"audience": {"channels": [["chat"]]}}, "audience.channels[0]: must be a text"),
        ({"audience": {"metrics": ["AI resolutions"]}}, "audience.metrics[0]: must be the key of a metric"),
        ({"audience": {"conversations": ["old"]}}, "audience.conversations[0]: must be one of new, in_progress"),
        ({"audience": {"limit_reached": 1}}, "audience.limit_reached: must be true, false or null"),
        ({"branches": {}}, "branches: must be a list"),
        ({"branches": [{}] * 51}, "branches: must have at most 50 items"),
        ({"branches": [{}]}, "branches[0].steps: must be a list"),
        ({"branches": [{"steps": []}]}, "branches[0].steps: must have at least one step"),
        ({"branches": [{"rules": 1, "steps": []}]}, "branches[0].rules: must be an object"),
        (
            {"branches": [{"steps": [{"type": "let_ai_agent_answer"}] * 2}]},
            "branches[0].steps: let_ai_agent_answer can",
        ),
        (with_step("agent"), f"{AT}: must be an object"),
        (with_step({"type": []}), f"{AT}.type: must be one of"),
        (with_step({"type": "reply_with_message"}), f"{AT}.message: must be given"),
        (with_step({"type": "reply_with_message", "message": "  "}), f"{AT}.message: must be a text that is not empty"),
        (with_step({"type": "reply_with_message", "message": "x" * 4001}), f"{AT}.message: must have at most 4000"),
        (
            with_step({"type": "reply_with_message", "message": "a\0"}),
            f"{AT}.message: contains a character that cannot",
        ),
        (
            with_step({"type": "reply_with_message", "message": "\ud800"}),
            f"{AT}.message: contains a character that cannot",
        ),
        (with_step({"type": "send_to_inbox", "message": "hi"}), f"{AT}.message: belongs to reply_with_message only"),
        (with_step({"type": "send_to_inbox", "team": "A"}), f"{AT}.team: belongs to hand_over_to_team only"),
        (with_step({"type": "send_to_inbox", "delay": 1}), f"{AT}: has no member 'delay'"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(data, message):
    with pytest.raises(ValueError) as refused:
        Workflow.from_json(data)
    assert str(refused.value).startswith(message)


def test_the_agent_has_no_place_in_handover_steps():
    assert handover_steps_from_json([{"type": "hand_over_to_team"}]) == (Step("hand_over_to_team"),)
    with pytest.raises(ValueError, match=r"handover_steps\[0\]\.type: the agent cannot take part"):
        handover_steps_from_json([{"type": "let_ai_agent_answer"}])


@pytest.mark.parametrize("wrong", [{"event": "closed"}, {"event": None}, {"channel": "fax"}, {"channel": ""}])
def test_a_question_knows_its_events_and_channels(wrong):
    with pytest.raises(ValueError, match="is none of"):
        ask(**wrong)
