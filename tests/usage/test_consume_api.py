"""Consume, reservations and corrections through the HTTP door (spec 2.6, 4.8, 10.5)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from tests.factories import bearer, event, make_account, make_key
from tests.usage.test_consume import broken, limit
from usage.clocks import system_clock
from usage.models import Account, Reservation, UsageEvent, UsageTotal
from usage.selectors import current_period

pytestmark = pytest.mark.django_db

CONSUME = "/api/v1/workspaces/atlas/consume"
RESERVE = "/api/v1/workspaces/atlas/reservations"
GOOD = {"metric": "ai_resolutions", "quantity": 1, "id": "c-1"}


@pytest.fixture
def account() -> Account:
    return make_account(workspaces=["atlas", "birch"])


@pytest.fixture
def post(account: Account, client: Client) -> Any:
    key = make_key(account)

    def send(path: str, body: Any = None, *, key: str = key, raw: bytes | None = None) -> Any:
        content = raw if raw is not None else json.dumps(body).encode() if body is not None else b""
        return client.post(path, content, content_type="application/json", headers=bearer(key))

    return send


def set_limit(account: Account, quantity: int) -> str:
    period = current_period(account, system_clock())
    limit(quantity, from_period=period.starts_at)
    return period.ends_at.isoformat().replace("+00:00", "Z")


def test_consume_answers_200_whether_it_is_allowed_or_not(account: Account, post: Any) -> None:
    resets_at = set_limit(account, 2)
    answer = post(CONSUME, GOOD | {"quantity": "1.5"})
    assert answer.status_code == 200
    assert answer.json() == {
        "allowed": True,
        "remaining": "0.5",
        "limit": "2",
        "resets_at": resets_at,
        "reason": "granted",
    }
    refused = post(CONSUME, GOOD | {"id": "c-2"})
    assert refused.status_code == 200
    assert (refused.json()["allowed"], refused.json()["reason"]) == (False, "limit_reached")
    again = post(CONSUME, GOOD | {"quantity": 1.5})
    assert (again.json()["allowed"], again.json()["reason"], again.json()["remaining"]) == (True, "duplicate", "0.5")
    assert post(CONSUME, GOOD).status_code == 409
    assert broken() == []


def test_without_a_limit_there_is_nothing_to_name(post: Any) -> None:
    body = post(CONSUME, GOOD | {"metric": "sms"}).json()
    assert (body["remaining"], body["limit"], body["reason"]) == (None, None, "no_limit")


def test_a_reservation_is_settled_under_its_id(account: Account, post: Any) -> None:
    resets_at = set_limit(account, 3)
    made = post(RESERVE, GOOD | {"id": "r/1 ü", "quantity": 2, "expires_in": 60}).json()
    row = Reservation.objects.get()
    assert made == {
        "allowed": True,
        "remaining": "1",
        "limit": "3",
        "resets_at": resets_at,
        "reason": "granted",
        "id": "r/1 ü",
        "expires_at": row.expires_at.isoformat().replace("+00:00", "Z"),
    }
    assert (row.expires_at - row.created_at).total_seconds() == 60
    settle = f"{RESERVE}/r%2F1%20%C3%BC/settle"
    answer = post(settle, {"quantity": 3})
    assert (answer.status_code, answer.json()) == (200, {"id": "r/1 ü", "quantity": "3", "remaining": "0"})
    assert post(settle, {"quantity": 3}).json() == answer.json()
    assert post(settle, {"quantity": 2}).status_code == 409
    assert post(f"{RESERVE}/r%2F1%20%C3%BC/release").status_code == 409
    assert post(f"{RESERVE}/nothing/settle", {"quantity": 3}).status_code == 404
    assert broken() == []


def test_a_reservation_is_released(post: Any) -> None:
    post(RESERVE, GOOD)
    row = Reservation.objects.get()
    assert (row.expires_at - row.created_at).total_seconds() == 300
    for _ in range(2):
        answer = post(f"{RESERVE}/c-1/release")
        assert (answer.status_code, answer.json()) == (200, {"id": "c-1", "quantity": "0", "remaining": None})


BAD_BODIES = [
    {},
    {"metric": "ai_resolutions", "quantity": 1},
    {"metric": "ai_resolutions", "id": "x"},
    {"quantity": 1, "id": "x"},
    *(
        GOOD | {"quantity": bad}
        for bad in (0, -1, "0", "", "1,5", "1e999", "NaN", "Infinity", 10**13, "0.0000001", True, None, [1], {})
    ),
    *(GOOD | {"id": bad} for bad in ("", None, 7, ["x"], "x" * 1025)),
    *(GOOD | {"metric": bad} for bad in ("", None, 7, "nothing", "seats", "x" * 5000)),
    GOOD | {"surprise": 1},
    [],
    "text",
    None,
]


@pytest.mark.parametrize("path", [CONSUME, RESERVE])
@pytest.mark.parametrize("body", BAD_BODIES)
def test_bad_bodies_get_a_clear_answer_and_nothing_is_stored(post: Any, path: str, body: Any) -> None:
    answer = post(path, raw=json.dumps(body).encode())
    assert answer.status_code in (400, 422), answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"]
    assert not UsageTotal.objects.exists()


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff\xfe", b'{"metric":"ai_resolutions","quantity":NaN,"id":"x"}', b'{"id":"\\u0000"}']
)
def test_unreadable_bodies_are_refused(post: Any, raw: bytes) -> None:
    assert post(CONSUME, raw=raw).status_code in (400, 422)


@pytest.mark.parametrize("seconds", [0, -1, 86_401, 1.5, "60", True, None])
def test_a_reservation_lasts_a_second_to_a_day(post: Any, seconds: Any) -> None:
    assert post(RESERVE, GOOD | {"expires_in": seconds}).status_code == 422
    assert not Reservation.objects.exists()


@pytest.mark.parametrize("quantity", [-1, "x", None, "0.0000001"])
def test_a_bad_settlement_is_refused(post: Any, quantity: Any) -> None:
    post(RESERVE, GOOD)
    assert post(f"{RESERVE}/c-1/settle", {"quantity": quantity}).status_code == 422
    assert Reservation.objects.get().state == "open"


def test_an_id_without_a_letter_for_postgres_is_refused_or_unknown(post: Any) -> None:
    assert post(f"{RESERVE}/%00/settle", {"quantity": 1}).status_code in (400, 404, 422)
    assert post(f"{RESERVE}/%ED%A0%80/settle", {"quantity": 1}).status_code in (400, 404, 422)


def test_it_takes_both_scopes_and_ones_own_workspace(account: Account, post: Any, client: Client) -> None:
    assert client.post(CONSUME, GOOD, content_type="application/json").status_code == 401
    for scopes in (["decide"], ["ingest"], ["read", "manage"]):
        assert post(CONSUME, GOOD, key=make_key(account, *scopes)).status_code == 403
    foreign = make_key(make_account("other", workspaces=["other"]))
    missing = post("/api/v1/workspaces/nothing/consume", GOOD)
    assert missing.status_code == 404
    assert post(CONSUME, GOOD, key=foreign).json() == missing.json()
    assert post(f"{RESERVE}/c-1/release", key=foreign).status_code == 404
    assert post(CONSUME, GOOD, key=make_key(None)).status_code == 200


def test_events_are_voided_and_amended(account: Account, post: Any) -> None:
    sent = event("sms.message", id_="e-1", data={"value": 5})
    assert post("/api/v1/events", sent).json()["accepted"] == 1
    start = current_period(account, system_clock()).starts_at.isoformat().replace("+00:00", "Z")
    body = {"source": "urn:tests", "id": "e-1", "reason": "typo"}
    amended = post("/api/v1/events/amend", body | {"quantity": "2.5"})
    assert amended.status_code == 200
    assert amended.json() == {
        "source": "urn:tests",
        "id": "e-1",
        "workspace": "atlas",
        "metric": "sms",
        "period": start,
        "quantity_before": "5",
        "quantity": "2.5",
    }
    voided = post("/api/v1/events/void", body)
    assert (voided.json()["quantity_before"], voided.json()["quantity"]) == ("2.5", "0")
    assert post("/api/v1/events/void", body).status_code == 200
    assert post("/api/v1/events/amend", body | {"quantity": 1}).status_code == 409
    assert post("/api/v1/events/void", body | {"id": "e-2"}).status_code == 404
    assert post("/api/v1/events", sent).json()["duplicate"] == 1
    assert UsageTotal.objects.get().quantity == 0
    assert broken() == []


def test_an_operators_key_names_the_account(account: Account, post: Any) -> None:
    operator = make_key(None)
    post("/api/v1/events", event("sms.message", id_="e-1"))
    body = {"source": "urn:tests", "id": "e-1", "reason": ""}
    nameless = post("/api/v1/events/void", body, key=operator)
    assert (nameless.status_code, nameless.json()["field"]) == (422, "account")
    assert post("/api/v1/events/void", body | {"account": "nothing"}, key=operator).status_code == 404
    assert post("/api/v1/events/void", body | {"account": "acme"}, key=operator).status_code == 200
    make_account("other", workspaces=["other"])
    assert post("/api/v1/events/void", body | {"account": "other"}).status_code == 404
    assert post("/api/v1/events/void", body, key=make_key(account, "read", "decide", "manage")).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"source": ""},
        {"source": None},
        {"id": ""},
        {"id": 3},
        {"quantity": 0},
        {"quantity": "x"},
        {"reason": 5},
        {"x": 1},
    ],
)
def test_bad_corrections_are_refused(post: Any, change: dict[str, Any]) -> None:
    post("/api/v1/events", event("sms.message", id_="e-1"))
    body = {"source": "urn:tests", "id": "e-1", "reason": "", "quantity": 4} | change
    assert post("/api/v1/events/amend", body).status_code == 422
    assert UsageEvent.objects.count() == 1
