"""Limits as dated rows and on the totals that check them (spec 4.2, Data 3)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.factories import make_account, metric, use, workspace
from tests.usage.test_consume import JULY, JUNE, broken, limit, take, total
from usage.models import UsageLimit, UsageTotal
from usage.services.limits import limit_in_force

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("account")]

AUGUST = datetime(2026, 8, 1, tzinfo=UTC)
IN_JULY = datetime(2026, 7, 3, tzinfo=UTC)


@pytest.fixture
def account() -> None:
    make_account(workspaces=["atlas", "birch"])


def in_force(period: datetime) -> Decimal | None:
    row = limit_in_force(workspace=workspace(), metric=metric(), period=period)
    return row.quantity if row else None


def test_a_row_holds_until_the_next_one() -> None:
    limit(5)
    limit(9, from_period=AUGUST)
    assert [in_force(period) for period in (JUNE, JULY, AUGUST)] == [5, 5, 9]


def test_the_last_edit_wins_over_later_rows() -> None:
    limit(9, from_period=AUGUST)
    limit(7, from_period=JULY)
    limit(6, from_period=JULY)
    assert [in_force(period) for period in (JUNE, JULY, AUGUST)] == [None, 6, 6]
    assert UsageLimit.objects.count() == 1


def test_off_is_a_row_too() -> None:
    limit(5)
    limit(None, from_period=JULY)
    assert [in_force(period) for period in (JUNE, JULY)] == [5, None]


def test_totals_that_stand_check_the_new_limit_and_wait_for_evaluation() -> None:
    use(quantity=3)
    use(quantity=3, at=IN_JULY)
    use(quantity=3, at=IN_JULY, workspace_key="birch")
    UsageTotal.objects.update(next_level=100, evaluated_seq=1)
    limit(2, from_period=JULY)
    assert (total().hard_limit, total().next_level, total().seq) == (None, 100, 1)
    assert (total(period=JULY).hard_limit, total(period=JULY).next_level, total(period=JULY).seq) == (2, 0, 2)
    assert UsageTotal.objects.get(workspace__key="birch").hard_limit is None
    assert not take(at=IN_JULY).allowed
    limit(None, from_period=JULY)
    assert take(at=IN_JULY).allowed
    assert broken() == []


def test_a_total_made_by_ingest_copies_the_limit_in_force() -> None:
    limit(5)
    limit(9, from_period=JULY)
    use(quantity=7)
    use(quantity=7, at=IN_JULY)
    assert (total().hard_limit, total(period=JULY).hard_limit) == (5, 9)
    assert not take().allowed
    assert take(at=IN_JULY).remaining == 1
    assert broken() == []
