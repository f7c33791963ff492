"""Who answers a customer's message, remembered so that the same message gets the same answer (spec 4.5).

A question costs one read and one write, each a single statement and so a transaction of its own. Nothing is locked
while thinking: the write only succeeds if the conversation is still as it was read, otherwise the question is read
again. That ends, because each step that can get in the way happens once: the conversation begins, it goes to the team,
the message is answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from alerts.selectors.decisions import parsed_handover_steps, parsed_workflows
from alerts.workflow_rules import Answer, AnsweredBy, Event, Question, Reason, answer_question, steps_to_json
from usage.errors import AccountEnded, Conflict, InvalidInput
from usage.services.api_keys import ADMITTED, Admission
from usage.services.periods import open_period
from usage.sql import prepared

ATTEMPTS = 8  # the steps that can get in the way, doubled

_GIVEN = "WITH admitted AS (SELECT %(account)s::bigint AS account, %(workspace)s::bigint AS workspace)"
_FACTS = """
SELECT admitted.account, admitted.workspace, m.id, p.starts_at, p.ends_at, account.ended_at,
       coalesce(t.quantity, 0), CASE WHEN t.period IS NULL THEN l.quantity ELSE t.hard_limit END,
       c.id, c.is_with_team, c.first_answered_by, a.answer::text,
       coalesce(plan.includes_workflows, false), h.steps::text,
       (SELECT jsonb_agg(jsonb_build_object('name', w.name, 'audience', w.audience, 'branches', w.branches)
                         ORDER BY w.position, w.id)::text
        FROM alerts_workflow w WHERE w.workspace_id = admitted.workspace AND w.is_on)
FROM admitted
JOIN usage_account account ON account.id = admitted.account
LEFT JOIN usage_metric m ON m.key = %(metric)s AND m.is_active
LEFT JOIN LATERAL (
    SELECT starts_at, ends_at, zone FROM usage_period
    WHERE account_id = account.id AND starts_at <= %(now)s ORDER BY starts_at DESC LIMIT 1
) p ON true
LEFT JOIN usage_usagetotal t
    ON t.account_id = account.id AND t.workspace_id = admitted.workspace AND t.metric_id = m.id
   AND t.period = p.starts_at
