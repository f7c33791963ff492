"""The one rounding of money, and how amounts are written."""

import os
from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from babel.core import get_global
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.money import plain_money, plain_rate, round_money
from usage.currencies import CURRENCIES, decimals

EXAMPLES = settings(max_examples=int(os.environ.get("HEADROOM_EXAMPLES", "200")), deadline=None)
currencies = st.sampled_from(CURRENCIES)


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("JPY", 0), ("KRW", 0), ("ISK", 0), ("USD", 2), ("EUR", 2), ("HUF", 2), ("IQD", 3), ("KWD", 3)],
)
def test_decimals_are_those_of_iso_4217(currency, digits):
    assert decimals(currency) == digits


def test_every_currency_in_use_anywhere_is_known():
    in_use = {
        code
        for entries in get_global("territory_currencies").values()
        for code, _, until, is_tender in entries
        if until is None and is_tender
    }
    assert in_use <= set(CURRENCIES)


@pytest.mark.parametrize("code", ["", "usd", "XXX", "XAU", "US", "DOLLAR", None, 840, []])
def test_an_unknown_currency_is_named(code):
    with pytest.raises(ValueError, match="is not an ISO 4217 code"):
        round_money(Decimal(1), code)


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("12.345", "USD", "12.35"),
        ("12.344999999999999999999999999999999", "USD", "12.34"),
        ("2.5", "JPY", "3"),
        ("3.5", "JPY", "4"),
        ("-0.005", "USD", "-0.01"),
        ("-0.004", "USD", "0.00"),
        ("0.0005", "KWD", "0.001"),
        ("18.5", "USD", "18.50"),
        ("1E+3", "USD", "1000.00"),
        ("99999999999999999999999999999999999999.995", "USD", "100000000000000000000000000000000000000.00"),
    ],
)
def test_halves_are_rounded_up_and_the_decimals_are_the_currencys(amount, currency, rounded):
    assert str(round_money(Decimal(amount), currency)) == rounded


@EXAMPLES
@given(amount=st.fractions(min_value=-(10**18), max_value=10**18, max_denominator=10**9), currency=currencies)
def test_rounding_is_half_up_of_the_exact_amount(amount, currency):
    scale = 10 ** decimals(currency)
    nearest = floor(abs(amount) * scale + Fraction(1, 2))
    rounded = round_money(amount, currency)
    assert Fraction(rounded) == Fraction(-nearest if amount < 0 else nearest, scale)
    assert rounded.as_tuple().exponent == -decimals(currency)
    assert round_money(rounded, currency) == rounded
    assert not (rounded == 0 and rounded.is_signed())


@pytest.mark.parametrize("amount", [1.5, True, Decimal("NaN"), Decimal("Infinity"), "1.50", None])
def test_only_exact_numbers_are_money(amount):
    with pytest.raises(ValueError, match="amount must be"):
        round_money(amount, "USD")


def test_the_api_writes_amounts_with_the_currencys_decimals():
    assert plain_money(Decimal("18.5"), "USD") == "18.50"
    assert plain_money(Decimal(1850), "JPY") == "1850"
    assert plain_money(Decimal("12345.5"), "KWD") == "12345.500"


def test_the_api_writes_prices_with_at_least_the_currencys_decimals() -> None:
    assert plain_rate(Decimal("0.5000000000"), "USD") == "0.50"
    assert plain_rate(Decimal("0.0045"), "USD") == "0.0045"
    assert plain_rate(Decimal(49), "JPY") == "49"
    assert plain_rate(Decimal("1.5"), "JPY") == "1.5"
    assert plain_rate(Decimal(2), "KWD") == "2.000"
