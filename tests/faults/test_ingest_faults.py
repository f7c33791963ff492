"""Whatever dies while events are counted: what was acknowledged is stored once, asking again is safe (spec 9 a, b)."""

import http.client
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from tests.factories import bearer, event, make_account, make_key
from tests.servers import Server
from usage import invariants
from usage.models import UsageDay, UsageEvent, UsageTotal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

PATH = "/api/v1/events"
TYPES = ("ai_resolution.recorded", "sms.message", "conversation.created")


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[Server]:
    """One that stays alive."""
    with Server(workers=2) as running:
        yield running


@pytest.fixture
def headers() -> dict[str, str]:
    key = make_key(make_account(workspaces=("atlas", "birch")), "ingest")
    return bearer(key) | {"Content-Type": "application/cloudevents-batch+json"}


def batch(size: int = 30) -> list[dict[str, Any]]:
    usage = [
        event(TYPES[n % 3], subject=("atlas", "birch")[n % 2], time=f"2026-06-{n % 20 + 1:02}T12:00:00Z")
        for n in range(size)
    ]
    return [*usage, event("seats.set", time="2026-06-05T12:00:00Z", data={"value": 7})]


def nothing_is_wrong() -> bool:
    assert [line for check in invariants.CHECKS for line in check()] == []
    return True


@pytest.mark.parametrize(
    ("point", "is_stored"),
    [
        ("ingest.before_lock", False),
        ("ingest.after_lock", False),
        ("ingest.after_insert", False),
        ("ingest.before_commit", False),
        ("ingest.after_commit", True),
    ],
)
def test_a_process_killed_while_it_counts_loses_and_doubles_nothing(
    server: Server, headers: dict[str, str], point: str, is_stored: bool
) -> None:
    sent = batch()
    with Server(FAULT_POINT=point) as doomed, pytest.raises((OSError, http.client.HTTPException)):
        doomed.post(PATH, sent, headers)
    assert UsageEvent.objects.count() == (len(sent) if is_stored else 0)
    assert nothing_is_wrong()
    status, answer = server.post(PATH, sent, headers)
    assert (status, answer["rejected"]) == (200, [])
    assert (answer["accepted"], answer["duplicate"]) == ((0, len(sent)) if is_stored else (len(sent), 0))
    assert server.post(PATH, sent, headers)[1]["duplicate"] == len(sent)
    assert sum(row.quantity for row in UsageTotal.objects.all()) == len(sent) - 1
    assert UsageDay.objects.get(metric__key="seats").level == 7
    assert nothing_is_wrong()


def test_the_same_batch_sent_by_many_at_once_is_counted_once(server: Server, headers: dict[str, str]) -> None:
    sent = batch(200)
    other_order = sent[::-1]
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda n: server.post(PATH, other_order if n % 2 else sent, headers), range(8)))
    assert {status for status, _ in answers} == {200}
    assert sum(answer["accepted"] for _, answer in answers) == len(sent)
    assert sum(answer["duplicate"] for _, answer in answers) == 7 * len(sent)
    assert UsageEvent.objects.count() == len(sent)
    assert nothing_is_wrong()


def test_cut_connections_cost_a_503_at_most_and_nothing_else(server: Server, headers: dict[str, str]) -> None:
    batches = [batch(50) for _ in range(24)]
    statuses: list[int] = []
    is_done = threading.Event()

    def deliver(sent: list[dict[str, Any]]) -> None:
        while True:
            status, _ = server.post(PATH, sent, headers)
            statuses.append(status)
            if status == 200:
                return

    def cut() -> None:
        try:
            for _ in range(12):
                is_done.wait(0.1)
                with connection.cursor() as cursor:
                    cursor.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND pid <> ALL(%s)",
                        [mine],
                    )
        finally:
            connection.close()

    with connection.cursor() as cursor:
        cursor.execute("SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = current_database()")
        mine = cursor.fetchone()[0]
    with ThreadPoolExecutor(4) as clients:
        cutter = threading.Thread(target=cut)
        cutter.start()
        try:
            list(clients.map(deliver, batches))
        finally:
            is_done.set()
            cutter.join()
    assert set(statuses) <= {200, 503}
    assert UsageEvent.objects.count() == sum(len(sent) for sent in batches)
    assert nothing_is_wrong()
