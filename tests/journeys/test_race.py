"""Two hundred clients, each with a connection of its own, race against a limit at two web processes (spec 2.7, 4.8).

`HEADROOM_RACES=100 bin/test tests/journeys/test_race.py` runs the race for the last unit a hundred times.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from alerts.services.limits import set_hard_limit
from config.bench.load import http_request, send_all
from tests.billing.books import subscribed
from tests.factories import BY, event, make_key, make_teammate, metric, workspace
from tests.screens.pages import BACKEND
from tests.servers import Server
from usage.clocks import system_clock
from usage.models import Account, User

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

RACES = int(os.environ.get("HEADROOM_RACES", "3"))
CLIENTS = 200
CONSUME = "/api/v1/workspaces/atlas/consume"


@pytest.fixture
def account() -> Account:
    return subscribed("starter", started_on=system_clock().date() - timedelta(days=10))


def limit(quantity: int) -> None:
    set_hard_limit(
        workspace=workspace(), metric=metric(), quantity=Decimal(quantity), effective="now", clock=system_clock, by=BY
    )


def all_at_once(server: Server, requests: list[bytes]) -> list[dict[str, Any]]:
    """The answers to requests that are sent at the same moment, each over a connection of its own."""
    return [json.loads(body) for body in send_all(server.port, [[request] for request in requests]).bodies]


def asks(key: str, name: str) -> bytes:
    body = {"metric": "ai_resolutions", "quantity": 1, "id": name}
    return http_request(CONSUME, json.dumps(body).encode(), key=key)


def usage_of(key: str) -> dict[str, Any]:
    page = Client().get("/api/v1/workspaces/atlas/usage", headers={"Authorization": f"Bearer {key}"}).json()
    return dict(next(row for row in page["metrics"] if row["key"] == "ai_resolutions"))


def nothing_is_broken() -> bool:
    out = StringIO()
    call_command("check_invariants", stdout=out)
    return out.getvalue() == ""


def test_of_two_hundred_clients_exactly_one_gets_the_last_unit(account: Account) -> None:
    key = make_key(account)
    with Server(workers=2) as server:
        for number in range(1, RACES + 1):
            limit(number)
            answers = all_at_once(server, [asks(key, f"{number}-{client}") for client in range(CLIENTS)])
            assert Counter(answer["reason"] for answer in answers) == {"granted": 1, "limit_reached": CLIENTS - 1}
            assert {answer["remaining"] for answer in answers} == {"0"}
    assert (usage_of(key)["quantity"], usage_of(key)["over_limit_quantity"]) == (str(RACES), "0")
    assert nothing_is_broken()


def test_what_arrives_as_plain_usage_beyond_the_limit_is_recorded_and_shown(account: Account) -> None:
    key = make_key(account)
    make_teammate("atlas", "ada@example.com", limits=True)
    limit(120)
    sent = [event("ai_resolution.recorded", id_=f"e-{number}", time=system_clock()) for number in range(CLIENTS)]
    with Server(workers=2) as server:
        answers = all_at_once(
            server, [http_request("/api/v1/events", json.dumps(one).encode(), key=key) for one in sent]
        )
        assert sum(answer["accepted"] for answer in answers) == CLIENTS
        (refused,) = all_at_once(server, [asks(key, "one more")])
        assert (refused["reason"], refused["remaining"]) == ("limit_reached", "0")
    usage = usage_of(key)
    assert (usage["quantity"], usage["limit_reached"], usage["over_limit_quantity"]) == ("200", True, "80")
    ada = Client()
    ada.force_login(User.objects.get(email="ada@example.com"), backend=BACKEND)
    page = ada.get("/w/atlas/usage").content.decode()
    assert "Over the limit" in page
    assert "(recorded and billed)" in page
    assert nothing_is_broken()
