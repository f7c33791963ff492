"""Check and count in one step (spec 4.8)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import NOON, make_account, metric, workspace
from usage.errors import AccountEnded, BeforeFirstPeriod, Conflict, InvalidInput
from usage.invariants import CHECKS
from usage.models import Account, Period, UsageDay, UsageEvent, UsageTotal
from usage.rounding import stored_quantity
from usage.services.consume import Grant, consume
from usage.services.limits import write_limit
from usage.signals import totals_passed_level

pytestmark = pytest.mark.django_db

JUNE = datetime(2026, 6, 1, tzinfo=UTC)
JULY = datetime(2026, 7, 1, tzinfo=UTC)


def take(
    consume_id: str = "c-1",
    quantity: str = "1",
    *,
    metric_key: str = "ai_resolutions",
    workspace_key: str = "atlas",
    at: datetime = NOON,
) -> Grant:
    place = workspace(workspace_key)
    return consume(
        account_id=place.account_id,
        workspace_id=place.pk,
        metric_key=metric_key,
        quantity=Decimal(quantity),
        consume_id=consume_id,
        clock=lambda: at,
    )


def limit(quantity: int | None, *, metric_key: str = "ai_resolutions", from_period: datetime = JUNE) -> None:
    write_limit(
        workspace=workspace(),
        metric=metric(metric_key),
        from_period=from_period,
        quantity=None if quantity is None else Decimal(quantity),
    )


def total(metric_key: str = "ai_resolutions", period: datetime = JUNE) -> UsageTotal:
    return UsageTotal.objects.get(workspace=workspace(), metric=metric(metric_key), period=period)


def broken() -> list[str]:
    return [line for check in CHECKS for line in check()]


@pytest.fixture(autouse=True)
def account(request: pytest.FixtureRequest) -> Account | None:
    return None if "transactional_db" in request.fixturenames else make_account(workspaces=["atlas", "birch"])


def test_it_grants_up_to_the_limit_and_refuses_the_next_unit() -> None:
    limit(2)
    assert take("a") == Grant(True, Decimal(1), Decimal(2), JULY, "granted")
    assert take("b") == Grant(True, Decimal(0), Decimal(2), JULY, "granted")
    assert take("c") == Grant(False, Decimal(0), Decimal(2), JULY, "limit_reached")
    assert total().quantity == 2
    assert UsageEvent.objects.count() == 2
    assert broken() == []


def test_without_a_limit_everything_is_granted_and_nothing_remains_to_be_named() -> None:
    assert take(quantity="7.5", metric_key="sms") == Grant(True, None, None, JULY, "no_limit")
    assert total("sms").quantity == Decimal("7.5")


def test_the_first_of_a_period_checks_the_limit_in_force_although_no_total_stands_yet() -> None:
    limit(3)
    assert take("a", "4") == Grant(False, Decimal(3), Decimal(3), JULY, "limit_reached")
    assert not UsageTotal.objects.exists()
    assert take("b", "3").allowed
    assert total().hard_limit == 3


def test_a_limit_of_zero_allows_none() -> None:
    limit(0)
    assert take() == Grant(False, Decimal(0), Decimal(0), JULY, "limit_reached")


def test_a_new_period_has_its_own_limit_without_any_job() -> None:
    limit(1)
    limit(5, from_period=JULY)
    assert take("june").allowed
    assert not take("june too").allowed
    in_july = datetime(2026, 7, 1, tzinfo=UTC)
    assert take("july", at=in_july) == Grant(True, Decimal(4), Decimal(5), datetime(2026, 8, 1, tzinfo=UTC), "granted")
    assert Period.objects.filter(starts_at=JULY).count() == 1


def test_a_limit_raised_in_the_period_holds_for_the_next_call() -> None:
    limit(1)
    take("a")
    assert not take("b").allowed
    limit(2)
    assert take("b").allowed


def test_the_same_id_and_content_counts_once_and_says_what_remains_now() -> None:
    limit(5)
    take("a", "2")
    take("b", "1")
    assert take("a", "2") == Grant(True, Decimal(2), Decimal(5), JULY, "duplicate")
    assert total().quantity == 3


def test_the_same_id_is_still_known_in_the_next_period() -> None:
    take("a")
    again = take("a", at=datetime(2026, 7, 2, tzinfo=UTC))
    assert again == Grant(True, None, None, datetime(2026, 8, 1, tzinfo=UTC), "duplicate")
    assert UsageEvent.objects.count() == 1


def test_the_same_id_with_other_content_is_a_conflict_and_changes_nothing() -> None:
    take("a", "2")
    for other in ({"quantity": "3"}, {"metric_key": "sms"}, {"workspace_key": "birch"}):
        with pytest.raises(Conflict) as refusal:
            take("a", **{"quantity": "2"} | other)
        assert refusal.value.code == "id_reused"
    assert UsageTotal.objects.count() == UsageEvent.objects.count() == 1
    assert total().quantity == 2


def test_a_refusal_is_not_remembered() -> None:
    limit(1)
    assert not take("a", "2").allowed
    limit(2)
    assert take("a", "2").reason == "granted"
    assert take("a", "2").reason == "duplicate"


def test_quantities_are_in_display_units() -> None:
    limit(600, metric_key="phone")
    assert take("a", "2.5", metric_key="phone") == Grant(True, Decimal("7.5"), Decimal(10), JULY, "granted")
    assert total("phone").quantity == 150


def test_a_quantity_too_small_to_count_is_refused() -> None:
    with pytest.raises(InvalidInput) as refusal:
        take(quantity="0.000001", metric_key="phone")
    assert refusal.value.field == "quantity"
    assert not UsageEvent.objects.exists()


@pytest.mark.parametrize("metric_key", ["seats", "nothing", ""])
def test_levels_and_unknown_metrics_cannot_be_consumed(metric_key: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        take(metric_key=metric_key)
    assert refusal.value.field == "metric"


def test_an_ended_account_and_a_time_before_the_first_period_are_refused() -> None:
    with pytest.raises(BeforeFirstPeriod):
        take(at=datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC))
    Account.objects.update(ended_at=NOON)
    with pytest.raises(AccountEnded):
        take()
    assert not UsageEvent.objects.exists()


def test_a_retry_after_the_accounts_end_is_told_that_it_was_counted() -> None:
    take(consume_id="before the end")
    Account.objects.update(ended_at=NOON + timedelta(hours=1))
    late = NOON + timedelta(days=90)
    assert take(consume_id="before the end", at=late).reason == "duplicate"
    with pytest.raises(AccountEnded):
        take(consume_id="after the end", at=late)
    assert UsageEvent.objects.count() == 1


def test_it_counts_the_local_day() -> None:

    make_account("pacific", workspaces=["kiri"], zone="Pacific/Kiritimati")
    take(workspace_key="kiri", at=datetime(2026, 6, 15, 11, tzinfo=UTC))
    assert UsageDay.objects.get().day.isoformat() == "2026-06-16"


def test_what_is_consumed_after_a_cut_is_received_after_it(account: Account) -> None:
    cut = NOON + timedelta(seconds=3)
    Account.objects.filter(pk=account.pk).update(last_cut_at=cut)
    take()
    assert UsageEvent.objects.get().received_at == cut + timedelta(microseconds=1)


def test_it_tells_only_the_grant_that_passes_the_next_level() -> None:
    told: list[int] = []

    def listen(sender: Any, account_id: int, **kwargs: Any) -> None:
        assert connection.in_atomic_block
        told.append(account_id)

    totals_passed_level.connect(listen)
    try:
        take("first")
        assert len(told) == 1  # a new total: nobody has worked out its level yet
        UsageTotal.objects.update(next_level=3)
        take("second")
        assert len(told) == 1
        take("third")
        take("fourth")
        assert len(told) == 2
    finally:
        totals_passed_level.disconnect(listen)


def test_without_live_evaluation_nothing_is_told(settings: Any) -> None:
    settings.LIVE_EVALUATION = False
    told: list[int] = []

    def listen(sender: Any, account_id: int, **kwargs: Any) -> None:
        told.append(account_id)

    totals_passed_level.connect(listen)
    try:
        assert take("first").allowed
    finally:
        totals_passed_level.disconnect(listen)
    assert told == []


@settings(max_examples=300, deadline=None)
@given(
    shown=st.decimals(min_value="0.000001", max_value=10**12, places=6),
    unit_size=st.sampled_from([1, 2, 7, 60, 3600, 1024]),
    step=st.sampled_from([Decimal("0.000001"), *map(Decimal, (1, 6, 7, 30, 60))]),
)
def test_the_database_turns_display_units_into_stored_units_exactly_as_python_does(
    shown: Decimal, unit_size: int, step: Decimal
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT headroom_stored(%s, %s, %s)", [shown, unit_size, step])
        row = cursor.fetchone()
    assert row is not None
    assert row[0] == stored_quantity(shown, unit_size=unit_size, step=step)


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run the calls at the same moment, each on a database connection of its own; exceptions are results."""
    start = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def run(index: int) -> None:
        try:
            connection.ensure_connection()
            start.wait()
            results[index] = calls[index]()
        except Exception as error:
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[index]) for index in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db(transaction=True)
def test_of_all_who_race_for_one_id_one_counts_and_the_others_hear_that_it_stands(transactional_db: None) -> None:
    make_account()
    limit(10)
    results = at_once([lambda: take("same", "2")] * 12)
    assert sorted(result.reason for result in results) == ["duplicate"] * 11 + ["granted"]
    assert total().quantity == 2
    assert broken() == []


@pytest.mark.django_db(transaction=True)
def test_of_racing_calls_for_one_id_with_other_content_one_stands(transactional_db: None) -> None:
    make_account(workspaces=["atlas", "birch"])
    calls = [lambda w=w, q=q: take("same", q, workspace_key=w) for w in ("atlas", "birch") for q in ("1", "2")] * 3
    results = at_once(calls)
    assert sum(isinstance(result, Conflict) for result in results) == 9
    assert UsageEvent.objects.count() == 1
    assert broken() == []
