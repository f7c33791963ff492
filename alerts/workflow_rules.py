"""Who answers a customer's message: the pure part of decisions and workflows (spec 4.5, 4.6).

The caller brings everything that is remembered: a stored answer to the same message is given again without asking here
(4.5, order 1), `Question.is_with_team` says that the conversation was handed over, and the first answer of a
conversation decides whether it counts towards the resolution rate. The limit is the fact on the row at this moment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

Event = Literal["started", "customer_replied"]
AnsweredBy = Literal["ai_agent", "handover", "inbox", "workflow"]
Reason = Literal["already_handed_over", "workflow", "limit_reached", "default"]

CHANNELS: Final = ("chat", "email", "sms", "whatsapp", "phone")
EVENTS: Final = ("started", "customer_replied")
CONVERSATIONS: Final = ("new", "in_progress")

LET_AI_AGENT_ANSWER: Final = "let_ai_agent_answer"
HAND_OVER_TO_TEAM: Final = "hand_over_to_team"
SEND_TO_INBOX: Final = "send_to_inbox"
REPLY_WITH_MESSAGE: Final = "reply_with_message"
STEP_TYPES: Final = (LET_AI_AGENT_ANSWER, HAND_OVER_TO_TEAM, SEND_TO_INBOX, REPLY_WITH_MESSAGE)

MAX_NAME: Final = 100
MAX_TEAM: Final = 200
MAX_MESSAGE: Final = 4000
MAX_STEPS: Final = 20
MAX_BRANCHES: Final = 50
_METRIC: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `team` belongs to *Hand over to team*, `message` to *Reply with message*, which needs one."""

    type: str
    team: str | None = None
    message: str | None = None

    def to_json(self) -> dict[str, str]:
        """As in the API's `steps`: absent rather than null."""
        fields = {"type": self.type, "team": self.team, "message": self.message}
        return {name: value for name, value in fields.items() if value is not None}

    @classmethod
    def from_json(cls, data: object, *, path: str = "step") -> Self:
        """ValueError naming the path of what is wrong."""
        fields = _object(data, path, ("type", "team", "message"))
        kind = fields.get("type")
        if kind not in STEP_TYPES:
            raise ValueError(f"{path}.type: must be one of {', '.join(STEP_TYPES)}")
        team = _text(fields.get("team"), f"{path}.team", MAX_TEAM)
        message = _text(fields.get("message"), f"{path}.message", MAX_MESSAGE)
        if team is not None and kind != HAND_OVER_TO_TEAM:
            raise ValueError(f"{path}.team: belongs to {HAND_OVER_TO_TEAM} only")
        if (message is not None) != (kind == REPLY_WITH_MESSAGE):
            raise ValueError(
                f"{path}.message: must be given"
                if kind == REPLY_WITH_MESSAGE
                else f"{path}.message: belongs to {REPLY_WITH_MESSAGE} only"
            )
        return cls(type=str(kind), team=team, message=message)


DEFAULT_HANDOVER: Final = (Step(HAND_OVER_TO_TEAM),)


@dataclass(frozen=True, slots=True)
class Rules:
    """Conditions that must all hold; what is empty or None is no condition.

    `channels` and `metrics` are matched by any of their members, `limit_reached` (the predicate **Resolution limit
    reached**) by being equal. A question without a channel matches no rule about channels.
    """

    channels: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    limit_reached: bool | None = None

    def match(self, question: Question) -> bool:
        return (
            (not self.channels or question.channel in self.channels)
            and (not self.metrics or question.metric in self.metrics)
            and (not self.conversations or question.conversation in self.conversations)
            and (self.limit_reached is None or self.limit_reached is question.limit_reached)
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "channels": list(self.channels),
            "metrics": list(self.metrics),
            "conversations": list(self.conversations),
            "limit_reached": self.limit_reached,
        }

    @classmethod
    def from_json(cls, data: object, *, path: str = "rules") -> Self:
        """Absent members are no condition. ValueError naming the path of what is wrong."""
        fields = _object(data, path, ("channels", "metrics", "conversations", "limit_reached"))
        limit_reached = fields.get("limit_reached")
        if not (limit_reached is None or isinstance(limit_reached, bool)):
            raise ValueError(f"{path}.limit_reached: must be true, false or null")
        metrics = _texts(fields.get("metrics"), f"{path}.metrics")
        for number, metric in enumerate(metrics):
            if not _METRIC.fullmatch(metric):
                raise ValueError(f"{path}.metrics[{number}]: must be the key of a metric")
        return cls(
            channels=_chosen(fields.get("channels"), f"{path}.channels", CHANNELS),
            metrics=metrics,
            conversations=_chosen(fields.get("conversations"), f"{path}.conversations", CONVERSATIONS),
            limit_reached=limit_reached,
        )


