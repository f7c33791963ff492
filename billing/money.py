"""Money: the one rounding, and how amounts are written (spec 5, 10.5).

Amounts are exact Decimals until they become a line; then `round_money` rounds them once, half-up, to the minor unit of
ISO 4217.
"""

from __future__ import annotations

from copy import copy
from decimal import Decimal
from fractions import Fraction
from typing import Final

from usage.currencies import CURRENCIES, decimals
from usage.rounding import EXACT, exact, plain_quantity, round_half_up

__all__ = [
    "CURRENCIES",
    "RATE_DECIMALS",
    "decimals",
    "format_money",
    "format_rate",
    "plain_money",
    "plain_rate",
    "round_money",
]

RATE_DECIMALS: Final = 10
_UNITS: Final = {digits: Decimal(1).scaleb(-digits) for digits in range(5)}
_SAFE: Final = 60  # digits before the point with which a rounded amount still fits into the exact context


def round_money(amount: Decimal | Fraction | int, currency: str) -> Decimal:
    """`amount` to the minor unit of `currency`, half-up (halves away from zero), with exactly that many decimals.

    The only rounding of money; call it once per line, on the exact amount. ValueError for an unknown currency, a float,
    NaN or infinity.
    """
    unit = _UNITS[decimals(currency)]
    if type(amount) is int:
        amount = Decimal(amount)
    if type(amount) is Decimal and amount.is_finite() and amount.adjusted() < _SAFE:
        # `quantize` looks at all digits and rounds once, halves away from zero.
        rounded = EXACT.quantize(amount, unit)
    else:
        rounded = EXACT.quantize(round_half_up(exact(amount, "amount"), Fraction(unit)), unit)
    # Adding 0 turns -0.00 into 0.00; in the wide context, because the usual one would round large amounts again.
    return EXACT.add(rounded, 0)


def plain_money(amount: Decimal, currency: str) -> str:
    """For the API: "18.50", "1850", "18.500"; the currency's decimals, no grouping, no symbol (spec 10.5)."""
    return f"{round_money(amount, currency):f}"


def plain_rate(unit_price: Decimal, currency: str) -> str:
    """For the API: "0.50", "0.0045"; at least the currency's decimals, up to 10, never rounded to cents."""
    finest = round_half_up(exact(unit_price, "unit_price"), Fraction(1, 10**RATE_DECIMALS))
    whole, _, fraction = plain_quantity(finest).partition(".")
    fraction = fraction.ljust(decimals(currency), "0")
    return f"{whole}.{fraction}" if fraction else whole


def format_money(amount: Decimal, currency: str, *, locale: str = "en_US") -> str:
    """For people: "$18.50", "¥1,850", "-$3.00"; rounded to the currency's decimals, as `locale` writes money."""
    return _written(round_money(amount, currency), currency, locale, decimals(currency), decimals(currency))


def format_rate(unit_price: Decimal, currency: str, *, locale: str = "en_US") -> str:
    """A price per unit, which may be finer than the currency: "$0.50", "$0.0045"; up to 10 decimals, never rounded to
    cents."""
    least = decimals(currency)
    rounded = round_half_up(exact(unit_price, "unit_price"), Fraction(1, 10**RATE_DECIMALS))
    return _written(rounded, currency, locale, least, max(least, RATE_DECIMALS))


def _written(amount: Decimal, currency: str, locale: str, least: int, most: int) -> str:
    # Imported here because locale data take a tenth of a second to load, and arithmetic needs none of them.
    from babel import Locale

    parsed = Locale.parse(locale)
    pattern = copy(parsed.currency_formats["standard"])
    pattern.frac_prec = (least, most)
    # currency_digits would bring CLDR's number of decimals back.
    return str(pattern.apply(amount, parsed, currency=currency, currency_digits=False))
