"""Every check stays silent on sound data and speaks up when its rule is broken (spec 9)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection

from config.invariants import CHECKS, violations
from tests.factories import BY, NOON, event, make_account, metric, use, workspace
from tests.usage.test_consume import limit, take
from tests.usage.test_reservations import keep
from usage import invariants
from usage.models import Account, UsageDay
from usage.services.corrections import amend_event, void_event
from usage.services.ingest import ingest_sent

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def account() -> Account:
    account = make_account(workspaces=["atlas", "birch"])
    make_account("other", workspaces=["other"])
    limit(5)
    use("sms", 3)
    use("sms", 3, at=NOON + timedelta(days=40))
    use("seats", 3)
    use("sms", 3, workspace_key="other")
    take("c")
    keep("r")
    sent = [event("sms.message", id_="a", time=NOON), event("sms.message", id_="b", time=NOON)]
    ingest_sent(account_id=account.pk, sent=sent, clock=lambda: NOON)
    void_event(account=account, source="urn:tests", event_id="a", reason="", clock=lambda: NOON, by=BY)
    for quantity in (2, 3):
        amend_event(
            account=account,
            source="urn:tests",
            event_id="b",
            quantity=quantity,  # type: ignore[arg-type]
            reason="",
            clock=lambda: NOON,
            by=BY,
        )
    return account


def test_sound_data_is_silent() -> None:
    assert [line for check in invariants.CHECKS for line in check()] == []


def test_the_command_joins_the_checks_of_every_app() -> None:
    assert {name.partition(".")[0] for name in CHECKS} == {"usage", "billing", "alerts"}
    assert violations() == []


BREAKAGES: list[tuple[Callable[[], Iterable[str]], str]] = [
    (invariants.totals_equal_events, "UPDATE usage_usagetotal SET quantity = quantity + 1"),
    (invariants.totals_equal_events, "UPDATE usage_usagetotal SET quantity_in_time = 0"),
    (invariants.totals_equal_events, "UPDATE usage_usagetotal SET reserved = 7"),
    (invariants.totals_equal_events, "UPDATE usage_usagetotal SET hard_limit = 7"),
    (invariants.totals_equal_events, "DELETE FROM usage_usagetotal"),
    (invariants.days_equal_events, "UPDATE usage_usageday SET quantity = quantity + 1"),
    (invariants.days_equal_events, "DELETE FROM usage_usageday"),
    (invariants.days_equal_events, "UPDATE usage_usageday SET day = day + 1"),
    (invariants.level_days_equal_reports, "UPDATE usage_usageday SET level = level + 1"),
    (invariants.level_days_equal_reports, "DELETE FROM usage_usageday"),
    (invariants.level_days_equal_reports, "DELETE FROM usage_usageevent"),
    (
        invariants.events_lie_in_their_period,
        "UPDATE usage_usageevent SET occurred_at = occurred_at + interval '31 days'",
    ),
    (invariants.events_lie_in_their_period, "UPDATE usage_usageevent SET period = period + interval '1 second'"),
    (invariants.events_lie_in_their_period, "UPDATE usage_usageevent SET day = day - 30"),
    (
        invariants.periods_tile,
        "DELETE FROM usage_period WHERE starts_at = '2026-06-01+00' AND account_id = %(account)s",
    ),
    (invariants.periods_tile, "UPDATE usage_period SET ends_at = ends_at - interval '1 hour'"),
    (invariants.corrections_belong_to_events, "DELETE FROM usage_usageevent WHERE corrects IS NULL"),
    (invariants.corrections_belong_to_events, "UPDATE usage_usageevent SET quantity = -9 WHERE corrects IS NOT NULL"),
    (invariants.corrections_belong_to_events, "UPDATE usage_usageevent SET day = day + 1 WHERE is_void"),
    (invariants.rows_stay_in_their_account, "UPDATE usage_usageevent SET workspace_id = %(foreign)s"),
    (
        invariants.rows_stay_in_their_account,
        "UPDATE usage_usagetotal SET workspace_id = %(foreign)s WHERE metric_id = %(sms)s",
    ),
    (invariants.rows_stay_in_their_account, "UPDATE usage_usageday SET workspace_id = 0 WHERE metric_id = %(sms)s"),
    (invariants.rows_stay_in_their_account, "UPDATE usage_usageday SET metric_id = 0 WHERE metric_id = %(sms)s"),
    (invariants.rows_stay_in_their_account, "UPDATE usage_usagetotal SET metric_id = 0 WHERE metric_id = %(sms)s"),
    (invariants.rows_stay_in_their_account, "UPDATE usage_usageevent SET metric_id = 0 WHERE metric_id = %(sms)s"),
]


@pytest.mark.parametrize(("check", "breakage"), BREAKAGES)
def test_each_check_notices(account: Account, check: Callable[[], Iterable[str]], breakage: str) -> None:
    arguments: dict[str, Any] = {
        "account": account.pk,
        "foreign": workspace("other").pk,
        "sms": metric("sms").pk,
    }
    with connection.cursor() as cursor:
        if "DELETE FROM usage_period" in breakage:
            use("sms", 1, at=NOON + timedelta(days=75))
            breakage = "DELETE FROM usage_period WHERE starts_at = '2026-07-01+00' AND account_id = %(account)s"
        cursor.execute(breakage, arguments)
    lines = list(check())
    assert lines
    assert all(isinstance(line, str) and line for line in lines)
    assert len(lines) <= 100


def test_seat_days_stand_on_their_reports() -> None:
    assert UsageDay.objects.filter(level__isnull=False).count() == 1
