"""Periods on demand: stored once, contiguous, the same for all who ask (spec 2.10, Data 4)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection, transaction

from tests.factories import BY, make_account
from usage.errors import AccountEnded, BeforeFirstPeriod
from usage.models import Account, Period
from usage.services.accounts import end_account
from usage.services.locks import cut_at, lock_account, lock_shared, received_at
from usage.services.periods import find_period, next_period_of, open_period, open_periods

pytestmark = pytest.mark.django_db


def at(month: int, day: int, hour: int = 0) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def test_a_period_is_stored_when_somebody_asks_for_it() -> None:
    account = make_account()
    assert find_period(account_id=account.pk, at=at(8, 10)) is None
    period = open_period(account_id=account.pk, at=at(8, 10))
    assert (period.starts_at, period.ends_at) == (at(8, 1), at(9, 1))
    assert open_period(account_id=account.pk, at=at(8, 31, 23)).pk == period.pk
    assert Period.objects.filter(account=account).count() == 3


def test_the_first_instant_belongs_to_the_period_and_the_last_to_the_next() -> None:
    account = make_account()
    assert open_period(account_id=account.pk, at=at(6, 1)).starts_at == at(6, 1)
    assert open_period(account_id=account.pk, at=at(7, 1)).starts_at == at(7, 1)
    last = at(7, 1) - timedelta(microseconds=1)
    assert open_period(account_id=account.pk, at=last).starts_at == at(6, 1)


def test_many_instants_are_answered_at_once() -> None:
    account = make_account()
    instants = [at(9, 3), at(6, 2), at(6, 1), at(7, 31), at(9, 3)]
    found = open_periods(account_id=account.pk, instants=instants)
    assert {moment: period.starts_at.month for moment, period in found.items()} == {
        at(9, 3): 9,
        at(6, 2): 6,
        at(6, 1): 6,
        at(7, 31): 7,
    }
    assert open_periods(account_id=account.pk, instants=[]) == {}


def test_there_is_nothing_before_the_first_period_and_after_the_end() -> None:
    account = make_account()
    with pytest.raises(BeforeFirstPeriod):
        open_period(account_id=account.pk, at=at(5, 31, 23))
    end_account(account=account, at=at(6, 20), by=BY)
    assert open_period(account_id=account.pk, at=at(6, 19, 23)).starts_at == at(6, 1)
    with pytest.raises(AccountEnded):
        open_period(account_id=account.pk, at=at(6, 20))
    with pytest.raises(AccountEnded):
        open_periods(account_id=account.pk, instants=[at(6, 2), at(6, 20)])


def test_the_next_period_can_be_read_before_it_exists() -> None:
    account = make_account(started_on=date(2026, 1, 31))
    period = open_period(account_id=account.pk, at=at(2, 1))
    assert next_period_of(period) == (at(2, 28), at(3, 31))
    assert Period.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_everybody_who_opens_at_once_gets_the_same_rows() -> None:
    account = make_account()

    def open_it(month: int) -> datetime:
        try:
            return open_period(account_id=account.pk, at=at(month, 15)).starts_at
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        starts = list(pool.map(open_it, [12, 11, 12, 10, 12, 9, 11, 12]))
    assert [start.month for start in starts] == [12, 11, 12, 10, 12, 9, 11, 12]
    rows = list(Period.objects.order_by("starts_at").values_list("starts_at", "ends_at"))
    assert len(rows) == 7
    assert all(end == rows[index + 1][0] for index, (_, end) in enumerate(rows[:-1]))


def test_the_accounts_lock_needs_a_transaction(transactional_db: None) -> None:
    with pytest.raises(RuntimeError):
        lock_shared(1)
    with transaction.atomic():
        lock_shared(1)
        lock_account(1)


def test_what_is_received_lies_after_the_last_cut_and_a_cut_after_all_that_was_received() -> None:
    account = make_account()
    now = at(6, 15)
    assert received_at(account.pk, lambda: now) == now
    assert cut_at(account.pk, lambda: now) == now
    Account.objects.update(last_cut_at=at(6, 16))
    assert received_at(account.pk, lambda: now) == at(6, 16) + timedelta(microseconds=1)


@pytest.mark.parametrize("metric", ["ai_resolutions", "seats"])
def test_a_cut_never_lies_before_usage_that_a_faster_clock_received(metric: str) -> None:
    from tests.factories import use

    account = make_account()
    use(metric, 3, at=at(6, 10), received_at=at(6, 20))
    assert cut_at(account.pk, lambda: at(6, 15)) == at(6, 20)
