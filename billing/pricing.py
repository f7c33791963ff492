"""What a quantity costs (spec 5.2, 5.11). Exact: the caller rounds the amount once, with `billing.money.round_money`.

Every model prices the *excess* = max(0, quantity - included):

=========== ====================================================================================================
per_unit    excess x `unit_price`
graduated   each tier prices the units that fall into it
volume      the tier that the excess reaches prices all of it
package     packages of `package_size`, begun ones count whole, at `unit_price` each
=========== ====================================================================================================

A bound belongs to the lower tier: with `up_to=100` the 100th unit is still the lower tier's. Flat fees are due only
when there is an excess: the rate's own `flat_fee` once under any model; a tier's once that tier is entered (graduated:
every tier entered adds its fee; volume: only the tier reached). So an excess of 0 costs 0, or `minimum`, which applies
also then. `maximum` comes last and wins over everything.

Fields that a model does not name are ignored (`unit_price` under tiers, `tiers` under per_unit), so that a stored rate
can change its model and back without losing what was typed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final

from usage.rounding import EXACT, checked

MODELS: Final = ("per_unit", "graduated", "volume", "package")
TIERED: Final = ("graduated", "volume")
ZERO: Final = Decimal(0)

# Everything but the last division ends within these digits; nothing is ever cut off in silence.
_UNROUNDED: Final = Context(prec=1000, traps=[Inexact, InvalidOperation])


@dataclass(frozen=True, slots=True)
class Tier:
    """A stretch of the excess, in display units, up to and including `up_to` (None: no bound). Nothing negative."""

    up_to: Decimal | int | None = None
    unit_price: Decimal | int | None = None
    flat_fee: Decimal | int | None = None

    def __post_init__(self) -> None:
        if self.up_to is not None:
            _check_positive(self.up_to, "up_to")
        _check_amount(self.unit_price, "unit_price")
        _check_amount(self.flat_fee, "flat_fee")


@dataclass(frozen=True, slots=True)
class Rate:
    """How a metric is priced. All quantities in display units; None means "none of it", except `maximum`: no maximum.

    `unit_size` is the number of stored units in one display unit (60 for minutes). ValueError for a rate that cannot be
    applied: unknown model, negative numbers, tiers that do not ascend to one without bound, packages of nothing.
    """

    model: str
    unit_price: Decimal | int | None = None
    included: Decimal | int | None = None
    tiers: Sequence[Tier] = ()
    package_size: Decimal | int | None = None
    flat_fee: Decimal | int | None = None
    minimum: Decimal | int | None = None
    maximum: Decimal | int | None = None
    unit_size: Decimal | int = 1

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"model {self.model!r} is none of {', '.join(MODELS)}")
        object.__setattr__(self, "tiers", tuple(self.tiers or ()))
        for name in ("unit_price", "included", "flat_fee", "minimum", "maximum"):
            _check_amount(getattr(self, name), name)
        _check_positive(self.unit_size, "unit_size")
        if self.model == "package":
            _check_positive(self.package_size, "package_size")
        if self.model in TIERED:
            _check_tiers(self.tiers)


def price(*, quantity: Decimal | int, rate: Rate) -> Decimal:
    """The amount for `quantity`, which is in *stored* units, in the rate's currency, not rounded (spec 5.11).

    Exact where the decimal expansion ends; otherwise (a division by `unit_size` that leaves a remainder) correct to 80
    digits, so that rounding the result to cents equals rounding the exact amount. ValueError for NaN and infinities.
    """
    checked(quantity, "quantity")
    # Kept in stored units, where the count is whole; unit_size divides once, at the end.
    size = rate.unit_size
    excess = _UNROUNDED.subtract(quantity, _times(rate.included, size))
    amount = ZERO
    if excess > 0:
        amount = _UNROUNDED.add(_PRICED[rate.model](excess, rate), _times(rate.flat_fee, size))
    if rate.minimum is not None:
        amount = max(amount, _times(rate.minimum, size))
    if rate.maximum is not None:
        amount = min(amount, _times(rate.maximum, size))
    return EXACT.divide(amount, size)


# Each returns amount x unit_size.


def _per_unit(excess: Decimal, rate: Rate) -> Decimal:
    return _times(rate.unit_price, excess)


def _package(excess: Decimal, rate: Rate) -> Decimal:
    package = _times(rate.package_size, rate.unit_size)
    whole, rest = _UNROUNDED.divmod(excess, package)
    return _times(rate.unit_price, _times(whole + 1 if rest else whole, rate.unit_size))


def _graduated(excess: Decimal, rate: Rate) -> Decimal:
    amount = lower = ZERO
    for tier in rate.tiers:
        if excess <= lower:
            break
        upper = excess if tier.up_to is None else min(excess, _times(tier.up_to, rate.unit_size))
        units = _UNROUNDED.subtract(upper, lower)
        amount = _UNROUNDED.add(amount, _tier_amount(units, tier, rate))
        lower = upper
    return amount


def _volume(excess: Decimal, rate: Rate) -> Decimal:
    reached = next(tier for tier in rate.tiers if tier.up_to is None or excess <= _times(tier.up_to, rate.unit_size))
    return _tier_amount(excess, reached, rate)


def _tier_amount(units: Decimal, tier: Tier, rate: Rate) -> Decimal:
    return _UNROUNDED.add(_times(tier.unit_price, units), _times(tier.flat_fee, rate.unit_size))


def _times(value: Decimal | int | None, factor: Decimal | int) -> Decimal:
    return ZERO if value is None else _UNROUNDED.multiply(value, factor)


_PRICED: Final = {"per_unit": _per_unit, "package": _package, "graduated": _graduated, "volume": _volume}


def _check_amount(value: Decimal | int | None, name: str) -> None:
    if value is not None and checked(value, name) < 0:
        raise ValueError(f"{name} must not be negative, not {value}")


def _check_positive(value: Decimal | int | None, name: str) -> None:
    if value is None or checked(value, name) <= 0:
        raise ValueError(f"{name} must be greater than 0, not {value}")


def _check_tiers(tiers: Sequence[Tier]) -> None:
    if not tiers or tiers[-1].up_to is not None:
        raise ValueError('tiers: the last one must have no bound ("up_to": null)')
    lower: Decimal | int = 0
    for number, tier in enumerate(tiers[:-1], start=1):
        if tier.up_to is None:
            raise ValueError(f"tiers: number {number} has no bound but is not the last")
        upper = checked(tier.up_to, "up_to")
        if upper <= lower:
            raise ValueError(f"tiers: number {number} ends at {tier.up_to}, not above the one before it")
        lower = upper
