"""Days of seats stay what their reports say, whatever order these arrive in and whatever becomes of them (spec 2.2)."""

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby

import pytest
from django.test import Client

from tests.factories import BY, NOON, bearer, event, make_account, make_key, metric, workspace
from usage.models import Account, UsageDay
from usage.periods import local_day
from usage.seats import SeatReport, days_from_reports
from usage.services.corrections import amend_event, void_event
from usage.services.ingest import ingest_sent
from usage.services.seats import recompute_days

pytestmark = pytest.mark.django_db

ZONE = "America/New_York"
START = datetime(2026, 6, 1, 4, tzinfo=UTC)


def stored_days() -> list[tuple[str, Decimal, Decimal | None]]:
    rows = UsageDay.objects.order_by("period", "day")
    return [(f"{row.period:%m} {row.day}", row.quantity, row.level) for row in rows]


def expected_days(reports: dict[str, SeatReport]) -> list[tuple[str, Decimal, Decimal | None]]:
    level, days = Decimal(0), []
    ordered = sorted(reports.values(), key=lambda report: (report.at, report.received_at))
    for month, group in groupby(ordered, key=lambda report: local_day(report.at, ZONE).month):
        for row in days_from_reports(group, carried_in=level, zone=ZONE):
            days.append((f"{month:02} {row.day}", row.highest, row.closing))
            level = row.closing
    return days


def report(account: Account, sent: list[tuple[str, datetime, int]], received_at: datetime) -> None:
    events = [event("seats.set", id_=name, time=at, data={"value": level}) for name, at, level in sent]
    assert ingest_sent(account_id=account.pk, sent=events, clock=lambda: received_at).accepted == len(sent)


def test_of_reports_for_one_moment_the_later_received_wins_although_the_clock_stands_still() -> None:
    account = make_account(is_sandbox=True)
    headers = bearer(make_key(account, "ingest"))
    for number, level in enumerate((5, 3, 7, 2, 9, 1, 6, 4)):
        at = NOON - timedelta(hours=1) if number % 2 else None
        sent = [event("seats.set", time=at, data={"value": held}) for held in (8, level)]
        answer = Client().post("/api/v1/events", json.dumps(sent), content_type="application/json", headers=headers)
        assert answer.json()["accepted"] == 2
        assert UsageDay.objects.get().level == (5, 5, 7, 7, 9, 9, 6, 6)[number]
    assert UsageDay.objects.get().quantity == 6


@pytest.mark.parametrize("seed", range(25))
def test_any_order_of_reports_corrections_and_late_reports_gives_the_same_days(seed: int) -> None:
    chance = random.Random(seed)
    account = make_account(zone=ZONE)
    now = datetime(2026, 8, 20, tzinfo=UTC)
    reports: dict[str, SeatReport] = {}
    for step in range(12):
        now += timedelta(hours=1)
        by_name = sorted(reports)
        act = chance.random()
        if by_name and act < 0.2:
            name = chance.choice(by_name)
            void_event(account=account, source="urn:tests", event_id=name, reason="", clock=lambda at=now: at, by=BY)
            del reports[name]
        elif by_name and act < 0.4:
            name, level = chance.choice(by_name), Decimal(chance.randrange(1, 30))
            amend_event(
                account=account,
                source="urn:tests",
                event_id=name,
                quantity=level,
                reason="",
                clock=lambda at=now: at,
                by=BY,
            )
            old = reports[name]
            reports[name] = SeatReport(at=old.at, received_at=old.received_at, level=level)
        else:
            sent = []
            for number in range(chance.randrange(1, 4)):
                at = START + timedelta(hours=chance.randrange(0, 24 * 78, 4))
                sent.append((f"{step}-{number}", at, chance.randrange(0, 30)))
            report(account, sent, now)
            for number, (name, at, level) in enumerate(sent):
                later = now + timedelta(microseconds=number)
                reports[name] = SeatReport(at=at, received_at=later, level=Decimal(level))
        assert stored_days() == expected_days(reports), f"seed {seed}, step {step}"
    before = stored_days()
    line = {"account_id": account.pk, "workspace_id": workspace().pk, "metric_id": metric("seats").pk}
    recompute_days(**line)
    assert stored_days() == before
    UsageDay.objects.all().delete()
    recompute_days(**line)
    assert stored_days() == before
