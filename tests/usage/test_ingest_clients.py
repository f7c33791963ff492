"""Other people's clients against the running server: the CloudEvents SDK in both generations, OpenMeter's habits, and
bodies sent in pieces (spec 2.3)."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.conversion import to_binary, to_structured
from cloudevents.v1.http import CloudEvent as OldCloudEvent

from tests.factories import bearer, event, make_account, make_key
from tests.servers import Server
from usage.models import UsageEvent

pytestmark = pytest.mark.django_db(transaction=True)

PATH = "/api/v1/events"
ATTRIBUTES: dict[str, Any] = {"source": "urn:sdk", "type": "sms.message", "subject": "atlas"}
WHEN = datetime(2026, 6, 15, 12, 30, 15, 250_000, tzinfo=UTC)


@pytest.fixture
def key() -> str:
    return make_key(make_account(), "ingest")


@pytest.fixture
def server(key: str) -> Iterator[Server]:
    with Server() as running:
        yield running


def test_the_cloudevents_sdk_in_both_generations_and_modes(server: Server, key: str) -> None:
    def send(headers: dict[str, str], body: bytes) -> dict[str, Any]:
        response = httpx.post(server.url + PATH, content=body, headers=headers | bearer(key))
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    for number, bind in enumerate((to_structured_event, to_binary_event)):
        attributes = ATTRIBUTES | {"id": f"new 100% “{number}”", "specversion": "1.0", "time": WHEN}
        message = bind(CloudEvent(attributes, {"value": 2}))
        assert send(dict(message.headers), message.body)["accepted"] == 1
        assert send(dict(message.headers), message.body)["duplicate"] == 1
    for number, old_bind in enumerate((to_structured, to_binary)):
        old = OldCloudEvent(ATTRIBUTES | {"id": f"old-{number}", "time": WHEN.isoformat()}, {"value": 2})
        headers, body = old_bind(old)
        assert send(dict(headers), body)["accepted"] == 1
        assert send(dict(headers), body)["duplicate"] == 1
    rows = UsageEvent.objects.order_by("event_id")
    assert [row.event_id for row in rows] == ["new 100% “0”", "new 100% “1”", "old-0", "old-1"]
    assert {(row.occurred_at, row.quantity, row.source) for row in rows} == {(WHEN, 2, "urn:sdk")}


def test_an_openmeter_client_gets_the_only_answer_it_takes_for_success(server: Server, key: str) -> None:
    headers = bearer(key) | {"User-Agent": "azsdk-python-openmeter/1.0.0b236 Python/3.13", "Accept": "application/json"}
    sent = event(data={}, dataschema=None, datacontenttype="application/json")
    single = httpx.post(
        server.url + PATH, content=json.dumps(sent), headers=headers | {"Content-Type": "application/cloudevents+json"}
    )
    assert (single.status_code, single.content) == (204, b"")
    batch = {"Content-Type": "application/cloudevents-batch+json"}
    assert httpx.post(server.url + PATH, content=json.dumps([sent]), headers=headers | batch).status_code == 204
    assert httpx.post(server.url + PATH, content=json.dumps([sent, 1]), headers=headers | batch).status_code == 200
    assert UsageEvent.objects.count() == 1


def test_a_body_may_come_in_pieces_of_unknown_length(server: Server, key: str) -> None:
    sent = json.dumps([event() for _ in range(500)]).encode()
    pieces = (sent[start : start + 1000] for start in range(0, len(sent), 1000))
    headers = bearer(key) | {"Content-Type": "application/cloudevents-batch+json"}
    response = httpx.post(server.url + PATH, content=pieces, headers=headers)
    assert (response.status_code, response.json()["accepted"]) == (200, 500)


def test_a_body_without_end_is_cut_off(server: Server, key: str) -> None:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    pieces = (b" " * 1_000_000 for _ in range(14))
    headers = bearer(key) | {"Content-Type": "application/cloudevents-batch+json"}
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server stops listening at the limit
        client.request("POST", PATH, pieces, headers, encode_chunked=True)
    response = client.getresponse()
    assert response.status == 413
    assert json.loads(response.read())["code"] == "too_large"
