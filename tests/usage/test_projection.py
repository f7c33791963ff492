"""The estimate of spec 2.11."""

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage.periods import Period
from usage.projection import days_in, elapsed_days, project

EXAMPLES = settings(max_examples=int(os.environ.get("HEADROOM_EXAMPLES", "200")), deadline=None)
JUNE = Period(datetime(2024, 6, 1, tzinfo=UTC), datetime(2024, 7, 1, tzinfo=UTC))


def test_ten_days_of_thirty_project_three_times_the_usage():
    assert project(quantity=Decimal(120), days_used=Decimal(10), days_in_period=Decimal(30)) == Decimal(360)
    assert project(quantity=Decimal(7), days_used=Decimal(3), days_in_period=Decimal(31)) == Decimal(7) * 31 / 3


def test_before_the_first_24_hours_it_is_too_early():
    below = elapsed_days(JUNE, at=JUNE.starts_at + timedelta(hours=24) - timedelta(microseconds=1))
    exactly = elapsed_days(JUNE, at=JUNE.starts_at + timedelta(hours=24))
    assert project(quantity=Decimal(5), days_used=below, days_in_period=days_in(JUNE)) is None
    assert project(quantity=Decimal(5), days_used=exactly, days_in_period=days_in(JUNE)) == 150


def test_a_period_read_after_its_end_projects_what_was_used():
    used = elapsed_days(JUNE, at=JUNE.ends_at + timedelta(days=9))
    assert project(quantity=Decimal(77), days_used=used, days_in_period=days_in(JUNE)) == 77
    assert elapsed_days(JUNE, at=JUNE.starts_at - timedelta(days=1)) == 0


def test_days_are_elapsed_time_not_calendar_days():
    zone = ZoneInfo("Europe/Berlin")
    march = Period(datetime(2024, 3, 1, tzinfo=zone), datetime(2024, 4, 1, tzinfo=zone))
    assert days_in(march) == Decimal(31 * 24 - 1) / 24


@EXAMPLES
@given(
    quantity=st.decimals(min_value=0, max_value=10**15, places=6),
    used=st.decimals(min_value=1, max_value=366, places=6),
    whole=st.decimals(min_value=1, max_value=366, places=6),
)
def test_it_is_the_formula_correct_to_28_digits_and_never_below_the_usage(quantity, used, whole):
    found = project(quantity=quantity, days_used=used, days_in_period=whole)
    exact = Fraction(quantity) * Fraction(whole) / Fraction(used)
    assert abs(Fraction(found) - exact) * 10**27 <= exact
    if used <= whole:
        assert found >= quantity


@pytest.mark.parametrize("days", [Decimal(0), Decimal(-1), Decimal("NaN"), Decimal("Infinity")])
def test_a_period_without_days_is_refused(days):
    with pytest.raises(ValueError, match="days_in_period must be"):
        project(quantity=Decimal(1), days_used=Decimal(1), days_in_period=days)
