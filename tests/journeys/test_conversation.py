"""A scripted afternoon at the help desk: two web processes, real jobs, and a network that loses every third answer
(spec 4.5, 4.6)."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alerts.services.limits import set_hard_limit
from billing.services.contacts import add_contact
from tests.billing.books import subscribed
from tests.factories import BY, make_key, make_teammate, metric, workspace
from tests.journeys.conftest import Application, Visitor
from tests.processes import running_jobs, until
from tests.servers import Server
from tests.smtp import SmtpSink
from usage.clocks import system_clock

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

LIMIT = 3


@dataclass
class HelpDesk:
    """Asks for every message who answers it. Each question goes to the other web process than the one before; every
    third answer is thrown away, and the question asked again, of both processes at once."""

    app: Application
    turn: Any = field(default_factory=lambda: itertools.count(1))
    answers: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def gets(self, conversation: str, message: str, event: str = "customer_replied") -> str:
        number = next(self.turn)
        answer = self.app.asks(conversation, message, event, server=number % 2)
        if number % 3 == 0:
            with ThreadPoolExecutor(2) as pool:
                again = list(pool.map(lambda at: self.app.asks(conversation, message, event, server=at), (0, 1)))
            assert again == [answer, answer]
        self.answers.setdefault(conversation, []).append((answer["answered_by"], answer["reason"]))
        return str(answer["answered_by"])

    def handovers(self) -> dict[str, int]:
        return {talk: Counter(who for who, _ in said)["handover"] for talk, said in self.answers.items()}


def test_whatever_the_network_loses_a_customer_is_handed_over_once(tmp_path: Path, sink: SmtpSink) -> None:
    account = subscribed("professional", started_on=system_clock().date() - timedelta(days=10))
    add_contact(account=account, email="mona@acme.example", by=BY)
    make_teammate("atlas", "ada@example.com", limits=True)
    set_hard_limit(
        workspace=workspace(), metric=metric(), quantity=Decimal(LIMIT), effective="now", clock=system_clock, by=BY
    )
    key = make_key(account)
    with Server() as one, Server() as two, running_jobs(tmp_path, EMAIL_URL=sink.url):
        app, ada = Application(key, one.url, two.url), Visitor(two.url)
        desk = HelpDesk(app)

        # Three customers write, the agent answers them and resolves what two of them asked.
        talks = ["t1", "t2", "t3"]
        assert [desk.gets(talk, "m1", "started") for talk in talks] == ["ai_agent"] * 3
        app.sends("ai_resolution.recorded", LIMIT - 1)
        assert [desk.gets(talk, "m2") for talk in talks] == ["ai_agent"] * 3
        assert app.flag("ai-agent")["value"] is True
        # The third resolution is one too many: from the next message on people answer, and who was handed over stays.
        app.sends("ai_resolution.recorded")
        assert [desk.gets(talk, "m3") for talk in talks] == ["handover"] * 3
        assert [desk.gets(talk, "m4") for talk in talks] == ["inbox"] * 3
        assert desk.gets("t4", "m1", "started") == "handover"
        assert desk.gets("t4", "m2") == "inbox"
        assert app.flag("ai-agent")["value"] is False
        assert desk.handovers() == dict.fromkeys((*talks, "t4"), 1)
        # An old message that is asked again, long after, still gets its own answer.
        assert app.asks("t1", "m1", "started", server=1)["answered_by"] == "ai_agent"

        # The jobs told the billing contact, once.
        assert until(lambda: bool(sink.messages))
        ((_, mail),) = sink.messages
        assert mail["Subject"].startswith("AI Agent is off in Atlas until")

        # Somebody writes a workflow in the browser; the very next question follows it, also at the other process.
        ada.logs_in("ada@example.com")
        form = {"name": "Over the limit", "is_on": "1", "branch": "0", "b0-limit": "true", "b0-step": "0", "do": "save"}
        reply = form | {"b0-s0-type": "reply_with_message", "b0-s0-message": "We are on it."}
        assert "Over the limit" in ada.sends("/w/atlas/workflows/new", reply)
        for server, talk in enumerate(("t5", "t6")):
            answer = app.asks(talk, "m1", "started", server=server)
            assert (answer["reason"], answer["steps"]) == (
                "workflow",
                [{"type": "reply_with_message", "message": "We are on it."}],
            )
        edited = form | {"b0-s0-type": "hand_over_to_team", "b0-s0-team": "Berlin"}
        (address,) = set(re.findall(r'href="(/w/atlas/workflows/\d+)"', ada.opens("/w/atlas/workflows")))
        ada.sends(address, edited)
        assert app.asks("t7", "m1", "started", server=1)["steps"] == [{"type": "hand_over_to_team", "team": "Berlin"}]
        assert app.asks("t5", "m1", "started", server=1)["steps"][0]["message"] == "We are on it."
        app.close()
        ada.close()
