"""What the application can see of counting over HTTP as days go by: expiring reservations, corrections, seats, periods,
the projection (spec 2.2, 2.6, 2.10, 2.11, 4.8). The account's clock stands where the test puts it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from config.invariants import violations
from tests.alerts.conversations import limit, make_account, set_clock
from tests.factories import NOON, bearer, event, make_key
from usage.models import Account

pytestmark = pytest.mark.django_db

JULY = datetime(2026, 7, 1, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
ATLAS = "workspaces/atlas"


class Application:
    """The metered product, which speaks HTTP and nothing else."""

    def __init__(self, account: Account) -> None:
        self.account, self.now = account, NOON
        self.client, self.headers = Client(), bearer(make_key(account))
        self.ids = map(str, itertools.count(1))

    def waits(self, time: timedelta) -> None:
        self.now += time
        set_clock(self.account, self.now)

    def posts(self, path: str, body: Any, *, status: int = 200) -> Any:
        answer = self.client.post(f"/api/v1/{path}", body, content_type="application/json", headers=self.headers)
        assert answer.status_code == status, answer.content
        return answer.json()

    def sends(self, type_: str, **fields: Any) -> str:
        id_ = next(self.ids)
        assert self.posts("events", event(type_, id_=id_, **{"time": self.now, **fields}))["accepted"] == 1
        return id_

    def consumes(self, quantity: int, *, id_: str = "") -> tuple[str, str]:
        body = {"metric": "ai_resolutions", "quantity": quantity, "id": id_ or next(self.ids)}
        answer = self.posts(f"{ATLAS}/consume", body)
        return answer["reason"], answer["remaining"]

    def reserves(self, quantity: int, id_: str, *, seconds: int = 60) -> tuple[str, str]:
        body = {"metric": "ai_resolutions", "quantity": quantity, "id": id_, "expires_in": seconds}
        answer = self.posts(f"{ATLAS}/reservations", body)
        return answer["reason"], answer["remaining"]

    def settles(self, id_: str, quantity: int) -> Any:
        return self.posts(f"{ATLAS}/reservations/{id_}/settle", {"quantity": quantity})["remaining"]

    def usage(self, metric: str = "ai_resolutions", *, at: datetime | None = None) -> dict[str, Any]:
        query = {"at": at.isoformat()} if at else {}
        answer = self.client.get(f"/api/v1/{ATLAS}/usage", query, headers=self.headers).json()
        row = next(row for row in answer["metrics"] if row["key"] == metric)
        return row | {"starts": answer["period"]["starts_at"][:16], "ends": answer["period"]["ends_at"][:16]}


@pytest.fixture
def app() -> Iterator[Application]:
    app = Application(make_account())
    yield app
    assert violations() == []


def test_an_expired_reservation_makes_room_when_somebody_would_be_refused(app: Application) -> None:
    limit(3)
    assert app.reserves(2, "held") == ("granted", "1")
    assert app.consumes(2) == ("limit_reached", "1")
    app.waits(2 * MINUTE)
    assert app.consumes(2) == ("granted", "1")
    # What happened in spite of it is recorded, also beyond the limit.
    assert app.settles("held", 4) == "0"
    used = app.usage()
    assert (used["quantity"], used["limit_reached"], used["over_limit_quantity"]) == ("6", True, "3")


def test_a_reservation_is_settled_in_its_period_also_after_the_turn(app: Application) -> None:
    limit(3)
    app.waits(JULY - MINUTE - NOON)
    assert app.reserves(3, "held", seconds=3600) == ("granted", "0")
    app.waits(2 * MINUTE)
    assert app.consumes(1) == ("granted", "2")
    assert app.settles("held", 2) == "1"
    assert app.settles("held", 2) == "1"
    assert (app.usage()["quantity"], app.usage(at=NOON)["quantity"]) == ("1", "2")
    app.posts(f"{ATLAS}/reservations/held/release", {}, status=409)


def test_a_refusal_is_not_remembered_but_a_grant_is_for_ever(app: Application) -> None:
    limit(1)
    assert app.consumes(1, id_="first") == ("granted", "0")
    assert app.consumes(1, id_="second") == ("limit_reached", "0")
    limit(2)
    assert app.consumes(1, id_="second") == ("granted", "0")
    app.waits(40 * DAY)
    assert app.consumes(1, id_="first") == ("duplicate", "2")
    assert app.usage()["quantity"] == "0"


def test_a_correction_counts_at_once_and_lets_the_agent_go_on(app: Application) -> None:
    limit(2)
    first, _ = app.sends("ai_resolution.recorded"), app.sends("ai_resolution.recorded")
    assert app.usage()["limit_reached"] is True
    assert app.consumes(1) == ("limit_reached", "0")
    which = {"source": "urn:tests", "id": first, "reason": "taken back"}
    assert app.posts("events/void", which)["quantity"] == "0"
    assert (app.usage()["quantity"], app.usage()["limit_reached"]) == ("1", False)
    assert app.consumes(1) == ("granted", "0")
    # Of last month: its total changes, this month's does not.
    whatsapp = app.sends("whatsapp.message", data={"value": 7})
    app.waits(30 * DAY)
    amended = {"source": "urn:tests", "id": whatsapp, "reason": "measured again", "quantity": "2.5"}
    for before in ("7", "2.5"):
        assert app.posts("events/amend", amended)["quantity_before"] == before
    assert (app.usage("whatsapp", at=NOON)["quantity"], app.usage("whatsapp")["quantity"]) == ("2.5", "0")


def test_seats_are_a_level_that_lasts_until_the_next_report(app: Application) -> None:
    assert app.usage("seats")["quantity"] == "0"
    app.sends("seats.set", data={"value": 5})
    wrong = app.sends("seats.set", data={"value": 9})  # at the same moment: the later one wins
    assert app.usage("seats")["quantity"] == "9"
    app.waits(30 * DAY)
    assert app.usage("seats")["quantity"] == "9"
    app.posts("events/void", {"source": "urn:tests", "id": wrong, "reason": "never so many"})
    assert app.usage("seats")["quantity"] == "5"
    app.sends("seats.set", data={"value": 0})
    assert app.usage("seats")["quantity"] == "0"


def test_usage_is_projected_from_elapsed_time(app: Application) -> None:
    app.waits(datetime(2026, 6, 11, tzinfo=UTC) - NOON)
    app.sends("whatsapp.message", data={"value": 100})
    assert app.usage("whatsapp")["projected_quantity"] == "300"
    assert app.usage("seats")["projected_quantity"] is None


def test_periods_of_a_month_end_anchor_tile_through_clock_changes() -> None:
    account = make_account(zone="America/New_York", started_on=date(2026, 1, 31))
    app = Application(account)
    starts = [app.usage("sms", at=datetime(2026, month, 15, tzinfo=UTC)) for month in (2, 3, 4, 5)]
    assert [(row["starts"], row["ends"]) for row in starts] == [
        ("2026-01-31T05:00", "2026-02-28T05:00"),
        ("2026-02-28T05:00", "2026-03-31T04:00"),
        ("2026-03-31T04:00", "2026-04-30T04:00"),
        ("2026-04-30T04:00", "2026-05-31T04:00"),
    ]
    # Usage of any past time counts in the period and on the local day in which it happened.
    app.sends("sms.message", time=datetime(2026, 3, 31, 3, 59, tzinfo=UTC))
    app.sends("sms.message", time=datetime(2026, 3, 31, 4, 0, tzinfo=UTC))
    used = [app.usage("sms", at=datetime(2026, month, 15, tzinfo=UTC))["quantity"] for month in (3, 4)]
    assert used == ["1", "1"]
    refused = app.posts("events", event("sms.message", time=datetime(2026, 1, 31, 4, 59, tzinfo=UTC)), status=422)
    assert refused["rejected"][0]["code"] == "before_first_period"
