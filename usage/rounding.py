"""Quantities: reading them strictly, turning display units into stored units and back, rounding calls (spec 2.1, 2.2).

Two units exist. People and the API see the *display* unit (minutes, messages); tables hold the *stored* unit (seconds,
messages); `unit_size` stored units make one display unit. Everything is exact until the one rounding named in each
function; binary floating point is refused, because it has already lost digits when it arrives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Final, Self

MAX_QUANTITY: Final = Decimal(10**12)
DECIMALS: Final = 6
SMALLEST: Final = Decimal(1).scaleb(-DECIMALS)

# Wide enough that a quotient cut off here can never land on the wrong side of a cent: prices have at most 10 decimals,
# quantities 6, so a value that is no tie is at least ~1e-24 away from one, and amounts stay far below 1e40.
EXACT: Final = Context(prec=80, rounding=ROUND_HALF_UP)
_ZERO: Final = Decimal(0)
_ONE: Final = Decimal(1)
_SAFE: Final = 60  # digits before the point with which a quotient still has all its decimals in the exact context

# JSON's own grammar; three digits of exponent are plenty, and more would let a short text name an enormous number.
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?")
_LONGEST: Final = 64
_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND: Final = 1_000_000


def exact(value: Decimal | Fraction | int, name: str) -> Fraction:
    """`value` as a fraction, nothing lost. ValueError naming `name` for floats, booleans, NaN and infinities."""
    return value if type(value) is Fraction else Fraction(checked(value, name))


def checked[Number: (Decimal | Fraction | int, Decimal | int)](value: Number, name: str) -> Number:
    """`value` itself. ValueError naming `name` for floats, booleans, NaN and infinities."""
    # Asked for by exact type first: whole runs of invoices spend their time here.
    if type(value) is not Decimal and (isinstance(value, bool) or not isinstance(value, Decimal | Fraction | int)):
        raise ValueError(f"{name} must be a Decimal or a whole number, not {value!r}")
    if isinstance(value, Decimal) and not value.is_finite():
        raise ValueError(f"{name} must be finite, not {value}")
    return value


def decimal_of(value: Fraction) -> Decimal:
    """`value` as Decimal: exact where the decimal expansion ends, else half-up at 80 significant digits."""
    return EXACT.divide(Decimal(value.numerator), Decimal(value.denominator))


def round_half_up(value: Fraction, step: Fraction) -> Decimal:
    """The multiple of `step` nearest to `value`; halves go away from zero."""
    steps = abs(value) / step + Fraction(1, 2)
    rounded = steps.numerator // steps.denominator * step
    return decimal_of(-rounded if value < 0 else rounded)


def parse_quantity(value: object, *, zero_allowed: bool = False) -> Decimal:
    """A quantity out of JSON, in display units: a number or a decimal string, finite, > 0 (or >= 0 with
    `zero_allowed`, for levels and limits), at most 10^12, at most 6 decimals (spec 2.2).

    JSON must be parsed with `parse_float=Decimal`. ValueError says what is wrong, in words fit for the sender.
    """
    number = _number_of(value)
    if not number.is_finite():
        raise ValueError("must be a finite number")
    if number < 0 or (number == 0 and not zero_allowed):
        raise ValueError(f"must be {'at least' if zero_allowed else 'greater than'} 0")
    if number > MAX_QUANTITY:
        raise ValueError("must be at most 1000000000000")
    if number == 0:
        return Decimal(0)
    # Judged by its size before anything is expanded: 1e-999999 would cost a million digits.
    if number.adjusted() < -DECIMALS:
        raise ValueError(f"must have at most {DECIMALS} decimals")
    fitted = number.quantize(SMALLEST, context=_FLOOR)
    if fitted != number:
        raise ValueError(f"must have at most {DECIMALS} decimals")
    return plain(fitted)


_FLOOR: Final = Context(prec=80, rounding=ROUND_FLOOR)


def _number_of(value: object) -> Decimal:
    if isinstance(value, int) and not isinstance(value, bool):
        # Longer integers are beyond every bound anyway; the size is checked first because Decimal() of a
        # million-digit integer takes long.
        return Decimal(value) if value.bit_length() <= 128 else MAX_QUANTITY * (10 if value > 0 else -10)
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str):
        if len(value) > _LONGEST or _NUMBER.fullmatch(value) is None:
            raise ValueError("must be a decimal number such as 12 or 0.5")
        return Decimal(value)
    raise ValueError("must be a number or a decimal string")


def parse_whole_number(value: object, *, at_least: int) -> Decimal:
    """A whole number out of JSON or a form: limits (`at_least=0`) and thresholds (`at_least=1`), at most 10^12.

    ValueError says what is wrong (spec 2.2).
    """
    given = _number_of(value)
    if given.is_finite() and given < 0:
        raise ValueError(f"must be at least {at_least}")
    number = parse_quantity(given, zero_allowed=True)
    if number != number.to_integral_value():
        raise ValueError("must be a whole number")
    if number < at_least:
        raise ValueError(f"must be at least {at_least}")
    return number


def stored_quantity(shown: Decimal, *, unit_size: Decimal | int = 1, step: Decimal = SMALLEST) -> Decimal:
    """Display units -> stored units: `shown` x `unit_size`, half-up to a multiple of `step` (spec 2.2).

    `step` is the metric's `Increment.step` for durations and 0.000001 for everything else. A quantity below half a
    step becomes 0. ValueError when `unit_size` or `step` is not positive.
    """
    return plain(round_half_up(exact(shown, "quantity") * _positive(unit_size, "unit_size"), _positive(step, "step")))


def shown_quantity(stored: Decimal, *, unit_size: Decimal | int = 1) -> Decimal:
    """Stored units -> display units: `stored` / `unit_size`, half-up to 6 decimals (spec 2.2).

    ValueError when `unit_size` is not positive.
    """
    if type(stored) is Decimal and type(unit_size) is int and unit_size > 0 and stored.adjusted() < _SAFE:
        if not stored.is_finite():
            raise ValueError(f"quantity must be finite, not {stored}")
        # Whole runs of invoices spend their time here, where fractions cost ten times as much. The quotient's 80
        # digits cannot make a tie out of what is none.
        return plain(EXACT.quantize(stored if unit_size == 1 else EXACT.divide(stored, unit_size), SMALLEST))
    return plain(round_half_up(exact(stored, "quantity") / _positive(unit_size, "unit_size"), Fraction(SMALLEST)))


def _positive(value: Decimal | int, name: str) -> Fraction:
    fraction = exact(value, name)
    if fraction <= 0:
        raise ValueError(f"{name} must be greater than 0, not {value}")
    return fraction


@dataclass(frozen=True, slots=True)
class Increment:
    """How a call is rounded before it is summed, in whole seconds: `first` for its beginning, then steps of `next`,
    both rounded up, and at least `minimum`. 0/0 is no increment. ValueError for anything that cannot be counted.
    """

    first: int = 0
    next: int = 0
    minimum: int = 0

    def __post_init__(self) -> None:
        if min(self.first, self.next, self.minimum) < 0 or (self.first == 0) != (self.next == 0):
            raise ValueError(f"increment {self.first}/{self.next}, minimum {self.minimum}: not a countable rule")

    @classmethod
    def parse(cls, text: str, *, minimum: int = 0) -> Self:
        """From the way telephony writes it: "1/1", "6/6", "30/6", "60/60"; "" is none. ValueError otherwise."""
        if not text:
            return cls(minimum=minimum)
        match = re.fullmatch(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", text, re.ASCII)
        if match is None:
            raise ValueError(f"increment {text!r}: must read first/next in seconds, such as 30/6")
        return cls(first=int(match[1]), next=int(match[2]), minimum=minimum)

    @property
    def step(self) -> Decimal:
        """The grain of typed-in durations, in seconds (for `stored_quantity`): the steps after the first one."""
        return Decimal(self.next or 1)


def duration_seconds(*, started_at: datetime, ended_at: datetime, increment: Increment | None = None) -> Decimal:
    """Whole seconds of one call (spec 2.1, 2.2). Aware datetimes; elapsed time, so clock changes do not matter.

    Increments round up; without one the seconds are rounded half-up. A call of no length is 0 under every rule, because
    nothing was used. ValueError when a time is naive or the call ends before it starts.
    """
    for name, value in (("started_at", started_at), ("ended_at", ended_at)):
        if value.utcoffset() is None:
            raise ValueError(f"{name} must carry a time zone")
    rule = increment or Increment()
    # Two datetimes of one zone would be subtracted by their wall clocks; in UTC it is the time that passed.
    elapsed = (ended_at.astimezone(UTC) - started_at.astimezone(UTC)) // _MICROSECOND
    if elapsed < 0:
        raise ValueError("ended_at must not be before started_at")
    if elapsed == 0:
        return Decimal(0)
    if not rule.next:
        seconds = (elapsed + _SECOND // 2) // _SECOND
    else:
        beyond = max(0, elapsed - rule.first * _SECOND)
        seconds = rule.first + -(-beyond // (rule.next * _SECOND)) * rule.next
    return Decimal(max(seconds, rule.minimum))


def plain(quantity: Decimal) -> Decimal:
    """The same number without trailing zeros, exponent or negative zero, so that `str()` reads as people write it."""
    if not quantity:
        return _ZERO
    whole = quantity.quantize(_ONE, context=EXACT)
    return whole if whole == quantity else quantity.normalize(context=EXACT)


def plain_quantity(quantity: Decimal) -> str:
    """For the API and CSV: "1234.5"; no exponent, no grouping, no trailing zeros (spec 10.5)."""
    return f"{plain(quantity):f}"


def format_quantity(quantity: Decimal, *, unit: str = "") -> str:
    """For people: "1,234.5" or "1,234.5 minutes"; in display units, not rounded again."""
    text = f"{plain(quantity):,f}"
    return f"{text} {unit}" if unit else text
