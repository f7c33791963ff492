"""Sending CloudEvents through the HTTP door, well-formed or not, and reading how they were refused."""

import json
from typing import Any

from django.test import Client

from tests.factories import bearer
from usage.models import UsageEvent

BATCH = "application/cloudevents-batch+json"
STRUCTURED = "application/cloudevents+json"


def post(key: str, body: Any, content_type: str | None = STRUCTURED, **headers: str) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    # The test client cannot leave out the content type; an empty one is how a server passes its absence on.
    return Client().generic("POST", "/api/v1/events", raw, content_type=content_type or "", headers=bearer(key) | extra)


def binary(key: str, body: Any = b"", content_type: str | None = None, **change: str | None) -> Any:
    attributes: dict[str, str | None] = {
        "specversion": "1.0",
        "id": "b-1",
        "source": "urn:tests",
        "type": "ai_resolution.recorded",
        "subject": "atlas",
        **change,
    }
    headers = {f"ce_{name}": value for name, value in attributes.items() if value is not None}
    return post(key, body, content_type, **headers)


def refusal(response: Any) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert set(body) >= {"type", "title", "status", "detail", "code"}
    assert UsageEvent.objects.count() == 0
    return response.status_code, body["code"]


def rejection(response: Any) -> tuple[str, str | None]:
    assert response.status_code == 422, response.content
    body = response.json()
    assert (body["accepted"], body["duplicate"], len(body["rejected"])) == (0, 0, 1)
    entry = body["rejected"][0]
    assert entry["index"] == 0
    assert entry["reason"]
    assert UsageEvent.objects.count() == 0
    return entry["code"], entry["field"]
