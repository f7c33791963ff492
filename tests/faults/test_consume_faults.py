"""Whatever dies while units are granted or corrected: nothing is granted twice or lost (spec 2.6, 4.8, 9 a, b, k)."""

from __future__ import annotations

import http.client
from typing import Any

import pytest
from django.test import Client

from tests.factories import bearer, event, make_account, make_key
from tests.servers import Server
from tests.usage.test_consume import broken, limit
from usage.clocks import system_clock
from usage.models import AuditEntry, Reservation, UsageEvent, UsageTotal
from usage.selectors import current_period

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

CONSUME = "/api/v1/workspaces/atlas/consume"
RESERVE = "/api/v1/workspaces/atlas/reservations"
UNIT = {"metric": "ai_resolutions", "quantity": 2, "id": "c-1"}


@pytest.fixture
def headers() -> dict[str, str]:
    account = make_account()
    limit(3, from_period=current_period(account, system_clock()).starts_at)
    return bearer(make_key(account)) | {"Content-Type": "application/json"}


def post(path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
    answer = Client().post(path, body, content_type="application/json", headers=headers)
    return answer.status_code, answer.json()


def die(point: str, path: str, body: Any, headers: dict[str, str]) -> None:
    with Server(FAULT_POINT=point) as doomed, pytest.raises((OSError, http.client.HTTPException)):
        doomed.post(path, body, headers)
    assert broken() == []


POINTS = [
    ("consume.before_count", False),
    ("consume.after_count", False),
    ("consume.before_commit", False),
    ("consume.after_commit", True),
]


@pytest.mark.parametrize(("point", "is_stored"), POINTS)
def test_a_grant_whose_process_dies_is_counted_once_when_asked_again(
    headers: dict[str, str], point: str, is_stored: bool
) -> None:
    die(point, CONSUME, UNIT, headers)
    assert UsageEvent.objects.count() == is_stored
    status, answer = post(CONSUME, UNIT, headers)
    assert (status, answer["reason"]) == (200, "duplicate" if is_stored else "granted")
    assert answer["remaining"] == "1"
    assert UsageTotal.objects.get().quantity == 2
    assert not post(CONSUME, UNIT | {"id": "c-2"}, headers)[1]["allowed"]
    assert broken() == []


@pytest.mark.parametrize(("point", "is_stored"), [POINTS[0], POINTS[-1]])
def test_a_settlement_whose_process_dies_is_counted_once_when_asked_again(
    headers: dict[str, str], point: str, is_stored: bool
) -> None:
    post(RESERVE, UNIT | {"id": "r-1"}, headers)
    die(point, f"{RESERVE}/r-1/settle", {"quantity": 1}, headers)
    assert (Reservation.objects.get().state == "settled") == is_stored
    status, answer = post(f"{RESERVE}/r-1/settle", {"quantity": 1}, headers)
    assert (status, answer) == (200, {"id": "r-1", "quantity": "1", "remaining": "2"})
    row = UsageTotal.objects.get()
    assert (row.quantity, row.reserved) == (1, 0)
    assert broken() == []


@pytest.mark.parametrize(
    ("point", "is_stored"),
    [
        ("correction.before_lock", False),
        ("correction.after_insert", False),
        ("correction.before_commit", False),
        ("correction.after_commit", True),
    ],
)
def test_a_correction_whose_process_dies_is_made_once_when_asked_again(
    headers: dict[str, str], point: str, is_stored: bool
) -> None:
    post("/api/v1/events", event("sms.message", id_="e-1", data={"value": 5}), headers)
    body = {"source": "urn:tests", "id": "e-1", "reason": "typo", "quantity": 2}
    die(point, "/api/v1/events/amend", body, headers)
    assert UsageTotal.objects.get().quantity == (2 if is_stored else 5)
    status, answer = post("/api/v1/events/amend", body, headers)
    assert (status, answer["quantity"]) == (200, "2")
    assert UsageTotal.objects.get().quantity == 2
    assert AuditEntry.objects.filter(action="usage.amended").count() == 1
    assert broken() == []
