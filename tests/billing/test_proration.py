"""Parts of a period: they add up, to the cent."""

import os
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.money import round_money
from billing.proration import seat_charge, split
from usage.currencies import decimals

EXAMPLES = settings(max_examples=int(os.environ.get("HEADROOM_EXAMPLES", "200")), deadline=None)
currencies = st.sampled_from(["JPY", "USD", "KWD", "CLF"])
segments = st.lists(
    st.tuples(st.decimals(min_value=0, max_value=10**6, places=4), st.integers(0, 92)), min_size=1, max_size=12
).filter(lambda parts: sum(days for _, days in parts) > 0)


def test_an_upgrade_on_day_16_of_30_is_half_of_each_plan():
    assert split(segments=[(Decimal(49), 15), (Decimal(199), 15)], currency="USD") == (
        Decimal("24.50"),
        Decimal("99.50"),
    )


def test_a_whole_period_costs_its_price():
    assert split(segments=[(Decimal("49.00"), 31)], currency="USD") == (Decimal("49.00"),)


def test_three_thirds_are_a_whole():
    thirds = split(segments=[(Decimal(100), 10)] * 3, currency="USD")
    assert thirds == (Decimal("33.33"), Decimal("33.34"), Decimal("33.33"))
    assert sum(thirds) == 100


def test_parts_have_the_currencys_decimals():
    assert [str(part) for part in split(segments=[(Decimal(100), 1), (Decimal(50), 1)], currency="JPY")] == ["50", "25"]
    assert [str(part) for part in split(segments=[(Decimal(1), 1), (Decimal(1), 2)], currency="KWD")] == [
        "0.333",
        "0.667",
    ]


@EXAMPLES
@given(parts=segments, currency=currencies)
def test_parts_add_up_to_the_rounded_exact_sum_and_each_is_within_a_minor_unit_of_its_share(parts, currency):
    total = sum(days for _, days in parts)
    shares = [Fraction(price) * days / total for price, days in parts]

    found = split(segments=parts, currency=currency)

    assert sum(found) == round_money(sum(shares), currency)
    unit = Fraction(1, 10 ** decimals(currency))
    for part, share, (_, days) in zip(found, shares, parts, strict=True):
        assert abs(Fraction(part) - share) <= unit
        assert part >= 0
        assert days or part == 0
    for end in range(1, len(parts) + 1):
        assert sum(found[:end]) == round_money(sum(shares[:end]), currency)


@EXAMPLES
@given(parts=segments, currency=currencies, at=st.integers(0, 12))
def test_a_segment_without_days_changes_nothing(parts, currency, at):
    at = min(at, len(parts))
    with_gap = [*parts[:at], (Decimal(999), 0), *parts[at:]]
    found = split(segments=with_gap, currency=currency)
    assert found[at] == 0
    assert (*found[:at], *found[at + 1 :]) == split(segments=parts, currency=currency)


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([], "have no days"),
        ([(Decimal(1), 0)], "have no days"),
        ([(Decimal(1), 31), (Decimal(1), -1)], "must not be negative"),
        ([(Decimal(1), True)], "days must be"),
        ([(Decimal(1), 1.5)], "days must be"),
        ([(Decimal("NaN"), 1)], "price must be finite"),
    ],
)
def test_impossible_segments_are_refused(parts, reason):
    with pytest.raises(ValueError, match=reason):
        split(segments=parts, currency="USD")


def test_seats_cost_their_share_of_each_day():
    days = [Decimal(4)] * 10 + [Decimal(6)] * 20
    assert round_money(seat_charge(days=days, price=Decimal(25), days_in_period=30), "USD") == Decimal("133.33")
    assert seat_charge(days=days, price=Decimal(24), days_in_period=30) == 128


def test_seats_held_all_the_time_cost_their_price_whatever_the_month():
    for length in (28, 29, 30, 31):
        assert seat_charge(days=[Decimal(3)] * length, price=Decimal(25), days_in_period=length) == 75


@EXAMPLES
@given(
    days=st.lists(st.decimals(min_value=0, max_value=10_000, places=2), max_size=31),
    price=st.decimals(min_value=0, max_value=1000, places=4),
    extra=st.integers(0, 60),
    currency=currencies,
)
def test_the_seat_charge_rounds_like_the_exact_sum(days, price, extra, currency):
    length = len(days) + extra or 1
    exact = sum((Fraction(seats) / length * Fraction(price) for seats in days), start=Fraction(0))
    assert round_money(seat_charge(days=days, price=price, days_in_period=length), currency) == round_money(
        exact, currency
    )


@pytest.mark.parametrize(("days", "length"), [([], 0), ([Decimal(1)] * 3, 2), ([], -1)])
def test_more_days_than_the_period_has_are_refused(days, length):
    with pytest.raises(ValueError, match="days_in_period is"):
        seat_charge(days=days, price=Decimal(1), days_in_period=length)
