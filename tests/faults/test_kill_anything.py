"""kill -9 of any process of a whole Headroom while usage streams in: what was acknowledged is counted once, what was
told is told once, and nobody has to do anything (spec 9)."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.factories import bearer, event
from tests.processes import Run, until
from tests.smtp import SmtpSink

pytestmark = [pytest.mark.faults, pytest.mark.slow]

THRESHOLD = 100
LIMIT = 30
BATCH = 7


@dataclass
class Client:
    """An application that repeats a request until it hears what became of it: the only way not to lose usage."""

    address: str
    key: str
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=5))
    is_over: threading.Event = field(default_factory=threading.Event)
    acknowledged: int = 0  # events
    granted: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    def stream(self) -> None:
        for number in itertools.count():
            if self.is_over.is_set():
                return
            sent = [event("whatsapp.message", id_=f"{number}-{each}") for each in range(BATCH)]
            answer = self.insists("POST", "events", sent)
            # A part that was stored before the death of the server is a duplicate now.
            assert answer["accepted"] + answer["duplicate"] == BATCH, answer
            self.acknowledged += BATCH
            self.is_over.wait(0.02)  # the processes that heal want to run, too

    def consume(self) -> None:
        for number in itertools.count():
            if self.is_over.is_set():
                return
            name = f"grant-{number}"
            body = {"metric": "voice_resolutions", "quantity": 1, "id": name}
            answer = self.insists("POST", "workspaces/atlas/consume", body)
            self.granted |= {name} if answer["allowed"] else set()
            self.is_over.wait(0.1)

    def insists(self, method: str, path: str, body: Any = None) -> Any:
        while True:
            try:
                answer = self.http.request(method, f"{self.address}/api/v1/{path}", json=body, headers=bearer(self.key))
            except httpx.HTTPError:
                self.is_over.wait(0.1)
                continue
            if answer.status_code == 200:
                return answer.json()
            if answer.status_code != 503:
                self.odd.append(f"{path}: {answer.status_code} {answer.text}")
            self.is_over.wait(0.1)


def test_whatever_is_killed_nothing_is_lost_and_nothing_told_twice(tmp_path: Path, sink: SmtpSink) -> None:
    with Run(tmp_path, EMAIL_URL=sink.url, WEB_WORKERS="2") as run:
        client = Client(run.url, settled(run))
        client.insists(
            "PUT", "workspaces/atlas/limits/voice_resolutions", {"enabled": True, "limit": LIMIT, "effective": "now"}
        )
        alert = {"enabled": True, "threshold": THRESHOLD, "also_50_80": True}
        client.insists("PUT", "workspaces/atlas/alerts/whatsapp", alert)
        threads = [threading.Thread(target=work) for work in (client.stream, client.consume)]
        for thread in threads:
            thread.start()
        try:
            for name, victim in victims(run).items():
                goes_on(client, name, run)
                pid = victim()
                os.kill(pid, signal.SIGKILL)
            goes_on(client, "everything", run)
        finally:
            client.is_over.set()
            for thread in threads:
                thread.join(30)

        assert client.odd == []
        usage = client.insists("GET", "workspaces/atlas/usage")["metrics"]
        counted = {row["key"]: int(row["quantity"]) for row in usage}
        assert counted["whatsapp"] == client.acknowledged
        assert client.acknowledged > THRESHOLD
        assert counted["voice_resolutions"] == len(client.granted) <= LIMIT
        assert until(lambda: any("reached your alert" in told for told in subjects(sink))), subjects(sink)
        # A message may arrive again when its sender died in the middle of the dialogue, but it is the same message.
        assert len({str(message["Message-ID"]) for _, message in sink.messages}) == len(set(subjects(sink)))
        notices = client.insists("GET", "workspaces/atlas/notifications")["items"]
        levels = [(row["kind"], row["metric"], row["level"]) for row in notices]
        assert len(levels) == len(set(levels))
        assert ("usage_alert", "whatsapp", 100) in levels
        assert run.manage("check_invariants") == ""


def settled(run: Run) -> str:
    """An account, and its key."""
    started = datetime.now(UTC).date() - timedelta(days=10)
    run.manage(
        *("create_account", "acme", "--plan", "starter", "--started-on", str(started), "--time-zone", "UTC"),
        *("--workspace", "atlas", "--billing-contact", "mona@acme.example"),
    )
    return run.manage("create_api_key", "--account", "acme", "--scopes", "ingest,read,decide,manage")


def victims(run: Run) -> dict[str, Callable[[], int]]:
    return {
        "a web worker": lambda: run.marked("web")[-1],
        "a job worker": lambda: run.marked("jobs-1")[2],
        "PostgreSQL": run.postmaster,
        "the jobs' parent": lambda: run.marked("jobs-1")[0],
        "the web server": lambda: run.marked("web")[0],
        "the jobs' watch": lambda: run.marked("jobs")[0],
        "the supervisor": run.supervisor,
    }


def goes_on(client: Client, name: str, run: Run) -> None:
    """Usage is taken again, and all processes are there."""
    before = client.acknowledged
    assert until(lambda: client.acknowledged >= before + 4 * BATCH), f"before {name}: {run.said}"
    assert until(lambda: len(run.marked("jobs-1")) >= 5 and len(run.marked("jobs")) == 1), (name, run.said)


def subjects(sink: SmtpSink) -> list[str]:
    return [str(message["Subject"]) for _, message in sink.messages]
