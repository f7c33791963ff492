"""Accounts, workspaces, clocks and permissions (spec 1.1, 1.2, 1.6, 2.10)."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.factories import BY, NOON, make_account, make_teammate, make_user, use, workspace
from usage.clocks import clock_of
from usage.errors import Conflict, InvalidInput
from usage.models import Account, AccountClock, AuditEntry, Period, Teammate, Workspace
from usage.services.accounts import add_workspace, change_clock, create_account, end_account, set_teammate_flags
from usage.services.periods import extend_periods, open_period

pytestmark = pytest.mark.django_db


def spans(account: Account) -> list[tuple[str, str]]:
    rows = Period.objects.filter(account=account).order_by("starts_at").values_list("starts_at", "ends_at")
    return [(f"{start:%Y-%m-%d %H:%M}", f"{end:%Y-%m-%d %H:%M}") for start, end in rows]


def test_an_account_begins_with_its_clock_its_first_period_and_its_workspaces() -> None:
    account = make_account(zone="Europe/Dublin", started_on=date(2026, 1, 31), workspaces=("atlas", "birch"))
    clock = AccountClock.objects.get(account=account)
    assert (clock.starts_on, clock.zone, clock.interval) == (date(2026, 1, 31), "Europe/Dublin", "month")
    assert clock.anchor == clock.starts_at == datetime(2026, 1, 31, tzinfo=UTC)
    period = Period.objects.get(account=account)
    assert (period.first_day, period.last_day, period.days) == (date(2026, 1, 31), date(2026, 2, 27), 28)
    assert [workspace.key for workspace in Workspace.objects.order_by("key")] == ["atlas", "birch"]
    assert AuditEntry.objects.filter(action="account.created", account=account).count() == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"key": "Acme"}, "key"),
        ({"key": "_a"}, "key"),
        ({"key": "a" * 64}, "key"),
        ({"key": "a\n"}, "key"),
        ({"name": "a\r\nb"}, "name"),
        ({"name": "a" * 201}, "name"),
        ({"currency": "usd"}, "currency"),
        ({"zone": "Mars/Olympus"}, "zone"),
        ({"interval": "week"}, "interval"),
        ({"workspaces": []}, "workspaces"),
        ({"workspaces": [("Atlas", "Atlas")]}, "workspaces"),
        ({"workspaces": [("atlas", "a" * 201)]}, "workspaces"),
    ],
)
def test_an_impossible_account_is_refused_and_nothing_is_left(change: dict[str, Any], field: str) -> None:
    good: dict[str, Any] = {
        "key": "acme",
        "name": "Acme",
        "zone": "UTC",
        "started_on": date(2026, 1, 1),
        "workspaces": [("atlas", "Atlas")],
    }
    with pytest.raises(InvalidInput) as refusal:
        create_account(**(good | change), now=NOON, by=BY)
    assert refusal.value.field == field
    assert (Account.objects.count(), Workspace.objects.count(), AuditEntry.objects.count()) == (0, 0, 0)


@pytest.mark.parametrize(
    ("zone", "started_on", "expected"),
    [
        # The clocks went from midnight to one o'clock that day; the next boundaries are at midnight all the same.
        (
            "Africa/Cairo",
            date(2023, 4, 28),
            [("2023-04-27 22:00", "2023-05-27 21:00"), ("2023-05-27 21:00", "2023-06-27 21:00")],
        ),
        (
            "America/Havana",
            date(2024, 3, 10),
            [("2024-03-10 05:00", "2024-04-10 04:00"), ("2024-04-10 04:00", "2024-05-10 04:00")],
        ),
        # Samoa never had that day; its day of the month is kept.
        (
            "Pacific/Apia",
            date(2011, 12, 30),
            [("2011-12-30 10:00", "2012-01-29 10:00"), ("2012-01-29 10:00", "2012-02-28 10:00")],
        ),
    ],
)
def test_a_first_day_without_midnight_moves_no_later_boundary(
    zone: str, started_on: date, expected: list[tuple[str, str]]
) -> None:
    account = make_account(zone=zone, started_on=started_on)
    begins = Period.objects.get(account=account).ends_at
    extend_periods(account_id=account.pk, to=begins)
    assert spans(account) == expected


def test_keys_are_unique_in_the_installation() -> None:
    account = make_account()
    with pytest.raises(Conflict):
        make_account("acme", workspaces=("cedar",))
    with pytest.raises(Conflict):
        make_account("other", workspaces=("cedar", "atlas"))
    assert Account.objects.count() == Workspace.objects.count() == 1
    with pytest.raises(Conflict):
        add_workspace(account=account, key="atlas", name="Atlas", by=BY)
    assert add_workspace(account=account, key="birch", name="Birch", by=BY).account == account


def test_a_sandbox_account_has_a_clock_that_stands_still() -> None:
    account = make_account(is_sandbox=True, now=NOON)
    assert clock_of(account)() == NOON
    Account.objects.update(sandbox_now=NOON + timedelta(days=3))
    assert clock_of(account)() == NOON + timedelta(days=3)


def test_a_change_of_zone_holds_from_the_end_of_the_running_period() -> None:
    account = make_account(zone="UTC", started_on=date(2026, 1, 31))
    clock = change_clock(account=account, zone="Asia/Tokyo", now=datetime(2026, 3, 5, tzinfo=UTC), by=BY)
    assert clock.starts_at == datetime(2026, 3, 31, tzinfo=UTC)
    extend_periods(account_id=account.pk, to=datetime(2026, 5, 15, tzinfo=UTC))
    assert spans(account) == [
        ("2026-01-31 00:00", "2026-02-28 00:00"),
        ("2026-02-28 00:00", "2026-03-31 00:00"),
        ("2026-03-31 00:00", "2026-04-29 15:00"),
        ("2026-04-29 15:00", "2026-05-30 15:00"),
    ]


def test_a_change_of_interval_keeps_the_anchors_day_and_leaves_no_stub() -> None:
    account = make_account(started_on=date(2026, 1, 31))
    change_clock(account=account, interval="quarter", now=datetime(2026, 2, 5, tzinfo=UTC), by=BY)
    extend_periods(account_id=account.pk, to=datetime(2026, 3, 1, tzinfo=UTC))
    assert spans(account) == [("2026-01-31 00:00", "2026-02-28 00:00"), ("2026-02-28 00:00", "2026-05-31 00:00")]


def test_of_two_changes_in_one_period_the_last_holds() -> None:
    account = make_account()
    now = datetime(2026, 6, 10, tzinfo=UTC)
    change_clock(account=account, interval="year", now=now, by=BY)
    change_clock(account=account, zone="America/New_York", now=now, by=BY)
    clocks = list(AccountClock.objects.order_by("starts_at").values_list("zone", "interval"))
    assert clocks == [("UTC", "month"), ("America/New_York", "month")]


def test_a_period_that_was_opened_early_but_is_empty_follows_the_new_clock() -> None:
    account = make_account()
    extend_periods(account_id=account.pk, to=datetime(2026, 8, 2, tzinfo=UTC))
    change_clock(account=account, interval="quarter", now=datetime(2026, 6, 30, tzinfo=UTC), by=BY)
    open_period(account_id=account.pk, at=datetime(2026, 7, 2, tzinfo=UTC))
    assert spans(account) == [("2026-06-01 00:00", "2026-07-01 00:00"), ("2026-07-01 00:00", "2026-10-01 00:00")]


def test_usage_in_the_next_period_already_keeps_that_period_as_it_is() -> None:
    account = make_account()
    now = datetime(2026, 6, 30, 23, 58, tzinfo=UTC)
    use(at=now + timedelta(minutes=4), received_at=now)
    change_clock(account=account, interval="quarter", now=now, by=BY)
    open_period(account_id=account.pk, at=datetime(2026, 8, 2, tzinfo=UTC))
    assert spans(account)[1:] == [("2026-07-01 00:00", "2026-08-01 00:00"), ("2026-08-01 00:00", "2026-11-01 00:00")]


def test_an_unknown_zone_or_interval_changes_nothing() -> None:
    account = make_account()
    for change in ({"zone": "Nowhere"}, {"interval": "week"}):
        with pytest.raises(InvalidInput):
            change_clock(account=account, **change, now=NOON, by=BY)  # type: ignore[arg-type]
    assert AccountClock.objects.count() == 1


def test_an_end_is_written_down() -> None:
    account = make_account()
    end_account(account=account, at=NOON, by=BY)
    account.refresh_from_db()
    assert account.ended_at == NOON
    assert AuditEntry.objects.filter(action="account.ended").count() == 1


def test_permissions_are_changed_one_by_one_and_audited() -> None:
    make_account()
    teammate = make_teammate(alerts=True)
    user, place = teammate.user, workspace()
    set_teammate_flags(workspace=place, user=user, by=BY, can_manage_limits=True)
    set_teammate_flags(workspace=place, user=user, by=BY, can_manage_limits=True)
    row = Teammate.objects.get()
    assert (row.can_manage_alerts, row.can_manage_limits, row.can_manage_billing) == (True, True, False)
    entries = AuditEntry.objects.filter(action__startswith="teammate.").order_by("id")
    assert [entry.action for entry in entries] == ["teammate.added", "teammate.permissions_changed"]
    assert entries[1].before["can_manage_limits"] is False
    assert entries[1].after["can_manage_limits"] is True


def test_e_mail_addresses_differ_by_more_than_case() -> None:
    from django.db import IntegrityError, transaction

    make_user("ada@example.com")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_user("ADA@example.com")
