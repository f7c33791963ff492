"""How numbers, money and dates read on pages, in charts, e-mails and documents: one place, so that they read alike.

Pure: no Django. Everything is English (day before month, thousands by comma, a true minus sign), because the words
around it are. Money is only formatted here; `billing.money` decides how it is rounded.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_symbol

from usage.currencies import decimals
from usage.periods import local_day

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
MONTHS_FULL = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

MINUS = "\u2212"
NARROW_UNITS = ((Decimal(10) ** 12, "T"), (Decimal(10) ** 9, "B"), (Decimal(10) ** 6, "M"), (Decimal(10) ** 3, "k"))


@lru_cache(maxsize=8192)
def number(value: Decimal | int) -> str:
    """Exact, with thousands separators and without trailing zeros: `1,043`, `443.75`, `−2`."""
    amount = Decimal(value)
    text = f"{amount:,f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if text in ("-0", "0"):
        return "0"
    return text.replace("-", MINUS)


@lru_cache(maxsize=8192)
def figure(value: Decimal | int) -> str:
    """For figures, labels and tooltips: at most two decimals, half-up (`301.53`). Tables have the exact value."""
    amount = Decimal(value)
    exponent = amount.as_tuple().exponent
    if not isinstance(exponent, int) or exponent >= -2:
        return number(amount)
    return number(amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP))


@lru_cache(maxsize=8192)
def short_number(value: Decimal | int, *, from_: Decimal | int = 10_000) -> str:
    """For axes and labels: as `figure` below `from_`, then at most four digits and a letter: `12k`, `3.4M`, half-up."""
    amount = Decimal(value)
    size = abs(amount)
    if size < from_:
        return figure(amount)
    for index, (unit, letter) in enumerate(NARROW_UNITS):
        if size < unit:
            continue
        scaled = amount / unit
        digits = 2 if abs(scaled) < 10 else 1
        rounded = scaled.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
        if abs(rounded) >= 1000 and index:
            unit, letter = NARROW_UNITS[index - 1]
            rounded = (amount / unit).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)
        return number(rounded) + letter
    return number(amount)


def percent(value: Decimal | int, *, digits: int = 0) -> str:
    """`value` in per cent, half-up: `64.2%` for Decimal("64.18") and one digit."""
    return number(Decimal(value).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)) + "%"


@lru_cache(maxsize=512)
def _currency(code: str) -> tuple[str, int]:
    symbol = get_currency_symbol(code, locale="en_US")
    return (symbol + "\u00a0" if symbol[-1:].isalpha() else symbol), decimals(code)


def money(amount: Decimal | int, currency: str) -> str:
    """An amount with its currency's own decimals, half-up: `$1,342.63`, `−$1.98`, `¥12,346`, `CHF 5.00`."""
    prefix, digits = _currency(currency)
    value = Decimal(amount).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP)
    sign = MINUS if value < 0 else ""
    return f"{sign}{prefix}{abs(value):,f}"


def unit_price(amount: Decimal | int, currency: str) -> str:
    """A price of one unit, exact: at least the currency's decimals, more where the price has them (`$0.0125`)."""
    prefix, digits = _currency(currency)
    value = Decimal(amount)
    exponent = value.normalize().as_tuple().exponent
    places = max(digits, -exponent if isinstance(exponent, int) else digits)
    sign = MINUS if value < 0 else ""
    return f"{sign}{prefix}{abs(value):,.{places}f}"


def day_and_month(on: date) -> str:
    """`8 Nov`"""
    return f"{on.day} {MONTHS[on.month - 1]}"


@lru_cache(maxsize=1024)
def weekday_date(on: date) -> str:
    """`Sat 21 Nov`"""
    return f"{WEEKDAYS[on.weekday()]} {day_and_month(on)}"


def short_date(on: date) -> str:
    """`8 Nov 2026`"""
    return f"{day_and_month(on)} {on.year}"


def long_date(on: date) -> str:
    """`8 November 2026`"""
    return f"{on.day} {MONTHS_FULL[on.month - 1]} {on.year}"


def date_span(first: date, last: date) -> str:
    """First to last day, both included; the year once when it is the same: `8 Nov – 7 Dec 2026`."""
    if first == last:
        return short_date(first)
    if first.year == last.year:
        return f"{day_and_month(first)} – {short_date(last)}"
    return f"{short_date(first)} – {short_date(last)}"


def period_span(starts_at: datetime, ends_at: datetime, zone: str) -> str:
    """The days of a half-open period in the account's zone, as people name it: `8 Nov – 7 Dec 2026`."""
    return date_span(local_day(starts_at, zone), local_day(ends_at - timedelta(microseconds=1), zone))


def local_minute(at: datetime, zone: str) -> str:
    """`21 Nov 2026, 14:30` in an IANA zone."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{short_date(local.date())}, {local:%H:%M}"


def local_second(at: datetime, zone: str) -> str:
    """`8 Nov 2026, 01:00:04` in an IANA zone."""
    local = at.astimezone(ZoneInfo(zone))
    return f"{short_date(local.date())}, {local:%H:%M:%S}"
