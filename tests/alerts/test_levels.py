"""The levels of an alert, and which of them are told."""

import os
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.levels import levels_of, newly_reached

EXAMPLES = settings(max_examples=int(os.environ.get("HEADROOM_EXAMPLES", "200")), deadline=None)
quantities = st.decimals(min_value=0, max_value=10**12, places=6)


def reached(baseline: int, now: int) -> list[Decimal]:
    return newly_reached(baseline=Decimal(baseline), now=Decimal(now), levels=[Decimal(100), Decimal(50), Decimal(80)])


def test_levels_of_an_alert_are_exact_also_between_whole_units() -> None:
    assert levels_of(Decimal(5), True) == [(50, Decimal("2.5")), (80, Decimal(4)), (100, Decimal(5))]
    assert levels_of(Decimal(1), True) == [(50, Decimal("0.5")), (80, Decimal("0.8")), (100, Decimal(1))]
    assert levels_of(Decimal(700), False) == [(100, Decimal(700))]


@pytest.mark.parametrize("threshold", [Decimal(0), Decimal(-1), Decimal("NaN")])
def test_a_threshold_is_positive(threshold: Decimal) -> None:
    with pytest.raises(ValueError, match="must be"):
        levels_of(threshold, True)


def test_a_level_is_reached_when_usage_equals_it() -> None:
    assert reached(0, 49) == []
    assert reached(0, 50) == [50]
    assert reached(0, 100) == [50, 80, 100]


def test_levels_passed_before_the_threshold_came_into_force_are_never_told() -> None:
    assert reached(50, 80) == [80]
    assert reached(100, 1000) == []


def test_equal_levels_are_one_level() -> None:
    assert newly_reached(baseline=Decimal(0), now=Decimal(9), levels=[Decimal(5), Decimal("5.0"), Decimal(3)]) == [3, 5]


@EXAMPLES
@given(
    readings=st.lists(quantities, min_size=1, max_size=8), baseline=quantities, levels=st.lists(quantities, max_size=6)
)
def test_however_the_readings_fall_each_level_above_the_baseline_is_told_once_the_highest_reading_reached_it(
    readings: list[Decimal], baseline: Decimal, levels: list[Decimal]
) -> None:
    told: list[Decimal] = []
    for now in readings:
        told += [level for level in newly_reached(baseline=baseline, now=now, levels=levels) if level not in told]
    assert sorted(told) == sorted({level for level in levels if baseline < level <= max(readings)})