@dataclass(frozen=True, slots=True)
class Branch:
    """The steps for whom the rules match; the first matching branch answers."""

    name: str = ""
    rules: Rules = Rules()
    steps: tuple[Step, ...] = ()

    @property
    def has_agent(self) -> bool:
        return any(step.type == LET_AI_AGENT_ANSWER for step in self.steps)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "rules": self.rules.to_json(), "steps": steps_to_json(self.steps)}

    @classmethod
    def from_json(cls, data: object, *, path: str = "branch") -> Self:
        """ValueError naming the path of what is wrong. A branch needs a step: without one nobody would answer."""
        fields = _object(data, path, ("name", "rules", "steps"))
        return cls(
            name=_text(fields.get("name") or None, f"{path}.name", MAX_NAME) or "",
            rules=Rules.from_json(fields.get("rules", {}), path=f"{path}.rules"),
            steps=steps_from_json(fields.get("steps"), path=f"{path}.steps"),
        )


@dataclass(frozen=True, slots=True)
class Workflow:
    """An audience and ordered branches. Without branches it answers nobody."""

    name: str = ""
    audience: Rules = Rules()
    branches: tuple[Branch, ...] = ()

    def is_for(self, question: Question) -> bool:
        """A conversation in progress is only for a workflow whose audience says so; a new one also for one that says
        nothing about it."""
        if question.event == "customer_replied" and "in_progress" not in self.audience.conversations:
            return False
        return self.audience.match(question)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "audience": self.audience.to_json(),
            "branches": [branch.to_json() for branch in self.branches],
        }

    @classmethod
    def from_json(cls, data: object, *, path: str = "") -> Self:
        """ValueError naming the path of what is wrong, such as `branches[0].steps[1].message: must be given`."""
        prefix = f"{path}." if path else ""
        fields = _object(data, path or "workflow", ("name", "audience", "branches"))
        branches = _list(fields.get("branches", []), f"{prefix}branches", at_most=MAX_BRANCHES)
        return cls(
            name=_text(fields.get("name") or None, f"{prefix}name", MAX_NAME) or "",
            audience=Rules.from_json(fields.get("audience", {}), path=f"{prefix}audience"),
            branches=tuple(
                Branch.from_json(branch, path=f"{prefix}branches[{number}]") for number, branch in enumerate(branches)
            ),
        )


@dataclass(frozen=True, slots=True)
class Question:
    """A customer's message: `started` opens a conversation, `customer_replied` continues one (also an unknown one).

    `limit_reached` is the fact for `metric` in the workspace now; `is_with_team` that the conversation was handed over
    and stayed; `workflows_included` whether the plan includes workflows.
    """

    metric: str
    event: Event
    channel: str | None = None
    limit_reached: bool = False
    is_with_team: bool = False
    workflows_included: bool = True

    def __post_init__(self) -> None:
        if self.event not in EVENTS:
            raise ValueError(f"event {self.event!r} is none of {', '.join(EVENTS)}")
        if self.channel is not None and self.channel not in CHANNELS:
            raise ValueError(f"channel {self.channel!r} is none of {', '.join(CHANNELS)}")

    @property
    def conversation(self) -> str:
        return "new" if self.event == "started" else "in_progress"


@dataclass(frozen=True, slots=True)
class Answer:
    """Who answers, by which steps and why; and whether the conversation stays with the team from here on."""

    answered_by: AnsweredBy
    reason: Reason
    steps: tuple[Step, ...]
    stays_with_team: bool


def answer_question(
    *, question: Question, workflows: Iterable[Workflow] = (), handover_steps: Sequence[Step] = ()
) -> Answer:
    """The answer to a message without a stored one (spec 4.5, order 2 to 5; 4.6).

    `workflows` in the workspace's order, the live ones only; `handover_steps` of the workspace (empty: hand over to
    team). The steps are complete: whoever carries them out has done what the answer says.
    """
    if question.is_with_team:
        return Answer("inbox", "already_handed_over", (Step(SEND_TO_INBOX),), stays_with_team=True)
    branch = _first_match(question, workflows) if question.workflows_included else None
    if branch is not None:
        return _answer_of(branch, question)
    if question.limit_reached:
        return Answer("handover", "limit_reached", tuple(handover_steps) or DEFAULT_HANDOVER, stays_with_team=True)
    return Answer("ai_agent", "default", (Step(LET_AI_AGENT_ANSWER),), stays_with_team=False)


