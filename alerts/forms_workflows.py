"""The workflow editor's form: everything that is being edited travels in its fields.

Each button sends the whole form; the server changes the draft (one more step, a branch further up) and shows it again,
so the editor needs no script and nothing is stored before *Save changes*. A branch's fields begin with `b<number>-`, a
step's with `b<number>-s<number>-`; handover steps are the steps of a single branch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from alerts import workflow_rules as rules
from alerts.workflow_rules import CHANNELS, CONVERSATIONS, MAX_BRANCHES, MAX_STEPS, STEP_TYPES

STEP_LABELS = {
    rules.LET_AI_AGENT_ANSWER: "Let AI Agent answer",
    rules.HAND_OVER_TO_TEAM: "Hand over to team",
    rules.SEND_TO_INBOX: "Send to inbox",
    rules.REPLY_WITH_MESSAGE: "Reply with message",
}
STEP_ICONS = {
    rules.LET_AI_AGENT_ANSWER: "agent",
    rules.HAND_OVER_TO_TEAM: "team",
    rules.SEND_TO_INBOX: "mail",
    rules.REPLY_WITH_MESSAGE: "message",
}
CHANNEL_LABELS = {"chat": "Chat", "email": "E-mail", "sms": "SMS", "whatsapp": "WhatsApp", "phone": "Phone"}
CONVERSATION_LABELS = {"new": "New conversations", "in_progress": "Conversations in progress"}
LIMIT_LABELS = {"": "Any", "true": "True", "false": "False"}
_LIMIT_VALUES = {"true": True, "false": False}
_BUTTON = re.compile(
    r"(?P<what>branch_add|(?:branch|step)_(?:up|down|delete)|step_add)(?:-(?P<branch>\d{1,3}))?(?:-(?P<step>\d{1,3}))?"
)


@dataclass
class DraftStep:
    type: str
    team: str = ""
    message: str = ""
    error: str = ""

    @property
    def label(self) -> str:
        return STEP_LABELS.get(self.type, self.type)

    @property
    def icon(self) -> str:
        return STEP_ICONS.get(self.type, "info")

    def to_json(self) -> dict[str, Any]:
        step: dict[str, Any] = {"type": self.type}
        if self.type == rules.HAND_OVER_TO_TEAM and self.team.strip():
            step["team"] = self.team.strip()
        if self.type == rules.REPLY_WITH_MESSAGE and _lines(self.message):
            step["message"] = _lines(self.message)
        return step


@dataclass
class DraftRules:
    channels: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    conversations: list[str] = field(default_factory=list)
    limit_reached: str = ""
    error: str = ""
    words: list[tuple[str, str, str]] = field(default_factory=list)
    prefix: str = "a-"

    def to_json(self) -> dict[str, Any]:
        return {
            "channels": self.channels,
            "metrics": self.metrics,
            "conversations": self.conversations,
            "limit_reached": _LIMIT_VALUES.get(self.limit_reached),
        }

    @classmethod
    def of(cls, stored: rules.Rules) -> DraftRules:
        limit = "" if stored.limit_reached is None else str(stored.limit_reached).lower()
        return cls(list(stored.channels), list(stored.metrics), list(stored.conversations), limit)


@dataclass
class DraftBranch:
    name: str = ""
    rules: DraftRules = field(default_factory=DraftRules)
    steps: list[DraftStep] = field(default_factory=list)
    error: str = ""
    number: int = 0

    @property
    def owner(self) -> str:
        """What labels call it."""
        return self.name.strip() or f"branch {self.number + 1}"

    def to_json(self) -> dict[str, Any]:
        steps = [step.to_json() for step in self.steps]
        return {"name": self.name.strip(), "rules": self.rules.to_json(), "steps": steps}


@dataclass
class Draft:
    """A workflow while it is edited. Handover steps use one unnamed branch of it."""

    name: str = ""
    is_on: bool = True
    audience: DraftRules = field(default_factory=DraftRules)
    branches: list[DraftBranch] = field(default_factory=list)
    error: str = ""
    name_error: str = ""
    focus: str = ""  # selector of what the keyboard goes on with after a button

    @classmethod
    def new(cls) -> Draft:
        """What a new workflow starts as: the source's example of a backup when the limit is reached (spec 4.6)."""
        return cls(
            branches=[
                DraftBranch(
                    name="Over the limit",
                    rules=DraftRules(limit_reached="true"),
                    steps=[DraftStep(rules.HAND_OVER_TO_TEAM)],
                ),
                DraftBranch(name="Everyone else", steps=[DraftStep(rules.LET_AI_AGENT_ANSWER)]),
            ]
        )

    @classmethod
    def of(cls, stored: rules.Workflow, *, name: str, is_on: bool) -> Draft:
        branches = [
            DraftBranch(name=branch.name, rules=DraftRules.of(branch.rules), steps=draft_steps(branch.steps))
            for branch in stored.branches
        ]
        return cls(name=name, is_on=is_on, audience=DraftRules.of(stored.audience), branches=branches)

    @classmethod
    def of_steps(cls, steps: Sequence[rules.Step]) -> Draft:
        return cls(branches=[DraftBranch(steps=draft_steps(steps))])

    @classmethod
    def sent(cls, data: QueryDict) -> Draft:
        """The draft in a form that was sent; what is missing or not ours is left out."""
        return cls(
            name=data.get("name", ""),
            is_on="is_on" in data,
            audience=_sent_rules(data, "a-"),
            branches=[_sent_branch(data, number) for number in _numbers(data.getlist("branch"), MAX_BRANCHES)],
        )

    def to_json(self) -> dict[str, Any]:
        """As `workflow_rules.Workflow.from_json` reads it."""
        return {
            "name": self.name.strip(),
            "audience": self.audience.to_json(),
            "branches": [branch.to_json() for branch in self.branches],
        }

    def describe(self, metric_names: Mapping[str, str]) -> None:
        """Make ready to be shown: number the branches, put rules into words where they can be read."""
        for number, branch in enumerate(self.branches):
            branch.number, branch.rules.prefix = number, f"b{number}-"
        for each in (self.audience, *(branch.rules for branch in self.branches)):
            try:
                each.words = rule_words(rules.Rules.from_json(each.to_json()), metric_names)
            except ValueError:
                each.words = []

    def press(self, button: str, data: Mapping[str, str]) -> bool:
        """Do what a button other than *Save* says; False when there is no such button (or no longer such a branch)."""
        pressed = _BUTTON.fullmatch(button)
        if pressed is None:
            return False
        noun, _, verb = pressed["what"].partition("_")
        if noun == "branch" and verb == "add":
            if len(self.branches) < MAX_BRANCHES:
                self.branches.append(DraftBranch(steps=[DraftStep(rules.HAND_OVER_TO_TEAM)]))
            self.focus = f"[name=b{len(self.branches) - 1}-name]"
            return True
        number = int(pressed["branch"] or -1)
        if not 0 <= number < len(self.branches):
            return False
        if noun == "branch":
            self.focus = _follow("b", self.branches, number, verb) or "#branch-add"
            return _arrange(self.branches, number, verb)
        steps = self.branches[number].steps
        if verb == "add":
            kind = data.get(f"b{number}-new", "")
            if kind in STEP_TYPES and len(steps) < MAX_STEPS:
                steps.append(DraftStep(kind))
            self.focus = f"#b{number}-add"
            return kind in STEP_TYPES
        step = int(pressed["step"] or -1)
        self.focus = _follow(f"b{number}-s", steps, step, verb) or f"#b{number}-add"
        return _arrange(steps, step, verb)

    def show_error(self, path: str, words: str) -> None:
        """Put a refusal where it belongs: `path` as in `workflow_rules`, such as `branches[0].steps[1].message`."""
        self.focus = '[aria-invalid="true"]'
        if path == "name":
            self.name_error = words
            return
        if path.startswith("handover_steps"):
            path = path.replace("handover_steps", "branches[0].steps", 1)
        place: Any = self.audience if path.startswith("audience") else self
        branch, step = re.match(r"branches\[(\d+)\]", path), re.search(r"steps\[(\d+)\]", path)
        if branch and int(branch[1]) < len(self.branches):
            place = self.branches[int(branch[1])]
            if step and int(step[1]) < len(place.steps):
                place = place.steps[int(step[1])]
            elif ".rules" in path:
                place = place.rules
        place.error = words