LEFT JOIN LATERAL (
    SELECT quantity FROM usage_usagelimit u
    WHERE u.account_id = account.id AND u.workspace_id = admitted.workspace AND u.metric_id = m.id
      AND u.from_period <= p.starts_at
    ORDER BY u.from_period DESC LIMIT 1
) l ON true
LEFT JOIN alerts_conversation c ON c.workspace_id = admitted.workspace AND c.conversation_id = %(conversation)s
LEFT JOIN alerts_storedanswer a ON a.conversation_id = c.id AND a.message_id = %(message)s
LEFT JOIN alerts_handoversteps h ON h.workspace_id = admitted.workspace
LEFT JOIN LATERAL (
    SELECT plan_id FROM billing_subscription s
    WHERE s.account_id = account.id AND s.starts_on <= (%(now)s AT TIME ZONE p.zone)::date
    ORDER BY s.starts_on DESC LIMIT 1
) subscription ON true
LEFT JOIN billing_plan plan ON plan.id = subscription.plan_id
"""
FACTS = _GIVEN + _FACTS
FACTS_AT_ONCE = ADMITTED + _FACTS

STORE_WITH_NEW_CONVERSATION = """
WITH conversation AS (
    INSERT INTO alerts_conversation (account_id, workspace_id, conversation_id, metric_id, is_with_team,
                                     first_answered_by, first_period, first_answered_at)
    VALUES (%(account)s, %(workspace)s, %(conversation)s, %(metric)s, %(with_team)s,
            %(answered_by)s, %(period)s, %(now)s)
    ON CONFLICT (workspace_id, conversation_id) DO NOTHING RETURNING id
)
INSERT INTO alerts_storedanswer (conversation_id, message_id, answer, answered_at)
SELECT id, %(message)s, %(answer)s::jsonb, %(now)s FROM conversation RETURNING id
"""

STORE_AND_HAND_OVER = """
WITH conversation AS (
    UPDATE alerts_conversation SET is_with_team = true WHERE id = %(id)s AND NOT is_with_team RETURNING id
)
INSERT INTO alerts_storedanswer (conversation_id, message_id, answer, answered_at)
SELECT id, %(message)s, %(answer)s::jsonb, %(now)s FROM conversation
ON CONFLICT (conversation_id, message_id) DO NOTHING RETURNING id
"""

STORE = """
INSERT INTO alerts_storedanswer (conversation_id, message_id, answer, answered_at)
VALUES (%(id)s, %(message)s, %(answer)s::jsonb, %(now)s)
ON CONFLICT (conversation_id, message_id) DO NOTHING RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Message:
    """What the application asks about; ids are its own, 1 to 255 characters."""

    conversation_id: str
    message_id: str
    metric: str
    event: Event
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer of spec 4.5; `is_repeated` when the message had been answered before."""

    answered_by: AnsweredBy
    steps: list[dict[str, str]]
    reason: Reason
    counts_towards_resolution_rate: bool
    is_repeated: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "answered_by": self.answered_by,
            "steps": self.steps,
            "reason": self.reason,
            "counts_towards_resolution_rate": self.counts_towards_resolution_rate,
        }


@dataclass(frozen=True, slots=True)
class _Facts:
    account_id: int
    workspace_id: int
    metric_id: int | None
    starts_at: datetime | None
    ends_at: datetime | None
    ended_at: datetime | None
    quantity: Decimal
    limit: Decimal | None
    id: int | None
    is_with_team: bool | None
    first_answered_by: str | None
    answer: str | None
    workflows_included: bool
    handover_steps: str | None
    workflows: str | None


def route(*, account_id: int, workspace_id: int, message: Message, clock: Callable[[], datetime]) -> Decision:
    """Who answers `message`, and remember it (spec 4.5, 4.6).

    The account's clock is read once. The limit is the fact on the row at that moment; the period that it falls into is
    opened when nobody has. Raises InvalidInput for an unknown metric, AccountEnded, and what `open_period` raises.
    """
    now = clock()
    asked = {"account": account_id, "workspace": workspace_id, "now": now}
    for _ in range(ATTEMPTS):
        facts = _facts(FACTS, asked, message)[0]
        if facts.metric_id is None:
            raise InvalidInput("There is no such metric.", field="metric", code="unknown_metric")
        if facts.answer is not None:
            return Decision(**json.loads(facts.answer), is_repeated=True)
        if facts.ended_at is not None and facts.ended_at <= now:
            raise AccountEnded("The account has ended.")
        if facts.ends_at is None or facts.ends_at <= now:
            open_period(account_id=account_id, at=now)
            continue
        decision = _decided(facts, message, now)
        if decision is not None:
            return decision
    raise Conflict("The conversation is changing; ask again.")


def route_at_once(*, admission: Admission, message: Message) -> Decision | None:
    """The caller's admission and `route`, one trip to the database shorter, at the instant of the admission. None:
    nothing was remembered, because the call is refused or out of the ordinary; ask `authenticate_for`, then `route`."""
    now = admission.now
    found = _facts(FACTS_AT_ONCE, admission.parameters(), message)
    if not found or found[0].metric_id is None:
        return None
    facts = found[0]
    if facts.answer is not None:
        return Decision(**json.loads(facts.answer), is_repeated=True)
    has_ended = facts.ended_at is not None and facts.ended_at <= now
    if has_ended or facts.ends_at is None or facts.ends_at <= now:
        return None
    return _decided(facts, message, now)


def _facts(query: str, asked: Mapping[str, Any], message: Message) -> list[_Facts]:
    about = {"conversation": message.conversation_id, "message": message.message_id, "metric": message.metric}
    return [_Facts(*row) for row in prepared(query, {**asked, **about})]


def _decided(facts: _Facts, message: Message, now: datetime) -> Decision | None:
    """The answer, remembered; None when somebody else began the conversation, handed it over or answered first."""
    answer = answer_question(
        question=Question(
            metric=message.metric,
            event=message.event,
            channel=message.channel,
            limit_reached=facts.limit is not None and facts.quantity >= facts.limit,
            is_with_team=bool(facts.is_with_team),
            workflows_included=facts.workflows_included,
        ),
        workflows=parsed_workflows(facts.workflows) if facts.workflows_included else (),
        handover_steps=parsed_handover_steps(facts.handover_steps),
    )
    decision = Decision(
        answered_by=answer.answered_by,
        steps=steps_to_json(answer.steps),
        reason=answer.reason,
        counts_towards_resolution_rate=(facts.first_answered_by or answer.answered_by) == "ai_agent",
    )
    return decision if _store(message, facts, answer, decision, now) else None


def _store(message: Message, facts: _Facts, answer: Answer, decision: Decision, now: datetime) -> bool:
    """Write the answer; False when somebody else began it, handed it over or answered the message first."""
    arguments = {
        "id": facts.id,
        "account": facts.account_id,
        "workspace": facts.workspace_id,
        "conversation": message.conversation_id,
        "message": message.message_id,
        "metric": facts.metric_id,
        "with_team": answer.stays_with_team,
        "answered_by": answer.answered_by,
        "period": facts.starts_at,
        "answer": json.dumps(decision.as_json()),
        "now": now,
    }
    if facts.id is None:
        statement = STORE_WITH_NEW_CONVERSATION
    elif answer.stays_with_team and not facts.is_with_team:
        statement = STORE_AND_HAND_OVER
    else:
        statement = STORE
    return len(prepared(statement, arguments)) == 1
