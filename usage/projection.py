"""Where the period is heading at the pace so far (spec 2.11). An estimate; invoices never use it."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Context, Decimal, Inexact
from fractions import Fraction
from typing import Final

from usage.periods import Period, as_utc
from usage.rounding import checked

_DIGITS: Final = Context(prec=28)
_UNROUNDED: Final = Context(prec=1000, traps=[Inexact])
_DAY: Final = timedelta(days=1)


def project(*, quantity: Decimal, days_used: Decimal, days_in_period: Decimal) -> Decimal | None:
    """Usage so far / days used x days in period, in the unit of `quantity` (spec 2.11).

    Days are elapsed seconds / 86 400 (see `elapsed_days`). None while less than one day is used: too early for a
    figure. One division, 28 significant digits, not rounded further. ValueError when `days_in_period` is not positive
    or a number is not finite.
    """
    if checked(days_in_period, "days_in_period") <= 0:
        raise ValueError(f"days_in_period must be greater than 0, not {days_in_period}")
    used, so_far = checked(days_used, "days_used"), checked(quantity, "quantity")
    if used < 1:
        return None
    return _DIGITS.divide(_UNROUNDED.multiply(so_far, days_in_period), used)


def elapsed_days(period: Period, *, at: datetime) -> Decimal:
    """Days of the period that have passed at `at`: elapsed seconds / 86 400, from 0 to the whole period (spec 2.11).

    Held to the period, so that one read after its end projects exactly what was used. ValueError when `at` is naive.
    """
    until = min(max(as_utc(at, "at"), period.starts_at), period.ends_at)
    return _days(until - period.starts_at)


def days_in(period: Period) -> Decimal:
    """Length of the period in days of 86 400 seconds, for `project`; with a clock change it is no whole number."""
    return _days(period.ends_at - period.starts_at)


def _days(span: timedelta) -> Decimal:
    microsecond = timedelta(microseconds=1)
    return _decimal(Fraction(span // microsecond, _DAY // microsecond))


def _decimal(value: Fraction) -> Decimal:
    return _DIGITS.divide(Decimal(value.numerator), Decimal(value.denominator))
