"""Scales: nice axes up, exact time across. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from usage.formats import short_number, weekday_date
from usage.periods import local_day

FULL = 10_000  # 100 %, in hundredths
NICE = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
HEADROOM = Decimal("1.06")  # air above the highest line, so that its label fits
MILLION = 1_000_000
MICROSECOND = timedelta(microseconds=1)


@lru_cache(maxsize=8192)
def text(hundredths: int) -> str:
    """`4535` -> `45.35`, `21800` -> `218`: the shortest form an SVG attribute can take."""
    whole, rest = divmod(abs(hundredths), 100)
    sign = "-" if hundredths < 0 else ""
    if not rest:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{rest:02d}".rstrip("0")


@lru_cache(maxsize=8192)
def percent(hundredths: int) -> str:
    return text(hundredths) + "%"


def nice_step(value: Decimal, *, whole: bool) -> Decimal:
    """The smallest of 1, 2, 2.5 or 5 × 10ⁿ that is >= value; never below 1, and never 2.5, for whole units."""
    if value <= 0:
        return Decimal(1)
    power = Decimal(1).scaleb(value.adjusted())
    for factor in NICE:
        step = factor * power
        if step < value:
            continue
        if not whole or (step >= 1 and step == step.to_integral_value()):
            return step
    return Decimal(1)


@dataclass(slots=True)
class Scale:
    """A vertical axis from 0 at `bottom` to `top_value` at `top` (hundredths of a pixel; pixels grow downwards)."""

    top: int
    bottom: int
    top_value: Decimal
    step: Decimal
    _height: int = field(init=False)
    _value: int = field(init=False)

    def __post_init__(self) -> None:
        self._height = 2 * (self.bottom - self.top)
        self._value = int(self.top_value * MILLION)

    def y(self, quantity: Decimal) -> int:
        """Rounded half-up. In whole millionths, because a page asks some thousand times; that is what quantities have,
        and of a projection nobody sees more."""
        return self.bottom - (int(quantity * MILLION) * self._height + self._value) // (2 * self._value)

    def ticks(self) -> list[Decimal]:
        count = int(self.top_value / self.step)
        return [self.step * index for index in range(count + 1)]

    def words(self, tick: Decimal) -> str:
        """All ticks of an axis alike: short from 10 000 at its top on (`10k` above `7.5k`)."""
        return short_number(tick, from_=1000 if self.top_value >= 10_000 else 10_000)


def scale_to(
    highest: Decimal, *, top: int, bottom: int, steps: int, whole: bool, headroom: Decimal = HEADROOM
) -> Scale:
    """An axis of at most `steps` nice steps that holds `highest`; at least 1 high: little must not look like much."""
    wanted = max(highest * headroom, Decimal(1))
    step = nice_step(wanted / steps, whole=whole)
    count = (wanted / step).to_integral_value(rounding=ROUND_CEILING)
    return Scale(top=top, bottom=bottom, top_value=step * count, step=step)


@dataclass(frozen=True, slots=True)
class Column:
    """One local day of the period, as far as it lies inside it, with what all charts of a page write of it: where it
    lies, where its bar lies (72 % of it), and its name."""

    on: date
    left: int
    right: int
    x: str
    width: str
    bar_x: str
    bar_width: str
    name: str


def _column(on: date, left: int, right: int) -> Column:
    whole = right - left
    inner = whole * 72 // 100
    return Column(
        on=on,
        left=left,
        right=right,
        x=percent(left),
        width=percent(whole),
        bar_x=percent(left + (whole - inner) // 2),
        bar_width=percent(inner),
        name=weekday_date(on),
    )


class TimeAxis:
    """A period from 0 to 100 %. Its columns are local days; one of 23 hours, or cut short, is as wide as it is long."""

    def __init__(self, *, starts_at: datetime, ends_at: datetime, zone: str) -> None:
        if ends_at <= starts_at:
            raise ValueError("a period ends after it starts")
        self.starts_at = starts_at
        self.ends_at = ends_at
        self.first_day = local_day(starts_at, zone)
        last_day = local_day(ends_at - MICROSECOND, zone)
        place = ZoneInfo(zone)
        columns = []
        left = 0
        for offset in range((last_day - self.first_day).days + 1):
            on = self.first_day + timedelta(days=offset)
            midnight = datetime.combine(on + timedelta(days=1), time.min, place).astimezone(UTC)
            right = max(left, self.x(midnight))
            columns.append(_column(on, left, right))
            left = right
        self.columns: Sequence[Column] = tuple(columns)

    def x(self, at: datetime) -> int:
        """Hundredths of a per cent, kept inside the period."""
        whole = (self.ends_at - self.starts_at) // MICROSECOND
        part = (min(max(at, self.starts_at), self.ends_at) - self.starts_at) // MICROSECOND
        return (part * FULL + whole // 2) // whole

    def label_columns(self) -> list[Column]:
        """The days that are named below: at most five, by weeks in a month, by months in longer periods."""
        count = len(self.columns)
        if count <= 5:
            return list(self.columns)
        if count <= 35:
            step = 7 if count > 16 else -(-count // 5)
            return list(self.columns[::step])
        # Longer than a month: the days on which the period's own months begin.
        months = -(-count // 31)
        every = -(-months // 5)
        named = []
        for index in range(0, months, every):
            month = self.first_day.month - 1 + index
            year, month = self.first_day.year + month // 12, month % 12 + 1
            for day in (self.first_day.day, 30, 29, 28):
                try:
                    wanted = date(year, month, day)
                except ValueError:
                    continue
                break
            position = (wanted - self.first_day).days
            if 0 <= position < count:
                named.append(self.columns[position])
        return named


@lru_cache(maxsize=256)
def time_axis(*, starts_at: datetime, ends_at: datetime, zone: str) -> TimeAxis:
    """All charts of a page share their period's axis."""
    return TimeAxis(starts_at=starts_at, ends_at=ends_at, zone=zone)
