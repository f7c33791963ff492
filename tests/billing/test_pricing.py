"""Prices against an oracle that counts units one by one, and by example."""

import os
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.money import round_money
from billing.pricing import Rate, Tier, price

EXAMPLES = settings(max_examples=int(os.environ.get("HEADROOM_EXAMPLES", "200")), deadline=None)


def cost(quantity: str | int, **rate: object) -> Decimal:
    return price(quantity=Decimal(quantity), rate=Rate(**rate))


# --- by example -------------------------------------------------------------------------------------------------------


def test_starter_with_275_conversations_and_120_minutes_costs_18_50():
    conversations = Rate(model="per_unit", unit_price=Decimal("0.50"), included=Decimal(250))
    minutes = Rate(model="per_unit", unit_price=Decimal("0.30"), included=Decimal(100), unit_size=60)
    assert price(quantity=Decimal(275), rate=conversations) == Decimal("12.50")
    assert price(quantity=Decimal(120 * 60), rate=minutes) == Decimal("6.00")


@pytest.mark.parametrize("quantity", [0, 249, 250])
def test_what_is_included_costs_nothing(quantity):
    assert cost(quantity, model="per_unit", unit_price=Decimal("0.50"), included=250) == 0


def test_seconds_are_priced_by_the_minute_without_rounding_the_minutes():
    assert cost(90, model="per_unit", unit_price=Decimal("0.30"), unit_size=60) == Decimal("0.45")
    one_second = cost(1, model="per_unit", unit_price=Decimal("0.30"), unit_size=60)
    assert one_second == Decimal("0.005")
    assert round_money(one_second, "USD") == Decimal("0.01")


GRADUATED = (
    Tier(up_to=100, unit_price=Decimal("0.10"), flat_fee=Decimal(1)),
    Tier(up_to=200, unit_price=Decimal("0.05"), flat_fee=Decimal(2)),
    Tier(up_to=None, unit_price=Decimal("0.01"), flat_fee=Decimal(4)),
)


@pytest.mark.parametrize(
    ("excess", "graduated", "volume"),
    [
        (0, "0", "0"),
        (1, "1.10", "1.10"),
        (100, "11", "11"),
        (101, "13.05", "7.05"),
        (200, "18", "12"),
        (201, "22.01", "6.01"),
        (1000, "30", "14"),
    ],
)
def test_a_bound_belongs_to_the_lower_tier_and_fees_to_the_tiers_entered_or_reached(excess, graduated, volume):
    quantity = excess + 50
    assert cost(quantity, model="graduated", tiers=GRADUATED, included=50) == Decimal(graduated)
    assert cost(quantity, model="volume", tiers=GRADUATED, included=50) == Decimal(volume)


@pytest.mark.parametrize(
    ("excess", "packages"), [(0, 0), ("0.000001", 1), (1, 1), (100, 1), ("100.000001", 2), (200, 2)]
)
def test_a_package_begun_counts_whole(excess, packages):
    quantity = Decimal(excess) + 10
    assert cost(quantity, model="package", unit_price=3, package_size=100, included=10) == 3 * packages


def test_packages_and_tiers_are_in_display_units():
    assert cost(61 * 60, model="package", unit_price=5, package_size=60, unit_size=60) == 10
    assert cost(60 * 60, model="package", unit_price=5, package_size=60, unit_size=60) == 5
    tiers = (Tier(10, Decimal("0.30")), Tier(None, Decimal("0.20")))
    assert cost(12 * 60 + 30, model="graduated", tiers=tiers, unit_size=60) == Decimal("3.5")
    assert cost(12 * 60 + 30, model="volume", tiers=tiers, unit_size=60) == Decimal("2.5")


def test_a_flat_fee_is_due_once_as_soon_as_anything_exceeds_what_is_included():
    rate = {"model": "per_unit", "unit_price": 1, "included": 10, "flat_fee": 5}
    assert [cost(quantity, **rate) for quantity in (0, 10, 11, 12)] == [0, 0, 6, 7]


def test_the_minimum_applies_also_at_nothing_and_the_maximum_last():
    rate = {"model": "per_unit", "unit_price": 1, "included": 10, "minimum": 3, "maximum": 5}
    assert [cost(quantity, **rate) for quantity in (0, 10, 12, 14, 99)] == [3, 3, 3, 4, 5]
    assert cost(0, model="per_unit", minimum=9, maximum=5) == 5
    assert cost(5, model="per_unit", unit_price=1, maximum=0) == 0


def test_pay_as_you_go_is_a_rate_without_included_amount():
    assert cost(62, model="per_unit", unit_price=Decimal("0.99")) == Decimal("61.38")


# --- against the oracle -----------------------------------------------------------------------------------------------

amounts = st.decimals(min_value=0, max_value=1000, places=4)
optional = st.one_of(st.none(), amounts)


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    bounds = sorted(draw(st.sets(st.integers(1, 60), max_size=4)))
    return Rate(
        model=draw(st.sampled_from(["per_unit", "graduated", "volume", "package"])),
        unit_price=draw(amounts),
        included=draw(st.one_of(st.none(), st.integers(0, 40))),
        tiers=[Tier(bound, draw(optional), draw(optional)) for bound in [*bounds, None]],
        package_size=draw(st.integers(1, 25)),
        flat_fee=draw(optional),
        minimum=draw(optional),
        maximum=draw(optional),
        unit_size=draw(st.sampled_from([1, 7, 60])),
    )


