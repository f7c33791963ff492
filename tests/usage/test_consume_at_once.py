"""The ordinary grant is one statement: nothing it saw before it held the account's lock may decide (spec 4.8)."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, connections, transaction

from tests.factories import NOON, make_account, make_key
from tests.processes import until
from tests.usage.test_consume import broken, limit, take, total
from tests.usage.test_consume_race import CLIENTS, Racers
from usage.models import Account, ApiKey, UsageEvent
from usage.services.api_keys import Admission, admission
from usage.services.consume import Grant
from usage.services.consume_at_once import consume_at_once
from usage.services.locks import lock_account

pytestmark = pytest.mark.django_db(transaction=True)

Change = Callable[[], object]

ROUNDS = 10
_WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.fixture
def account() -> Account:
    """An account whose total exists and is far from any level, so that every grant is ordinary."""
    account = make_account()
    limit(10**6)
    take("first")
    return account


@pytest.fixture
def asked(account: Account) -> Admission:
    plain = make_key(account, now=NOON)
    ApiKey.objects.update(last_used_on=NOON.date())
    return admission(f"Bearer {plain}", "atlas", "decide", "ingest", now=NOON)


@pytest.fixture
def at_once(asked: Admission) -> Callable[[str], Grant | None]:
    def ask(consume_id: str) -> Grant | None:
        return consume_at_once(admission=asked, metric_key="ai_resolutions", quantity=Decimal(1), consume_id=consume_id)

    return ask


@pytest.fixture
def other() -> Iterator[ThreadPoolExecutor]:
    """Somebody else, with a database connection of their own."""
    with ThreadPoolExecutor(1) as pool:
        yield pool
        pool.submit(connections.close_all).result()


@pytest.fixture
def answer_after(
    account: Account, at_once: Callable[[str], Grant | None], other: ThreadPoolExecutor
) -> Callable[[Change], Grant | None]:
    """What somebody is answered who waits for the account's lock while something changes under it."""

    def ask(change: Change) -> Grant | None:
        with transaction.atomic():
            lock_account(account.pk)
            answer = other.submit(at_once, "late")
            assert until(_is_waited_for)
            change()
        return answer.result()

    return ask


def _is_waited_for() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_WAITING)
        return cursor.fetchone() == (1,)


def test_two_hundred_clients_race_for_the_last_unit_and_each_id_counts_once(
    at_once: Callable[[str], Grant | None],
) -> None:
    def ask(index: int, number: int) -> str:
        # Every id is asked for twice.
        grant = at_once(f"{number}-{index // 2}") or take(f"{number}-{index // 2}")
        return grant.reason

    racers = Racers()
    numbers = itertools.count(1)
    try:
        for number in itertools.islice(numbers, ROUNDS):
            limit(number + 1)
            said = Counter(racers.race(lambda index, number=number: ask(index, number)))
            assert said["granted"] == 1
            assert said["granted"] + said["duplicate"] + said["limit_reached"] == CLIENTS
            assert total().quantity == number + 1
    finally:
        racers.stop()
    assert broken() == []


def test_what_waited_for_a_closing_counts_after_its_cut(answer_after: Callable[[Change], Grant | None]) -> None:
    cut = NOON + timedelta(minutes=5)
    grant = answer_after(lambda: Account.objects.update(last_cut_at=cut))
    assert grant is not None
    assert grant.allowed
    assert UsageEvent.objects.get(event_id="late").received_at == cut + timedelta(microseconds=1)
    assert broken() == []


def test_what_waited_for_the_accounts_end_is_not_granted(answer_after: Callable[[Change], Grant | None]) -> None:
    assert answer_after(lambda: Account.objects.update(ended_at=NOON)) is None
    assert not UsageEvent.objects.filter(event_id="late").exists()


def test_what_waited_for_a_lower_limit_keeps_it(answer_after: Callable[[Change], Grant | None]) -> None:
    grant = answer_after(lambda: limit(1))
    assert grant is not None
    assert grant.reason == "limit_reached"
    assert total().quantity == 1
