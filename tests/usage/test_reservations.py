"""Setting a quantity aside before it is used (spec 4.8)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.factories import NOON, make_account, workspace
from tests.usage.test_consume import JULY, JUNE, at_once, broken, limit, take, total
from usage.errors import Conflict, InvalidInput, NotFound
from usage.models import Account, Reservation, UsageDay, UsageEvent
from usage.services.consume import ReservationGrant, Settlement, release, reserve, settle

pytestmark = pytest.mark.django_db


def keep(
    reservation_id: str = "r-1",
    quantity: str = "1",
    *,
    seconds: int = 300,
    metric_key: str = "ai_resolutions",
    workspace_key: str = "atlas",
    at: datetime = NOON,
) -> ReservationGrant:
    place = workspace(workspace_key)
    return reserve(
        account_id=place.account_id,
        workspace_id=place.pk,
        metric_key=metric_key,
        quantity=Decimal(quantity),
        reservation_id=reservation_id,
        expires_in=timedelta(seconds=seconds),
        clock=lambda: at,
    )


def finish(
    reservation_id: str = "r-1", quantity: str = "1", *, workspace_key: str = "atlas", at: datetime = NOON
) -> Settlement:
    place = workspace(workspace_key)
    return settle(
        account_id=place.account_id,
        workspace_id=place.pk,
        reservation_id=reservation_id,
        quantity=Decimal(quantity),
        clock=lambda: at,
    )


def give_back(reservation_id: str = "r-1", *, at: datetime = NOON) -> Settlement:
    place = workspace()
    return release(account_id=place.account_id, workspace_id=place.pk, reservation_id=reservation_id, clock=lambda: at)


@pytest.fixture(autouse=True)
def account(request: pytest.FixtureRequest) -> Account | None:
    return None if "transactional_db" in request.fixturenames else make_account(workspaces=["atlas", "birch"])


def test_what_is_reserved_is_not_used_but_nobody_else_can_have_it() -> None:
    limit(3)
    granted = keep(quantity="2")
    assert granted == ReservationGrant(
        True, Decimal(1), Decimal(3), JULY, "granted", "r-1", NOON + timedelta(seconds=300)
    )
    assert (total().quantity, total().reserved) == (0, 2)
    assert not UsageEvent.objects.exists()
    assert not take("c", "2").allowed
    assert take("c", "1").allowed
    refused = keep("r-2")
    assert refused == ReservationGrant(False, Decimal(0), Decimal(3), JULY, "limit_reached", "r-2", None)
    assert broken() == []


def test_settling_counts_what_was_used_and_gives_the_rest_back() -> None:
    limit(5)
    keep(quantity="4")
    assert finish(quantity="1.5") == Settlement("r-1", Decimal("1.5"), Decimal("3.5"))
    assert (total().quantity, total().reserved) == (Decimal("1.5"), 0)
    assert UsageEvent.objects.get().source == "headroom:reservation"
    assert broken() == []


def test_releasing_and_settling_nothing_are_the_same_act() -> None:
    limit(5)
    keep("a", "4")
    assert give_back("a") == finish("a", "0") == Settlement("a", Decimal(0), Decimal(5))
    keep("b", "4")
    assert finish("b", "0") == give_back("b") == Settlement("b", Decimal(0), Decimal(5))
    assert not UsageEvent.objects.exists()
    assert {row.state for row in Reservation.objects.all()} == {"released"}
    assert broken() == []


def test_the_same_act_again_gets_the_same_answer_and_another_one_is_refused() -> None:
    keep()
    first = finish(quantity="2")
    assert finish(quantity="2") == first
    for act in (lambda: finish(quantity="3"), give_back):
        with pytest.raises(Conflict):
            act()
    assert total().quantity == 2
    keep("b")
    give_back("b")
    with pytest.raises(Conflict):
        finish("b", "1")
    assert broken() == []


def test_settling_more_than_was_reserved_is_recorded_beyond_the_limit() -> None:
    limit(2)
    keep(quantity="2")
    assert finish(quantity="7") == Settlement("r-1", Decimal(7), Decimal(0))
    assert total().quantity == 7


def test_an_expired_reservation_is_given_back_by_the_next_refusal_and_what_was_refused_is_tried_again() -> None:
    limit(3)
    keep("old", "2", seconds=60)
    keep("young", "1", seconds=600)
    assert not take("early", "2", at=NOON + timedelta(seconds=59)).allowed
    granted = take("late", "2", at=NOON + timedelta(seconds=60))
    assert (granted.allowed, granted.remaining, granted.reason) == (True, 0, "granted")
    assert Reservation.objects.get(reservation_id="old").state == "expired"
    assert Reservation.objects.get(reservation_id="young").state == "open"
    assert broken() == []


def test_expired_reservations_are_given_back_even_when_the_refusal_stands() -> None:
    limit(3)
    keep("old", "2", seconds=60)
    refused = take("too much", "4", at=NOON + timedelta(seconds=61))
    assert (refused.allowed, refused.remaining) == (False, 3)
    assert total().reserved == 0


def test_settling_after_the_expiry_is_recorded() -> None:
    limit(2)
    keep(quantity="2", seconds=1)
    assert take("other", "2", at=NOON + timedelta(seconds=2)).allowed
    assert finish(quantity="2", at=NOON + timedelta(seconds=3)) == Settlement("r-1", Decimal(2), Decimal(0))
    assert (total().quantity, total().reserved) == (4, 0)
    assert broken() == []


def test_releasing_after_the_expiry_gives_nothing_back_twice() -> None:
    limit(2)
    keep(quantity="2", seconds=1)
    take("other", "2", at=NOON + timedelta(seconds=2))
    give_back(at=NOON + timedelta(seconds=3))
    assert (total().quantity, total().reserved) == (2, 0)
    with pytest.raises(Conflict):
        finish(at=NOON + timedelta(seconds=4))


def test_a_reservation_belongs_to_its_period_and_is_settled_there() -> None:
    limit(2)
    keep(quantity="2", seconds=86_400, at=datetime(2026, 6, 30, 23, 59, tzinfo=UTC))
    assert take("july", "2", at=JULY).allowed
    finish(quantity="2", at=JULY)
    assert (total().quantity, total().quantity_in_time) == (2, 0)
    assert total(period=JULY).quantity == 2
    row = UsageEvent.objects.get(source="headroom:reservation")
    assert (row.period, row.day.isoformat(), row.received_at) == (JUNE, "2026-06-30", JULY)
    assert broken() == []


def test_the_same_reservation_again_is_counted_once_and_other_content_is_a_conflict() -> None:
    limit(5)
    first = keep(quantity="2")
    again = keep(quantity="2", at=NOON + timedelta(seconds=10))
    assert (again.allowed, again.reason, again.expires_at) == (True, "duplicate", first.expires_at)
    assert total().reserved == 2
    for other in ({"quantity": "3"}, {"metric_key": "sms"}, {"workspace_key": "birch"}):
        with pytest.raises(Conflict):
            keep(**{"quantity": "2"} | other)


def test_reservations_and_consumes_have_identities_of_their_own() -> None:
    assert take("same").reason == "no_limit"
    assert keep("same").reason == "no_limit"
    finish("same", "2")
    assert total().quantity == 3


def test_unknown_and_foreign_reservations_do_not_exist() -> None:
    keep()
    for act in (lambda: finish("nothing"), lambda: finish(workspace_key="birch"), lambda: give_back("nothing")):
        with pytest.raises(NotFound):
            act()


def test_quantities_are_in_display_units() -> None:
    limit(600, metric_key="phone")
    assert keep(quantity="2", metric_key="phone").remaining == 8
    assert finish(quantity="1.5") == Settlement("r-1", Decimal("1.5"), Decimal("8.5"))
    with pytest.raises(InvalidInput):
        keep("tiny", "0.000001", metric_key="phone")
    keep("b", metric_key="phone")
    with pytest.raises(InvalidInput):
        finish("b", "0.000001")


def test_a_settled_reservation_counts_on_the_day_it_was_made() -> None:
    keep(seconds=86_400)
    finish(at=NOON + timedelta(days=1))
    assert UsageDay.objects.get().day == NOON.date()


@pytest.mark.django_db(transaction=True)
def test_settling_and_expiring_at_once_never_gives_a_quantity_back_twice(transactional_db: None) -> None:
    make_account()
    limit(4)
    for number in range(4):
        keep(f"r-{number}", seconds=1)
    late = NOON + timedelta(seconds=5)
    calls: list[Any] = [lambda n=n: finish(f"r-{n}", "1", at=late) for n in range(4)]
    calls += [lambda n=n: take(f"c-{n}", "1", at=late) for n in range(6)]
    at_once(calls)
    assert total().reserved == 0
    assert broken() == []