def counted(quantity: int, rate: Rate) -> Fraction:
    """The price of whole stored units, found by counting them one by one."""
    size = rate.unit_size
    units = [Fraction(n, size) for n in range(1, max(0, quantity - (rate.included or 0) * size) + 1)]

    def tier_of(unit: Fraction) -> Tier:
        return next(tier for tier in rate.tiers if tier.up_to is None or tier.up_to >= unit)

    total = Fraction(rate.flat_fee or 0) if units else Fraction(0)
    if rate.model == "per_unit":
        total += sum(Fraction(rate.unit_price) / size for _ in units)
    elif rate.model == "package":
        total += len({(unit * size - 1) // (rate.package_size * size) for unit in units}) * Fraction(rate.unit_price)
    elif rate.model == "graduated":
        total += sum(Fraction(tier_of(unit).unit_price or 0) / size for unit in units)
        total += sum(Fraction(tier.flat_fee or 0) for tier in {id(t): t for t in map(tier_of, units)}.values())
    elif units:
        reached = tier_of(units[-1])
        total += sum(Fraction(reached.unit_price or 0) / size for _ in units) + Fraction(reached.flat_fee or 0)
    total = max(total, Fraction(rate.minimum or 0))
    return total if rate.maximum is None else min(total, Fraction(rate.maximum))


@EXAMPLES
@given(rate=rates(), display=st.integers(0, 120), rest=st.integers(0, 59))
def test_every_model_agrees_with_counting_unit_by_unit(rate, display, rest):
    quantity = display * rate.unit_size + rest % rate.unit_size
    found, expected = price(quantity=Decimal(quantity), rate=rate), counted(quantity, rate)
    assert abs(Fraction(found) - expected) <= Fraction(1, 10**60)
    for currency in ("JPY", "USD", "KWD"):
        assert round_money(found, currency) == round_money(expected, currency)


@EXAMPLES
@given(
    rate=rates().filter(lambda rate: rate.model != "volume"),
    quantities=st.lists(st.decimals(min_value=0, max_value=10_000, places=6), min_size=2, max_size=2).map(sorted),
)
def test_more_never_costs_less_except_by_volume(rate, quantities):
    less, more = (price(quantity=quantity, rate=rate) for quantity in quantities)
    assert less <= more


@EXAMPLES
@given(
    quantity=st.decimals(min_value=0, max_value=10**12, places=6),
    unit_price=st.decimals(min_value=0, max_value=10**9, places=10),
    size=st.sampled_from([1, 3, 60, 3600]),
    currency=st.sampled_from(["JPY", "USD", "KWD"]),
)
def test_rounding_the_price_is_rounding_the_exact_amount_however_large(quantity, unit_price, size, currency):
    found = price(quantity=quantity, rate=Rate(model="per_unit", unit_price=unit_price, unit_size=size))
    exact = Fraction(quantity) * Fraction(unit_price) / size
    assert round_money(found, currency) == round_money(exact, currency)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "reason"),
    [
        ({"model": "percentage"}, "model 'percentage' is none of"),
        ({"model": None}, "model None is none of"),
        ({"model": "per_unit", "unit_price": -1}, "unit_price must not be negative"),
        ({"model": "per_unit", "unit_price": 0.5}, "unit_price must be a Decimal"),
        ({"model": "per_unit", "unit_price": Decimal("NaN")}, "unit_price must be finite"),
        ({"model": "per_unit", "included": -1}, "included must not be negative"),
        ({"model": "per_unit", "minimum": -1}, "minimum must not be negative"),
        ({"model": "per_unit", "maximum": -1}, "maximum must not be negative"),
        ({"model": "per_unit", "flat_fee": -1}, "flat_fee must not be negative"),
        ({"model": "per_unit", "unit_size": 0}, "unit_size must be greater than 0"),
        ({"model": "package", "unit_price": 1}, "package_size must be greater than 0"),
        ({"model": "package", "package_size": 0}, "package_size must be greater than 0"),
        ({"model": "graduated"}, "the last one must have no bound"),
        ({"model": "volume", "tiers": [Tier(10, 1)]}, "the last one must have no bound"),
        ({"model": "graduated", "tiers": [Tier(None, 1), Tier(None, 1)]}, "number 1 has no bound"),
        ({"model": "graduated", "tiers": [Tier(10, 1), Tier(10, 1), Tier(None, 1)]}, "number 2 ends at 10, not above"),
        ({"model": "volume", "tiers": [Tier(20, 1), Tier(10, 1), Tier(None, 1)]}, "number 2 ends at 10, not above"),
    ],
)
def test_a_rate_that_cannot_be_applied_is_refused(rate, reason):
    with pytest.raises(ValueError, match=reason):
        Rate(**rate)


@pytest.mark.parametrize("tier", [{"up_to": 0}, {"up_to": -1}, {"unit_price": -1}, {"flat_fee": -1}])
def test_a_tier_is_never_empty_or_negative(tier):
    with pytest.raises(ValueError, match="must"):
        Tier(**tier)


def test_a_quantity_must_be_finite():
    with pytest.raises(ValueError, match="quantity must be finite"):
        price(quantity=Decimal("Infinity"), rate=Rate(model="per_unit", unit_price=1))
