"""Which key may do what: every operation of the API, every kind of key, every method (spec 1.5, 1.6, 10.5).

An operation that the table does not name fails `test_the_table_names_every_operation`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from django.test import Client

from config.api import api
from tests.access.conftest import World, taken_back
from tests.factories import BY, bearer, event, make_key
from usage.models import Account, ApiKey
from usage.services.api_keys import create_api_key, revoke_api_key, rotate_api_key

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
ALL: Final = frozenset(ApiKey.Scope.values)


@dataclass(frozen=True)
class Call:
    """`scopes`: each of these sets is enough; `refused`: the answer to a key that may not see what is named."""

    method: str
    path: str
    scopes: tuple[frozenset[str], ...]
    body: Any = None
    refused: int = 404

    def may(self, held: frozenset[str]) -> bool:
        return any(needed <= held for needed in self.scopes)


def scopes(*names: str) -> tuple[frozenset[str], ...]:
    """One set of scopes, which a key needs all of."""
    return (frozenset(names),)


READS: Final = (frozenset({"read"}), frozenset({"manage"}))
EVENT: Final = {"source": "urn:tests", "id": "told"}
QUESTION: Final = {"conversation_id": "c", "message_id": "m", "metric": "ai_resolutions", "event": "started"}
CONTEXT: Final = {"context": {"targetingKey": "{workspace}"}}
CALLS: Final = (
    Call("POST", "/api/v1/events", scopes("ingest"), event(id_="one", subject="{workspace}"), refused=422),
    Call("POST", "/api/v1/events/void", scopes("ingest"), EVENT | {"account": "{account}"}),
    Call("POST", "/api/v1/events/amend", scopes("ingest"), EVENT | {"account": "{account}", "quantity": "2"}),
    Call(
        "POST",
        "/api/v1/workspaces/{workspace}/consume",
        scopes("decide", "ingest"),
        {"metric": "whatsapp", "quantity": 1, "id": "one"},
    ),
    Call(
        "POST",
        "/api/v1/workspaces/{workspace}/reservations",
        scopes("decide", "ingest"),
        {"metric": "whatsapp", "quantity": 1, "id": "two"},
    ),
    Call(
        "POST",
        "/api/v1/workspaces/{workspace}/reservations/kept/settle",
        scopes("decide", "ingest"),
        {"quantity": 1},
    ),
    Call("POST", "/api/v1/workspaces/{workspace}/reservations/kept/release", scopes("decide", "ingest")),
    Call("POST", "/api/v1/workspaces/{workspace}/route", scopes("decide"), QUESTION),
    Call("GET", "/api/v1/workspaces/{workspace}/usage", scopes("read")),
    Call("GET", "/api/v1/workspaces/{workspace}/notifications", scopes("read")),
    Call("GET", "/api/v1/workspaces/{workspace}/alerts/ai_resolutions", READS),
    Call("GET", "/api/v1/workspaces/{workspace}/limits/ai_resolutions", READS),
    Call("PUT", "/api/v1/workspaces/{workspace}/alerts/ai_resolutions", scopes("manage"), {"enabled": False}),
    Call("PUT", "/api/v1/workspaces/{workspace}/limits/ai_resolutions", scopes("manage"), {"enabled": False}),
    Call("GET", "/api/v1/accounts/{account}/invoices", scopes("read")),
    Call("GET", "/api/v1/accounts/{account}/invoices/{number}.pdf", scopes("read")),
    Call("POST", "/ofrep/v1/evaluate/flags", scopes("decide"), CONTEXT, refused=400),
    Call("POST", "/ofrep/v1/evaluate/flags/ai-agent", scopes("decide"), CONTEXT, refused=400),
)


def ask(call: Call, headers: dict[str, str], place: dict[str, str], *, browser: Client | None = None) -> Any:
    """The answer to the call about `place` (workspace, account, number); what it changed is taken back."""

    def filled(text: str) -> str:
        for name, value in place.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    body = "" if call.body is None else filled(json.dumps(call.body))
    kind = "application/cloudevents+json" if call.path.endswith("/events") else "application/json"
    with taken_back():
        return (browser or Client()).generic(
            call.method, filled(call.path), data=body, content_type=kind, headers=headers
        )


@pytest.fixture
def home(world: World) -> dict[str, str]:
    """Atlas of Acme, with an event and a reservation that exist."""
    key = bearer(make_key(world.acme))
    sent = Client().post(
        "/api/v1/events",
        json.dumps(event("whatsapp.message", source=EVENT["source"], id_=EVENT["id"], subject="atlas")),
        content_type="application/cloudevents+json",
        headers=key,
    )
    assert sent.json()["accepted"] == 1
    kept = Client().post(
        "/api/v1/workspaces/atlas/reservations",
        {"metric": "whatsapp", "quantity": 1, "id": "kept"},
        content_type="application/json",
        headers=key,
    )
    assert kept.json()["allowed"], kept.content
    return {"workspace": "atlas", "account": "acme", "number": str(world.of(world.acme)["number"])}


def issue(account: Account) -> tuple[ApiKey, str]:
    return create_api_key(account=account, name="tests", scopes=ALL, now=datetime.now(UTC), by=BY)


def place_of(account: Account, workspace: str, number: object) -> dict[str, str]:
    return {"workspace": workspace, "account": account.key, "number": str(number)}


def test_the_table_names_every_operation() -> None:
    named = {(call.method.lower(), call.path.replace("/kept/", "/{reservation_id}/")) for call in CALLS}
    wanted = {"{workspace}": "{key}", "{account}": "{key}", "alerts/ai_resolutions": "alerts/{metric}"}
    wanted |= {"limits/ai_resolutions": "limits/{metric}"}
    for old, new in wanted.items():
        named = {(method, path.replace(old, new)) for method, path in named}
    offered = {
        (method, path) for path, operations in api.get_openapi_schema()["paths"].items() for method in operations
    }
    assert offered == {(method, path) for method, path in named if path.startswith("/api/")}


def test_a_key_does_what_its_scopes_say(world: World, home: dict[str, str]) -> None:
    for held in (*([scope] for scope in sorted(ALL)), ["decide", "ingest"], sorted(ALL)):
        headers = bearer(make_key(world.acme, *held))
        for call in CALLS:
            answer = ask(call, headers, home)
            if call.may(frozenset(held)):
                assert answer.status_code == 200, (held, call, answer.content)
            else:
                assert answer.status_code == 403, (held, call, answer.content)
                assert b"scope" in answer.content


def test_the_operators_key_sees_every_account(world: World, home: dict[str, str]) -> None:
    headers = bearer(make_key(None))
    for place in (home, place_of(world.rival, "cobalt", world.of(world.rival)["number"])):
        for call in CALLS:
            if place is home or not ("kept" in call.path or "void" in call.path or "amend" in call.path):
                answer = ask(call, headers, place)
                assert answer.status_code == 200, (call, place, answer.content)


def test_foreign_is_exactly_like_missing(world: World, home: dict[str, str]) -> None:
    headers = bearer(make_key(world.rival))
    missing = {"workspace": "nowhere", "account": "nobody", "number": "1999-0001"}
    for call in CALLS:
        foreign, nothing = ask(call, headers, home), ask(call, headers, missing)
        assert foreign.status_code == call.refused, (call, foreign.content)
        # Not a word tells the one from the other.
        assert (foreign.status_code, foreign.content) == (nothing.status_code, nothing.content), call
        assert dict(foreign.headers) | {"X-Request-ID": ""} == dict(nothing.headers) | {"X-Request-ID": ""}, call


def test_what_lies_inside_a_foreign_account_cannot_be_named_either(world: World, home: dict[str, str]) -> None:
    """Own workspace, foreign event, reservation or number."""
    headers = bearer(make_key(world.rival))
    own = place_of(world.rival, "cobalt", home["number"] + "1")
    for call in CALLS:
        if "void" in call.path or "amend" in call.path or "kept" in call.path or "number" in call.path:
            assert ask(call, headers, own).status_code == 404, call


def test_no_key_and_wrong_keys_get_one_and_the_same_401(world: World, home: dict[str, str]) -> None:
    now = datetime.now(UTC)
    good = make_key(world.acme)
    (first, revoked), (second, rotated) = issue(world.acme), issue(world.acme)
    revoke_api_key(key=first, now=now, by=BY)
    rotate_api_key(key=second, overlap=timedelta(0), now=now - timedelta(hours=1), by=BY)
    ended = make_key(world.acme, now=now - timedelta(days=2), expires_at=now - timedelta(days=1))
    foreign_tail = good[:-3] + make_key(world.acme)[-3:]
    wrong = [
        {},
        *({"Authorization": f"Bearer {key}"} for key in (revoked, rotated, ended, foreign_tail, good[:-1], good + "x")),
        {"Authorization": good},
        {"Authorization": f"Basic {good}"},
        {"Authorization": f"Token {good}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer " + good.partition("_")[0]},
        {"Authorization": "Bearer é" + good},
    ]
    for call in CALLS:
        bodies = set()
        for headers in wrong:
            answer = ask(call, headers, home)
            assert answer.status_code == 401, (call, headers)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            bodies.add(answer.content)
        assert len(bodies) == 1, (call, bodies)


def test_the_overlap_of_a_rotation_lets_both_keys_in(world: World, home: dict[str, str]) -> None:
    key, old = issue(world.acme)
    _, new = rotate_api_key(key=key, overlap=timedelta(hours=1), now=datetime.now(UTC), by=BY)
    usage = next(call for call in CALLS if call.path.endswith("/usage"))
    assert [ask(usage, bearer(key), home).status_code for key in (old, new)] == [200, 200]


def test_a_login_is_no_key_and_a_key_is_no_login(world: World, home: dict[str, str]) -> None:
    for who in ("ada", "an admin"):
        for call in CALLS:
            assert ask(call, {}, home, browser=world.browsers[who]).status_code == 401, (who, call)
    answer = Client().get("/w/atlas/usage", headers=bearer(make_key(world.acme)))
    assert answer.status_code == 302


def test_other_methods_are_refused_before_anything_else(world: World, home: dict[str, str]) -> None:
    headers = bearer(make_key(world.acme))
    for path in {call.path for call in CALLS}:
        offered = {call.method for call in CALLS if call.path == path}
        for method in set(METHODS) - offered:
            answer = ask(Call(method, path, ()), headers, home)
            assert answer.status_code == 405, (method, path)
            assert set(answer.headers["Allow"].split(", ")) >= offered


def test_the_description_is_open_to_everybody(world: World) -> None:
    for path in ("/api/openapi.json", "/api/docs"):
        assert Client().get(path).status_code == 200
    for path in ("/api/", "/api/v1", "/api/v1/", "/api/v2/events", "/api/v1/accounts", "/api/v1/workspaces"):
        assert Client().get(path).status_code == 404