def draft_steps(steps: Sequence[rules.Step]) -> list[DraftStep]:
    return [DraftStep(step.type, step.team or "", step.message or "") for step in steps]


def rule_words(stored: rules.Rules, metric_names: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """The conditions as (subject, verb, value) for people; empty when there are none."""
    words = []
    if stored.limit_reached is not None:
        words.append(("Resolution limit reached", "is", LIMIT_LABELS[str(stored.limit_reached).lower()].lower()))
    for subject, keys, names in (
        ("Conversation", stored.conversations, {"new": "new", "in_progress": "in progress"}),
        ("Channel", stored.channels, CHANNEL_LABELS),
        ("Metric", stored.metrics, metric_names),
    ):
        if keys:
            shown = ", ".join(names.get(key, key) for key in keys)
            words.append((subject, "is" if len(keys) == 1 else "is one of", shown))
    return words


def _arrange(items: list[Any], number: int, verb: str) -> bool:
    if not 0 <= number < len(items):
        return False
    item = items.pop(number)
    if verb != "delete":
        items.insert(max(0, number + (1 if verb == "down" else -1)), item)
    return True


def _follow(prefix: str, items: Sequence[Any], number: int, verb: str) -> str:
    """The button that moves the moved item on; at the list's end the one that moves it back. Empty after *Delete*."""
    if verb == "delete":
        return ""
    last = len(items) - 1
    if verb == "down":
        place = min(last, number + 1)
        return f"#{prefix}{place}-{'up' if place == last else 'down'}"
    place = max(0, number - 1)
    return f"#{prefix}{place}-{'down' if place == 0 else 'up'}"


def _sent_rules(data: QueryDict, prefix: str) -> DraftRules:
    return DraftRules(
        channels=data.getlist(f"{prefix}channel")[: len(CHANNELS)],
        metrics=data.getlist(f"{prefix}metric")[:MAX_BRANCHES],
        conversations=data.getlist(f"{prefix}conversation")[: len(CONVERSATIONS)],
        limit_reached=data.get(f"{prefix}limit", ""),
    )


def _sent_branch(data: QueryDict, number: int) -> DraftBranch:
    prefix = f"b{number}-"
    steps = [
        DraftStep(
            type=data.get(f"{prefix}s{step}-type", ""),
            team=data.get(f"{prefix}s{step}-team", ""),
            message=data.get(f"{prefix}s{step}-message", ""),
        )
        for step in _numbers(data.getlist(f"{prefix}step"), MAX_STEPS)
    ]
    return DraftBranch(name=data.get(f"{prefix}name", ""), rules=_sent_rules(data, prefix), steps=steps)


def _numbers(values: Sequence[str], at_most: int) -> list[int]:
    """The numbers of branches or steps, in the order of the form; nonsense is left out."""
    found = [int(value) for value in values if value.isascii() and value.isdigit() and len(value) <= 3]
    return list(dict.fromkeys(found))[:at_most]


def _lines(text: str) -> str:
    """Browsers send line ends as CR LF."""
    return text.replace("\r\n", "\n").strip()
