"""The event log replayed in any order, with duplicates, comes to the same usage (spec 9 m)."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.factories import BY, event, make_account, metric
from tests.usage.test_consume import broken
from usage.models import Account, UsageDay, UsageTotal
from usage.services.corrections import amend_event, void_event
from usage.services.ingest import ingest_sent

pytestmark = pytest.mark.django_db

ARRIVAL = datetime(2026, 9, 1, tzinfo=UTC)
TYPES = ("ai_resolution.recorded", "sms.message", "call.ended", "seats.set")


def log(seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    return [one(f"e-{number}", chance) for number in range(120)]


def one(id_: str, chance: random.Random) -> dict[str, Any]:
    at = datetime(2026, 6, 1, tzinfo=UTC) + timedelta(seconds=chance.randint(0, 86_400 * 85))
    type_ = chance.choice(TYPES)
    data: dict[str, Any] | None = {"value": chance.choice((1, Decimal("2.5"), 7))}
    if type_ == "call.ended":
        length = timedelta(seconds=chance.randint(1, 900))
        data = {"started_at": (at - length).isoformat(), "ended_at": at.isoformat()}
    elif type_ == "ai_resolution.recorded":
        data = None
    return event(type_, id_=id_, time=at, data=data, subject=chance.choice(("atlas", "birch")))


def replay(account_key: str, sent: list[dict[str, Any]], seed: int) -> Any:
    account = make_account(
        account_key, workspaces=[f"{account_key}-atlas", f"{account_key}-birch"], zone="America/St_Johns"
    )
    chance = random.Random(seed)
    sent = [one | {"subject": f"{account_key}-{one['subject']}"} for one in sent]
    shuffled = sent + chance.sample(sent, 40)
    chance.shuffle(shuffled)
    while shuffled:
        size = chance.randint(1, 30)
        ingest_sent(account_id=account.pk, sent=shuffled[:size], clock=lambda: ARRIVAL)
        del shuffled[:size]
    corrections = [("e-3", None), ("e-5", "4"), ("e-5", "6"), ("e-8", "1"), ("e-9", None)]
    for id_, quantity in corrections:
        act: dict[str, Any] = {"account": account, "source": "urn:tests", "event_id": id_, "reason": "", "by": BY}
        if quantity is None:
            void_event(**act, clock=lambda: ARRIVAL)
        else:
            amend_event(**act, clock=lambda: ARRIVAL, quantity=Decimal(quantity))
    return usage_of(account)


def usage_of(account: Account) -> Any:
    places = {place.pk: place.key.rpartition("-")[2] for place in account.workspaces.all()}
    totals = {
        (places[row.workspace_id], row.metric_id, row.period): (row.quantity, row.quantity_in_time)
        for row in UsageTotal.objects.filter(account=account)
    }
    days = {
        (places[row.workspace_id], row.metric_id, row.period, row.day): (row.quantity, row.level)
        for row in UsageDay.objects.filter(account=account)
    }
    return totals, days


@pytest.mark.parametrize("seed", range(3))
def test_a_shuffled_log_with_duplicates_comes_to_the_same_usage(seed: int) -> None:
    sent = log(seed)
    first = replay("first", sent, seed=1)
    assert replay("second", sent, seed=2) == first
    assert any(row[1] == metric("seats").pk for row in first[1])
    assert broken() == []
