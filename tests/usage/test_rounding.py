"""Quantities: what is let in, how it is stored and shown, how calls are rounded."""

import json
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage.rounding import (
    Increment,
    duration_seconds,
    format_quantity,
    parse_quantity,
    parse_whole_number,
    plain_quantity,
    shown_quantity,
    stored_quantity,
)

EXAMPLES = settings(max_examples=int(os.environ.get("HEADROOM_EXAMPLES", "200")), deadline=None)
quantities = st.decimals(min_value=0, max_value=10**12, places=6)
NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)


def half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))


# --- what is let in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1, "1"),
        (10**12, "1000000000000"),
        ("0.000001", "0.000001"),
        ("12.50", "12.5"),
        ("1.0000000", "1"),
        ("1e3", "1000"),
        ("5E-1", "0.5"),
        (Decimal("1E+3"), "1000"),
        (Decimal("999999999999.123456"), "999999999999.123456"),
    ],
)
def test_a_number_and_a_decimal_string_are_read_exactly(value, read):
    assert str(parse_quantity(value)) == read


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (0, "greater than 0"),
        ("-0", "greater than 0"),
        (-1, "greater than 0"),
        (10**12 + 1, "at most 1000000000000"),
        ("1000000000000.000001", "at most 1000000000000"),
        (1 << 200, "at most 1000000000000"),
        (-(1 << 200), "greater than 0"),
        ("1e999", "at most 1000000000000"),
        (Decimal("1e999999"), "at most 1000000000000"),
        ("0.0000001", "at most 6 decimals"),
        ("1.0000001", "at most 6 decimals"),
        (Decimal("1e-999999"), "at most 6 decimals"),
        (Decimal("NaN"), "finite"),
        (Decimal("sNaN"), "finite"),
        (Decimal("Infinity"), "finite"),
        (True, "a number or a decimal string"),
        (False, "a number or a decimal string"),
        (None, "a number or a decimal string"),
        (1.5, "a number or a decimal string"),
        ([1], "a number or a decimal string"),
        ({}, "a number or a decimal string"),
        *(
            (text, "decimal number")
            for text in (
                "",
                " 1",
                "1\n",
                "+1",
                ".5",
                "5.",
                "007",
                "1_000",
                "1,000",
                "0x10",
                "٣",
                "１",
                "NaN",
                "inf",
                "1e",
                "1e9999",
                "1" * 65,
                "1\x00",
            )
        ),
    ],
)
def test_what_is_no_quantity_is_refused_with_a_reason(value, reason):
    with pytest.raises(ValueError, match=reason):
        parse_quantity(value)


def test_a_level_may_be_zero():
    assert parse_quantity("0.0", zero_allowed=True) == 0
    assert str(parse_quantity("-0", zero_allowed=True)) == "0"
    with pytest.raises(ValueError, match="at least 0"):
        parse_quantity(-1, zero_allowed=True)


@EXAMPLES
@given(quantity=quantities.filter(bool))
def test_a_number_survives_json_as_number_and_as_string(quantity):
    assert parse_quantity(json.loads(f"{quantity:f}", parse_float=Decimal)) == quantity
    assert parse_quantity(str(quantity) if "E" not in str(quantity) else f"{quantity:f}") == quantity
    assert parse_quantity(plain_quantity(quantity)) == quantity


@EXAMPLES
@given(value=st.one_of(st.text(max_size=80), st.decimals(), st.integers(), st.floats(), st.none(), st.booleans()))
def test_whatever_comes_is_a_quantity_or_a_value_error(value):
    try:
        quantity = parse_quantity(value)
    except ValueError:
        return
    assert 0 < quantity <= 10**12
    assert quantity == round(quantity, 6)


def test_limits_and_thresholds_are_whole():
    assert parse_whole_number(0, at_least=0) == 0
    assert parse_whole_number("40.0", at_least=1) == 40
    with pytest.raises(ValueError, match="must be a whole number"):
        parse_whole_number("40.5", at_least=0)
    for too_low in (0, -1, "-0.5"):
        with pytest.raises(ValueError, match="must be at least 1"):
            parse_whole_number(too_low, at_least=1)


# --- stored and shown -------------------------------------------------------------------------------------------------


def test_minutes_are_stored_as_whole_seconds_and_shown_with_six_decimals():
    assert stored_quantity(Decimal("2.51"), unit_size=60, step=Increment().step) == 151
    assert shown_quantity(Decimal(151), unit_size=60) == Decimal("2.516667")
    assert shown_quantity(Decimal(7200), unit_size=60) == 120


def test_typed_in_minutes_follow_the_metrics_increment():
    assert stored_quantity(Decimal("1.5"), unit_size=60, step=Increment.parse("60/60").step) == 120
    assert stored_quantity(Decimal("0.35"), unit_size=60, step=Increment.parse("30/6").step) == 24


@EXAMPLES
@given(
    quantity=st.decimals(min_value=-(10**12), max_value=10**12, places=6),
    size=st.integers(1, 86_400),
    step=st.sampled_from([Decimal(1), Decimal(6), Decimal(60), Decimal("0.000001")]),
)
def test_storing_rounds_half_up_to_the_step_and_showing_to_six_decimals(quantity, size, step):
    stored = stored_quantity(quantity, unit_size=size, step=step)
    wanted = Fraction(quantity) * size / Fraction(step)
    sign = -1 if wanted < 0 else 1
    assert Fraction(stored) == sign * half_up(abs(wanted)) * Fraction(step)

    shown = shown_quantity(stored, unit_size=size)
    wanted = Fraction(stored) / size * 10**6
    assert Fraction(shown) == Fraction(sign * half_up(abs(wanted)), 10**6)


