"""Levels: reached, told once, next."""

import os
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.levels import levels_of, newly_reached, next_level, plan_levels_of, pool_wake_level

EXAMPLES = settings(max_examples=int(os.environ.get("HEADROOM_EXAMPLES", "200")), deadline=None)
quantities = st.decimals(min_value=0, max_value=10**12, places=6)
LEVELS = [Decimal(100), Decimal(50), Decimal(80)]


def reached(baseline: int, now: int) -> list[Decimal]:
    return newly_reached(baseline=Decimal(baseline), now=Decimal(now), levels=LEVELS)


def test_a_level_is_reached_when_usage_equals_it():
    assert reached(0, 49) == []
    assert reached(0, 50) == [50]
    assert reached(0, 100) == [50, 80, 100]


def test_levels_passed_before_the_threshold_came_into_force_are_never_told():
    assert reached(50, 80) == [80]
    assert reached(100, 1000) == []


def test_equal_levels_are_one_level():
    assert newly_reached(baseline=Decimal(0), now=Decimal(9), levels=[Decimal(5), Decimal("5.0"), Decimal(3)]) == [3, 5]


def test_levels_of_an_alert_are_exact_also_between_whole_units():
    assert levels_of(Decimal(5), True) == [(50, Decimal("2.5")), (80, Decimal(4)), (100, Decimal(5))]
    assert levels_of(Decimal(1), True) == [(50, Decimal("0.5")), (80, Decimal("0.8")), (100, Decimal(1))]
    assert levels_of(Decimal(700), False) == [(100, Decimal(700))]


@pytest.mark.parametrize("threshold", [Decimal(0), Decimal(-1), Decimal("NaN")])
def test_a_threshold_is_positive(threshold):
    with pytest.raises(ValueError, match="must be"):
        levels_of(threshold, True)


def test_a_plan_has_levels_only_where_something_is_included():
    assert plan_levels_of(Decimal(250)) == [(80, 200), (90, 225), (100, 250)]
    assert plan_levels_of(Decimal(0)) == plan_levels_of(None) == []


@EXAMPLES
@given(
    readings=st.lists(quantities, min_size=1, max_size=8), baseline=quantities, levels=st.lists(quantities, max_size=6)
)
def test_however_the_readings_fall_each_level_above_the_baseline_is_told_once_the_highest_reading_reached_it(
    readings, baseline, levels
):
    told: list[Decimal] = []
    for now in readings:
        told += [level for level in newly_reached(baseline=baseline, now=now, levels=levels) if level not in told]
    assert sorted(told) == sorted({level for level in levels if baseline < level <= max(readings)})


@EXAMPLES
@given(now=quantities, later=quantities, baseline=quantities, levels=st.lists(quantities, max_size=6))
def test_nobody_needs_to_be_told_before_the_next_level(now, later, baseline, levels):
    due = set(newly_reached(baseline=baseline, now=now, levels=levels))
    upcoming = next_level(baseline=baseline, now=now, levels=levels)
    if upcoming is None or now <= later < upcoming:
        assert set(newly_reached(baseline=baseline, now=max(now, later), levels=levels)) == due
    else:
        assert upcoming > now
        assert upcoming in newly_reached(baseline=baseline, now=upcoming, levels=levels)


def test_usage_that_fell_below_its_baseline_does_not_wake_for_levels_up_to_it():
    assert next_level(baseline=Decimal(80), now=Decimal(40), levels=LEVELS) == 100
    assert next_level(baseline=Decimal(0), now=Decimal(100), levels=LEVELS) is None


def test_a_workspace_wakes_after_its_share_of_what_the_pool_has_left():
    wake = pool_wake_level(own=Decimal(10), pool=Decimal(70), level=Decimal(100), workspaces=3)
    assert wake == 20
    assert pool_wake_level(own=Decimal(0), pool=Decimal(0), level=Decimal(1), workspaces=3) == Decimal("0.333333")
    assert pool_wake_level(own=Decimal(10), pool=Decimal(120), level=Decimal(100), workspaces=3) == 10
    with pytest.raises(ValueError, match="workspaces must be at least 1"):
        pool_wake_level(own=Decimal(0), pool=Decimal(0), level=Decimal(1), workspaces=0)


@EXAMPLES
@given(
    owns=st.lists(st.decimals(min_value=0, max_value=10**6, places=6), min_size=1, max_size=6),
    growth=st.lists(st.decimals(min_value=0, max_value=10**6, places=6), min_size=6, max_size=6),
    level=st.decimals(min_value=0, max_value=10**7, places=6),
)
def test_the_pool_never_crosses_a_level_while_every_workspace_sleeps(owns, growth, level):
    pool = sum(owns)
    wakes = [pool_wake_level(own=own, pool=pool, level=level, workspaces=len(owns)) for own in owns]
    later = [own + more for own, more in zip(owns, growth, strict=False)]
    if sum(map(Fraction, later)) >= Fraction(level):
        assert any(own >= wake for own, wake in zip(later, wakes, strict=True))
