"""Money: the one rounding, and how the API writes amounts (spec 5, 10.5); `usage.formats` writes them for people.

Amounts are exact Decimals until they become a line; then `round_money` rounds them once, half-up, to the minor unit of
ISO 4217.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

from usage.currencies import decimals
from usage.rounding import EXACT, exact, plain_quantity, round_half_up

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
