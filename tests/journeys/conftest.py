"""Who takes part in the journeys: an application that sends usage and asks, and people with browsers."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime
from typing import Any

import httpx
from cloudevents.core.bindings.http import to_structured_event
from cloudevents.core.v1.event import CloudEvent

from tests.factories import bearer


class Application:
    """The metered product: speaks HTTP to one or more servers of Headroom and knows nothing else of it."""

    def __init__(self, key: str, *addresses: str, workspace: str = "atlas") -> None:
        self.addresses = addresses
        self.workspace = workspace
        self.client = httpx.Client(headers=bearer(key), timeout=30)
        self._ids = map(str, itertools.count(1))

    def close(self) -> None:
        self.client.close()

    def call(self, method: str, path: str, body: Any = None, *, server: int = 0) -> httpx.Response:
        return self.client.request(method, f"{self.addresses[server]}/api/v1/{path}", json=body)

    def get(self, path: str) -> Any:
        answer = self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def sends(self, type_: str, count: int = 1, *, at: datetime | None = None, **data: Any) -> None:
        """`count` events one by one or, many at once, as a batch, made by the CloudEvents SDK."""
        made = [self._made(type_, at, data) for _ in range(count)]
        messages = [to_structured_event(each) for each in made]
        if count == 1:
            headers, body = dict(messages[0].headers), messages[0].body
        else:
            headers = {"Content-Type": "application/cloudevents-batch+json"}
            body = json.dumps([json.loads(each.body) for each in messages]).encode()
        answer = self.client.post(f"{self.addresses[0]}/api/v1/events", content=body, headers=headers)
        assert answer.json() == {"accepted": count, "duplicate": 0, "rejected": []}, answer.text

    def _made(self, type_: str, at: datetime | None, data: dict[str, Any]) -> CloudEvent:
        attributes = {"id": next(self._ids), "source": "urn:app", "type": type_, "subject": self.workspace}
        return CloudEvent(attributes | {"specversion": "1.0", "time": at or datetime.now(UTC)}, data or None)

    def asks(self, conversation: str, message: str, event: str, *, server: int = 0) -> dict[str, Any]:
        """Who answers a customer's message."""
        question = {"conversation_id": conversation, "message_id": message, "metric": "ai_resolutions", "event": event}
        answer = self.call("POST", f"workspaces/{self.workspace}/route", question, server=server)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def flag(self, key: str) -> dict[str, Any]:
        """A feature flag over OFREP."""
        context = {"context": {"targetingKey": self.workspace}}
        answer = self.client.post(f"{self.addresses[0]}/ofrep/v1/evaluate/flags/{key}", json=context)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


class Visitor:
    """A person with a plain browser: forms and links, no script."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.client = httpx.Client(base_url=address, follow_redirects=True, timeout=30)

    def close(self) -> None:
        self.client.close()

    def opens(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    def sends(self, path: str, form: dict[str, Any]) -> str:
        """Open the page with a form, and send the form."""
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.opens(path))
        assert token is not None, path
        answer = self.client.post(
            path, data=form | {"csrfmiddlewaretoken": token[1]}, headers={"Referer": self.address}
        )
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    def logs_in(self, email: str) -> None:
        self.sends("/login/", {"username": email, "password": "headroom"})