def _first_match(question: Question, workflows: Iterable[Workflow]) -> Branch | None:
    return next(
        (
            branch
            for workflow in workflows
            if workflow.is_for(question)
            for branch in workflow.branches
            if branch.rules.match(question)
        ),
        None,
    )


def _answer_of(branch: Branch, question: Question) -> Answer:
    if branch.has_agent and question.limit_reached:
        # The conversation was meant for the agent: it does not stay with the team, so it returns when the agent is on.
        return Answer("inbox", "limit_reached", _without_agent(branch.steps), stays_with_team=False)
    if branch.has_agent:
        return Answer("ai_agent", "workflow", branch.steps, stays_with_team=False)
    stays = any(step.type in (HAND_OVER_TO_TEAM, SEND_TO_INBOX) for step in branch.steps)
    return Answer("workflow", "workflow", branch.steps, stays_with_team=stays)


def _without_agent(steps: Sequence[Step]) -> tuple[Step, ...]:
    """*Send to inbox* in the agent's place; once, should the branch send there anyway."""
    inbox = Step(SEND_TO_INBOX)
    replaced = [inbox if step.type == LET_AI_AGENT_ANSWER else step for step in steps]
    first = replaced.index(inbox)
    return tuple(step for number, step in enumerate(replaced) if step != inbox or number == first)


def steps_to_json(steps: Iterable[Step]) -> list[dict[str, str]]:
    """As in the API's answer (spec 4.5)."""
    return [step.to_json() for step in steps]


def steps_from_json(data: object, *, path: str = "steps") -> tuple[Step, ...]:
    """The steps of a branch: one to 20, the agent at most once. ValueError naming the path of what is wrong."""
    items = _list(data, path, at_most=MAX_STEPS)
    steps = tuple(Step.from_json(item, path=f"{path}[{number}]") for number, item in enumerate(items))
    if not steps:
        raise ValueError(f"{path}: must have at least one step")
    if sum(step.type == LET_AI_AGENT_ANSWER for step in steps) > 1:
        raise ValueError(f"{path}: {LET_AI_AGENT_ANSWER} can stand only once")
    return steps


def handover_steps_from_json(data: object, *, path: str = "handover_steps") -> tuple[Step, ...]:
    """The handover steps of a workspace: the same steps without the agent. ValueError naming the path."""
    steps = steps_from_json(data, path=path)
    for number, step in enumerate(steps):
        if step.type == LET_AI_AGENT_ANSWER:
            raise ValueError(f"{path}[{number}].type: the agent cannot take part in a handover")
    return steps


def _object(data: object, path: str, known: Sequence[str]) -> Mapping[str, object]:
    if not isinstance(data, Mapping):
        raise ValueError(f"{path}: must be an object")
    for name in data:
        if name not in known:
            raise ValueError(f"{path}: has no member {str(name)[:MAX_NAME]!r}")
    return data


def _list(data: object, path: str, *, at_most: int) -> Sequence[object]:
    if not isinstance(data, list | tuple):
        raise ValueError(f"{path}: must be a list")
    if len(data) > at_most:
        raise ValueError(f"{path}: must have at most {at_most} items")
    return data


def _text(value: object, path: str, longest: int) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{path}: must be a text that is not empty")
    # JSON may carry both, PostgreSQL stores neither.
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError(f"{path}: contains a character that cannot be stored")
    if len(value) > longest:
        raise ValueError(f"{path}: must have at most {longest} characters")
    return value


def _texts(data: object, path: str) -> tuple[str, ...]:
    items = _list([] if data is None else data, path, at_most=MAX_BRANCHES)
    texts = []
    for number, item in enumerate(items):
        text = _text(item, f"{path}[{number}]", MAX_NAME)
        if text is None:
            raise ValueError(f"{path}[{number}]: must be a text that is not empty")
        texts.append(text)
    return tuple(dict.fromkeys(texts))


def _chosen(data: object, path: str, choices: Sequence[str]) -> tuple[str, ...]:
    chosen = _texts(data, path)
    for number, item in enumerate(chosen):
        if item not in choices:
            raise ValueError(f"{path}[{number}]: must be one of {', '.join(choices)}")
    # In the order of the choices, so that equal rules are equal whatever was clicked first.
    return tuple(choice for choice in choices if choice in chosen)