@EXAMPLES
@given(quantity=quantities, size=st.integers(1, 10_000))
def test_what_is_stored_to_the_smallest_step_is_shown_as_it_came(quantity, size):
    assert shown_quantity(stored_quantity(quantity, unit_size=size), unit_size=size) == quantity


@pytest.mark.parametrize("size", [0, -1, Decimal("NaN"), 1.5, True])
def test_an_impossible_unit_size_is_named(size):
    with pytest.raises(ValueError, match="unit_size must be"):
        stored_quantity(Decimal(1), unit_size=size)
    with pytest.raises(ValueError, match="unit_size must be"):
        shown_quantity(Decimal(1), unit_size=size)


@pytest.mark.parametrize(
    ("quantity", "plain", "people"),
    [
        ("1234.500000", "1234.5", "1,234.5"),
        ("0E-6", "0", "0"),
        ("-0.0", "0", "0"),
        ("1E+6", "1000000", "1,000,000"),
        ("-1200.25", "-1200.25", "-1,200.25"),
        ("100", "100", "100"),
    ],
)
def test_quantities_are_written_without_trailing_zeros(quantity, plain, people):
    assert plain_quantity(Decimal(quantity)) == plain
    assert format_quantity(Decimal(quantity)) == people
    assert format_quantity(Decimal(quantity), unit="minutes") == f"{people} minutes"


def test_sums_of_many_workspaces_are_written_in_full():
    assert plain_quantity(Decimal("1234567890123456789012345678901.5")) == "1234567890123456789012345678901.5"


# --- calls ------------------------------------------------------------------------------------------------------------


def seconds(length: timedelta, increment: Increment | None = None) -> Decimal:
    return duration_seconds(started_at=NOON, ended_at=NOON + length, increment=increment)


@pytest.mark.parametrize(
    ("length", "none", "per_second", "six", "thirty_six", "minute"),
    [
        (0, 0, 0, 0, 0, 0),
        (0.000001, 0, 1, 6, 30, 60),
        (0.499999, 0, 1, 6, 30, 60),
        (0.5, 1, 1, 6, 30, 60),
        (6, 6, 6, 6, 30, 60),
        (6.000001, 6, 7, 12, 30, 60),
        (30, 30, 30, 30, 30, 60),
        (30.1, 30, 31, 36, 36, 60),
        (36.5, 37, 37, 42, 42, 60),
        (60, 60, 60, 60, 60, 60),
        (61, 61, 61, 66, 66, 120),
    ],
)
def test_increments_round_up_and_no_increment_rounds_half_up(length, none, per_second, six, thirty_six, minute):
    rules = [None, *(Increment.parse(text) for text in ("1/1", "6/6", "30/6", "60/60"))]
    found = [seconds(timedelta(microseconds=round(length * 10**6)), rule) for rule in rules]
    assert found == [none, per_second, six, thirty_six, minute]


def test_a_minimum_holds_for_every_call_that_took_any_time():
    rule = Increment.parse("6/6", minimum=20)
    assert [seconds(timedelta(seconds=s), rule) for s in (0, 1, 18, 19, 25)] == [0, 20, 20, 24, 30]
    assert seconds(timedelta(seconds=1), Increment.parse("", minimum=10)) == 10


@EXAMPLES
@given(
    micro=st.integers(1, 10**12), first=st.integers(1, 600), following=st.integers(1, 600), minimum=st.integers(0, 900)
)
def test_a_call_is_billed_by_the_fewest_increments_that_cover_it(micro, first, following, minimum):
    billed = seconds(timedelta(microseconds=micro), Increment(first, following, minimum))
    exact = Fraction(micro, 10**6)
    steps = max(0, ceil((exact - first) / following))
    assert billed == max(minimum, first + steps * following)


def test_a_call_across_a_clock_change_lasts_as_long_as_it_lasted():
    zone = ZoneInfo("America/New_York")
    call = {
        "started_at": datetime(2024, 3, 10, 1, 59, tzinfo=zone),
        "ended_at": datetime(2024, 3, 10, 3, 1, tzinfo=zone),
    }
    assert duration_seconds(**call) == 120


def test_a_call_that_ends_before_it_starts_or_has_no_zone_is_refused():
    with pytest.raises(ValueError, match="ended_at must not be before started_at"):
        duration_seconds(started_at=NOON, ended_at=NOON - timedelta(microseconds=1))
    with pytest.raises(ValueError, match="started_at must carry a time zone"):
        duration_seconds(started_at=NOON.replace(tzinfo=None), ended_at=NOON)


@pytest.mark.parametrize("text", ["6", "0/6", "6/0", "6/6/6", " 6/6", "-6/6", "a/b", "٦/٦"])
def test_an_increment_that_cannot_be_counted_is_refused(text):
    with pytest.raises(ValueError, match="increment"):
        Increment.parse(text)


@pytest.mark.parametrize("rule", [(0, 6), (6, 0), (-1, 1), (1, 1, -1)])
def test_an_increment_has_both_parts_or_none(rule):
    with pytest.raises(ValueError, match="not a countable rule"):
        Increment(*rule)
