"""What pages read: totals, days, history, events (spec 2.8-2.10, 5.10, 7.1)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.factories import BY, NOON, event, make_account, make_teammate, make_user, metric, use, workspace
from tests.usage.test_consume import JULY, JUNE, limit, take
from usage import selectors
from usage.errors import NotFound
from usage.models import Account, JobRun, Metric, Period, UsageTotal, Workspace
from usage.selectors import MetricUsage
from usage.services.corrections import void_event
from usage.services.ingest import ingest_sent
from usage.services.periods import open_period

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def account() -> Account:
    make_account("other", workspaces=["other"])
    return make_account(workspaces=["atlas", "birch"])


def read(account: Account, *keys: str, at: datetime = NOON, **options: Any) -> dict[str, MetricUsage]:
    period = selectors.current_period(account, at)
    metrics = [metric(key) for key in keys]
    usage = selectors.account_usage(account=account, period=period, metrics=metrics, **options)
    return {line.metric.key: line for line in usage.values()}


def test_it_reads_every_workspace_of_the_account_and_no_other(account: Account) -> None:
    use("sms", 5, workspace_key="atlas")
    use("sms", 3, workspace_key="birch", at=NOON + timedelta(days=1))
    use("sms", 9, workspace_key="other")
    use("sms", 9, at=NOON + timedelta(days=30))
    sms = read(account, "sms", "chat")["sms"]
    atlas, birch = workspace().pk, workspace("birch").pk
    assert sms.own == {atlas: 5, birch: 3}
    assert sms.pool == 8
    assert sms.days == {atlas: [(date(2026, 6, 15), 5)], birch: [(date(2026, 6, 16), 3)]}
    assert sms.pool_days == [(date(2026, 6, 15), 5), (date(2026, 6, 16), 3)]
    assert sms.last_received_at == NOON + timedelta(days=1)
    assert sms.ledger_quantity(atlas) == 5
    chat = read(account, "sms", "chat")["chat"]
    assert (chat.own, chat.days, chat.pool) == ({atlas: 0, birch: 0}, {atlas: [], birch: []}, 0)


def test_it_names_the_limit_in_force_also_before_anything_is_used(account: Account) -> None:
    limit(5)
    atlas, birch = workspace().pk, workspace("birch").pk
    line = read(account, "ai_resolutions")["ai_resolutions"]
    assert line.limits == {atlas: 5, birch: None}
    assert not line.is_limit_reached(atlas)
    use(quantity=7)
    line = read(account, "ai_resolutions")["ai_resolutions"]
    assert line.is_limit_reached(atlas)
    assert (line.over_limit(atlas), line.over_limit(birch)) == (2, 0)
    limit(0, from_period=JULY)
    later = read(account, "ai_resolutions", at=JULY)["ai_resolutions"]
    assert later.is_limit_reached(atlas)


def test_seats_are_held_on_every_day_since_they_were_reported(account: Account) -> None:
    use("seats", 3, at=datetime(2026, 6, 28, 9, tzinfo=UTC))
    use("seats", 5, at=datetime(2026, 7, 3, 9, tzinfo=UTC))
    use("seats", 4, at=datetime(2026, 7, 5, 9, tzinfo=UTC))
    atlas = workspace().pk
    now = datetime(2026, 7, 6, 12, tzinfo=UTC)
    seats = read(account, "seats", at=now, now=now)["seats"]
    assert seats.own[atlas] == 4
    assert [quantity for _, quantity in seats.days[atlas]] == [3, 3, 5, 5, 5, 4]
    assert seats.ledger_quantity(atlas) == 25
    whole = read(account, "seats", at=now)["seats"]
    assert whole.ledger_quantity(atlas) == 25 + 25 * 4
    june = read(account, "seats", at=NOON)["seats"]
    assert (june.own[atlas], june.ledger_quantity(atlas)) == (3, 9)
    early = read(account, "seats", at=NOON, now=NOON)["seats"]
    assert (early.own[atlas], early.ledger_quantity(atlas)) == (0, 0)


def test_the_number_of_queries_does_not_depend_on_how_much_there_is(
    account: Account, django_assert_num_queries: Any
) -> None:
    use("sms", 5)
    use("seats", 5)
    period = selectors.current_period(account, NOON)
    metrics = list(Metric.objects.all())
    with django_assert_num_queries(3):
        selectors.account_usage(account=account, period=period, metrics=metrics, now=NOON)
    with django_assert_num_queries(1):
        selectors.account_usage(account=account, period=period, metrics=metrics, with_days=False, with_levels=False)
    periods = selectors.last_periods(account, until=period, count=12)
    with django_assert_num_queries(1):
        selectors.totals_read(account=account, periods=periods).answer()


def test_what_was_counted_is_read_for_many_periods_at_once(account: Account) -> None:
    use("sms", 5)
    use("sms", 7, at=datetime(2026, 8, 2, tzinfo=UTC), workspace_key="birch")
    use("seats", 2, at=datetime(2026, 6, 30, tzinfo=UTC))
    until = open_period(account_id=account.pk, at=datetime(2026, 8, 2, tzinfo=UTC))
    periods = selectors.last_periods(account, until=until, count=2)
    assert [period.starts_at.month for period in periods] == [7, 8]
    periods = selectors.last_periods(account, until=until, count=12)
    totals = selectors.totals_read(account=account, periods=periods).answer()
    sms, atlas, birch = metric("sms").pk, workspace().pk, workspace("birch").pk
    assert sorted(totals) == sorted(
        [(sms, periods[0].starts_at, atlas, Decimal(5)), (sms, periods[-1].starts_at, birch, Decimal(7))]
    )


def test_the_current_period_is_opened_on_demand_and_never_missing(account: Account) -> None:
    assert selectors.current_period(account, datetime(2026, 9, 3, tzinfo=UTC)).starts_at.month == 9
    assert Period.objects.filter(account=account).count() == 4
    assert selectors.current_period(account, datetime(2026, 5, 3, tzinfo=UTC)).starts_at == JUNE
    account.ended_at = datetime(2026, 8, 1, tzinfo=UTC)
    account.save()
    assert selectors.current_period(account, datetime(2027, 1, 1, tzinfo=UTC)).starts_at == JULY


def test_an_earlier_period_is_found_by_a_moment_in_it(account: Account) -> None:
    assert selectors.period_of(account, NOON).starts_at == JUNE
    for at in (datetime(2026, 5, 3, tzinfo=UTC), JULY):
        with pytest.raises(NotFound):
            selectors.period_of(account, at)


def test_an_advanced_test_clock_was_checked_where_it_stands() -> None:
    account = make_account("sandbox", workspaces=("elm",), is_sandbox=True, now=NOON)
    account.created_at = NOON
    assert selectors.checked_read(account).answer() is None
    account.sandbox_now = NOON + timedelta(days=20)
    assert selectors.checked_read(account).answer() == NOON + timedelta(days=20)


def test_last_checked_is_the_later_of_the_accounts_evaluation_and_the_last_sweep(account: Account) -> None:
    assert selectors.checked_read(account).answer() is None
    use("sms")
    UsageTotal.objects.update(evaluated_at=NOON)
    assert selectors.checked_read(account).answer() == NOON
    JobRun.objects.create(name="refresh", slot=NOON, finished_at=NOON + timedelta(minutes=30))
    assert selectors.checked_read(account).answer() == NOON + timedelta(minutes=30)
    period = selectors.current_period(account, NOON)
    account.is_sandbox = True
    assert selectors.checked_read(account, period=period).answer() == NOON


def test_events_of_a_line_come_in_pages_in_order_of_arrival(account: Account) -> None:
    atlas, birch = workspace(), workspace("birch")
    for number in range(7):
        arrival = NOON + timedelta(minutes=number // 2)
        place = (atlas, birch)[number % 2]
        sent = event("sms.message", id_=f"e-{number}", time=NOON, subject=place.key, data={"value": number + 1})
        ingest_sent(account_id=account.pk, sent=[sent], clock=lambda at=arrival: at)
    void_event(
        account=account, source="urn:tests", event_id="e-2", reason="", clock=lambda: NOON + timedelta(minutes=9), by=BY
    )
    line: dict[str, Any] = {
        "account_id": account.pk,
        "workspace_ids": [atlas.pk, birch.pk],
        "metric_id": metric("sms").pk,
        "period": JUNE,
    }
    found, cursor, pages = [], None, 0
    while True:
        page = selectors.events_of_line(**line, cursor=cursor, limit=3)
        found += page.items
        pages += 1
        cursor = page.next
        if cursor is None:
            break
    assert pages == 3
    assert [row.received_at for row in found] == sorted(row.received_at for row in found)
    assert sorted(row.event_id for row in found) == ["e-0", "e-1", "e-2", "e-2", "e-3", "e-4", "e-5", "e-6"]
    assert sum(row.quantity for row in found) == 28 - 3
    assert list(selectors.iterate_events(**line, limit=2)) == found

    cut = NOON + timedelta(minutes=1)
    before = selectors.events_of_line(**line, received_until=cut).items
    after = selectors.events_of_line(**line, received_after=cut).items
    assert before + after == found
    assert {row.event_id for row in before} == {"e-0", "e-1", "e-2", "e-3"}
    assert selectors.events_of_line(**line | {"workspace_ids": []}).items == []


def test_an_event_is_found_with_its_corrections(account: Account) -> None:
    take("c-1")
    void_event(account=account, source="headroom:consume", event_id="c-1", reason="", clock=lambda: NOON, by=BY)
    rows = selectors.find_event(account_id=account.pk, source="headroom:consume", event_id="c-1")
    assert [row.quantity for row in rows] == [1, -1]
    other = Account.objects.get(key="other")
    assert selectors.find_event(account_id=other.pk, source="headroom:consume", event_id="c-1") == []


def test_totals_and_days_are_listed_in_pages(account: Account) -> None:
    for number in range(5):
        use("sms", 1, at=NOON + timedelta(days=number), workspace_key=("atlas", "birch")[number % 2])
        use("chat", 1, at=NOON + timedelta(days=number * 20))
    for list_rows, limit_ in ((selectors.list_totals, 2), (selectors.list_days, 3)):
        found, cursor = [], None
        while True:
            page = list_rows(account_id=account.pk, cursor=cursor, limit=limit_)
            found += page.items
            cursor = page.next
            if cursor is None:
                break
        assert len(found) == len({row.pk for row in found}) == len(list_rows(account_id=account.pk).items)
    assert len(selectors.list_totals(account_id=account.pk, workspace_id=workspace("birch").pk).items) == 1
    assert selectors.list_reservations(account_id=account.pk).items == []


def test_a_teammate_sees_only_their_workspaces() -> None:
    user = make_teammate("birch").user
    assert [place.key for place in selectors.workspaces_of(user)] == ["birch"]
    assert selectors.workspace_for(user, "birch") == Workspace.objects.get(key="birch")
    for key in ("atlas", "other", "nothing", "", "bir\x00ch"):
        with pytest.raises(NotFound):
            selectors.workspace_for(user, key)
    with pytest.raises(NotFound):
        selectors.workspace_for(make_user("root@example.com", is_superuser=True, is_staff=True), "birch")


def test_quantities_are_stored_units(account: Account) -> None:
    use("phone", 2)
    assert read(account, "phone")["phone"].pool == Decimal(120)
