"""Billing periods: which one an instant belongs to, and which local days it has (spec 2.10).

A period is a half-open span of instants. Its boundaries keep the anchor's day of the month and its time on the wall in
the account's zone; the spans between them neither gap nor overlap, whatever the zone's clocks do. Every answer is
computed from the boundary's number, never by walking from the anchor, so months cannot drift (31 -> 28 -> 31) and an
account of thirty years costs what a new one costs.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

MONTHS: Final = {"month": 1, "quarter": 3, "half_year": 6, "year": 12}
INTERVALS: Final = tuple(MONTHS)

_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A half-open span `starts_at` <= t < `ends_at`, kept in UTC: equal spans are equal whatever zone they came in.

    ValueError for naive datetimes and for spans that are empty or run backwards.
    """

    starts_at: datetime
    ends_at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "starts_at", as_utc(self.starts_at, "starts_at"))
        object.__setattr__(self, "ends_at", as_utc(self.ends_at, "ends_at"))
        if self.starts_at >= self.ends_at:
            raise ValueError(f"period from {self.starts_at.isoformat()} to {self.ends_at.isoformat()} is empty")

    def __contains__(self, at: datetime) -> bool:
        return self.starts_at <= at < self.ends_at


class ClockChange(NamedTuple):
    """The dated row of a new clock: it holds from `starts_at`, counts its boundaries from `starts_on`, and keeps the
    old anchor's day and wall clock, now read in the new zone."""

    starts_at: datetime
    starts_on: date
    anchor: datetime


class PeriodDays(NamedTuple):
    """The local days that a period touches: the first, the last, and how many there are."""

    first: date
    last: date
    number: int


def period_at(
    *,
    anchor: datetime,
    zone: str | ZoneInfo,
    interval: str,
    at: datetime,
    starts_at: datetime | None = None,
    starts_on: date | None = None,
) -> Period:
    """The billing period that `at` belongs to, in UTC (spec 2.10).

    `anchor` is aware; its local day and time in `zone` are kept by every boundary (the 31st falls on the last day of
    shorter months, 29 February on the 28th). Boundary k lies k intervals after `starts_on` (default: the anchor's local
    day). A boundary inside a skipped hour or day moves forward by as much as was skipped; one inside a repeated hour
    is its first occurrence.

    Period 0 begins exactly at `starts_at` (default: the anchor) and ends at boundary 1, or at the first boundary after
    it should `starts_at` lie later. Without `starts_at` the periods also run backwards without end; with it, an earlier
    `at` belongs to another clock: ValueError. ValueError too for an unknown zone or interval, naive datetimes, and
    periods that would leave the years 1 to 9999.
    """
    clock = _Clock(anchor=as_utc(anchor, "anchor"), zone=zone_of(zone), interval=interval, starts_on=starts_on)
    moment = as_utc(at, "at")
    begins = None if starts_at is None else as_utc(starts_at, "starts_at")
    if begins is not None and moment < begins:
        raise ValueError(f"at {moment.isoformat()} lies before the first period, which starts at {begins.isoformat()}")
    try:
        return clock.period_of(moment) if begins is None else clock.period_from(begins, moment)
    except OverflowError as error:
        raise ValueError(f"at {moment.isoformat()}: the period leaves the calendar (years 1 to 9999)") from error


def change_of_clock(
    *,
    anchor: datetime,
    zone: str,
    interval: str,
    at: datetime,
    new_zone: str,
    starts_at: datetime | None = None,
    starts_on: date | None = None,
) -> ClockChange:
    """The row of a new clock (other zone, other interval, or both) decided at `at`: it holds from the end of the period
    running then (spec 2.10).

    `starts_on` is the date that the old clock gives to that boundary, not the date the new zone happens to read then;
    so the first period of the new clock is a whole interval, give or take the zones' difference, and never a stub of
    hours. The anchor is the old one's local day and time read in `new_zone`: an account that turns over on the 1st at
    midnight keeps doing so. ValueError as in `period_at`.
    """
    running = period_at(anchor=anchor, zone=zone, interval=interval, at=at, starts_at=starts_at, starts_on=starts_on)
    clock = _Clock(anchor=as_utc(anchor, "anchor"), zone=zone_of(zone), interval=interval, starts_on=starts_on)
    return ClockChange(
        starts_at=running.ends_at,
        starts_on=clock.nominal_date(running.ends_at),
        anchor=_anchor_in(zone_of(new_zone), clock.local_anchor.replace(fold=0)),
    )


def anchor_on(day: date, zone: str) -> datetime:
    """The anchor of a clock that turns over at midnight and keeps the day of the month of `day`, in UTC: that midnight,
    or where the zone skipped it, the same day and midnight of a later month. ValueError as in `day_starts_at`."""
    day_starts_at(day, zone)
    return _anchor_in(zone_of(zone), datetime.combine(day, time()))


def local_day(at: datetime, zone: str) -> date:
    """The calendar day that clocks in `zone` show at the instant `at`. ValueError when `at` is naive."""
    try:
        return as_utc(at, "at").astimezone(zone_of(zone)).date()
    except OverflowError as error:
        raise ValueError(f"at {at.isoformat()}: the local day leaves the calendar (years 1 to 9999)") from error


def day_starts_at(day: date, zone: str) -> datetime:
    """The first instant of a local day, in UTC; of a day that the zone skipped, the instant that replaced it."""
    tz = zone_of(zone)
    midnight = datetime.combine(day, time())
    try:
        after, before = _instant(midnight, tz), _instant(midnight.replace(fold=1), tz)
        if after <= before:
            return after
        # Midnight itself was skipped, so the day begins where the clocks jumped: between the two readings of midnight.
        # Found by halving, because a jump can straddle midnight and then equals neither of them.
        offset = before.astimezone(tz).utcoffset()
        while after - before > _MICROSECOND:
            middle = before + (after - before) // 2
            if middle.astimezone(tz).utcoffset() == offset:
                before = middle
            else:
                after = middle
        return after
    except OverflowError as error:
        raise ValueError(f"day {day.isoformat()} leaves the calendar (years 1 to 9999)") from error


@lru_cache(maxsize=256)  # many accounts have the same periods
def local_days(period: Period, zone: str) -> tuple[date, ...]:
    """Every local day that the period touches, in order; days that the zone skipped are not among them.

    With an anchor at midnight each day belongs to one period. With another time of day the boundary's day is touched
    by both of its periods. ValueError for an unknown zone.
    """
    tz = zone_of(zone)
    first, last = local_day(period.starts_at, zone), local_day(period.ends_at - _MICROSECOND, zone)
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    # Only a jump of about a day can swallow a day, and that shows in the offsets at both ends.
    at_start, at_end = period.starts_at.astimezone(tz).utcoffset(), period.ends_at.astimezone(tz).utcoffset()
    if at_start is None or at_end is None or abs(at_end - at_start) < timedelta(hours=20):
        return tuple(days)
    return tuple(day for day in days if not _is_skipped(day, tz))


def days_of(period: Period, zone: str) -> PeriodDays:
    """First and last local day of the period and how many there are, skipped ones not counted (see `local_days`)."""
    days = local_days(period, zone)
    return PeriodDays(first=days[0], last=days[-1], number=len(days))


@lru_cache(maxsize=1024)
def zone_of(zone: str | ZoneInfo) -> ZoneInfo:
    """The IANA zone of that name, or the zone itself. ValueError when there is none."""
    if isinstance(zone, ZoneInfo):
        return zone
    try:
        return ZoneInfo(zone)
    # A folder of zones, a path out of the folder and a non-text each fail in their own way.
    except (KeyError, ValueError, OSError, TypeError, AttributeError) as error:
        raise ValueError(f"zone {zone!r} is not an IANA time zone") from error


def as_utc(value: datetime, name: str) -> datetime:
    """`value` in UTC. ValueError naming `name` when it is no aware datetime."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ValueError(f"{name} must be a datetime with a time zone, not {value!r}")
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{name} {value!r} leaves the calendar (years 1 to 9999)") from error


def plain_instant(at: datetime) -> str:
    """For the API and for files: "2026-07-01T00:00:00Z", an aware instant written in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


class _Clock:
    """Boundaries of one dated row: boundary k is k intervals after `starts_on`, at the anchor's day and time."""

    def __init__(self, *, anchor: datetime, zone: ZoneInfo, interval: str, starts_on: date | None) -> None:
        if interval not in MONTHS:
            raise ValueError(f"interval {interval!r} is none of {', '.join(MONTHS)}")
        if starts_on is not None and (isinstance(starts_on, datetime) or not isinstance(starts_on, date)):
            raise ValueError(f"starts_on must be a date, not {starts_on!r}")
        self.zone = zone
        self.step = MONTHS[interval]
        self.anchor = anchor
        try:
            self.local_anchor = anchor.astimezone(zone).replace(tzinfo=None)
        except OverflowError as error:
            raise ValueError(f"anchor {anchor.isoformat()} leaves the calendar (years 1 to 9999)") from error
        origin = self.local_anchor.date() if starts_on is None else starts_on
        self.origin_month = _month_number(origin)
        # The anchor itself is boundary 0 even when it was the second of two equal readings of the clock.
        self.anchor_is_origin = self.origin_month == _month_number(self.local_anchor.date())

    def date_of(self, number: int) -> date:
        year, month = divmod(self.origin_month + number * self.step, 12)
        if not 1 <= year <= 9999:
            raise OverflowError(f"year {year}")
        return date(year, month + 1, min(self.local_anchor.day, monthrange(year, month + 1)[1]))

    def boundary(self, number: int) -> datetime:
        if number == 0 and self.anchor_is_origin:
            return self.anchor
        return _instant(datetime.combine(self.date_of(number), self.local_anchor.time().replace(fold=0)), self.zone)

    def number_at(self, moment: datetime) -> int:
        """The last boundary at or before `moment`. The guess by month is off by one at most, before its day."""
        number = (_month_number(moment.astimezone(self.zone).date()) - self.origin_month) // self.step
        if self.boundary(number) > moment:
            return number - 1
        # Clocks that skip a day over a month's end can show the old month after its successor's boundary.
        return number + 1 if self.boundary(number + 1) <= moment else number

    def period_of(self, moment: datetime) -> Period:
        number = self.number_at(moment)
        return Period(self.boundary(number), self.boundary(number + 1))

    def period_from(self, begins: datetime, moment: datetime) -> Period:
        """As `period_of`, but no period reaches back beyond `begins`, and the first one ends at boundary 1 or later."""
        first_end = max(1, self.number_at(begins) + 1)
        number = self.number_at(moment)
        if number < first_end:
            return Period(begins, self.boundary(first_end))
        return Period(self.boundary(number), self.boundary(number + 1))

    def nominal_date(self, boundary: datetime) -> date:
        """The date by which the clock names that boundary; the zone may read another one when the day was skipped."""
        return self.date_of(self.number_at(boundary))


def _month_number(day: date) -> int:
    return day.year * 12 + day.month - 1


def _instant(wall: datetime, zone: ZoneInfo) -> datetime:
    # fold=0 is exactly the wanted rule: a repeated time is its first occurrence, and a skipped one is read with the
    # offset that held before the jump, which lands after the jump by as much as was skipped.
    return wall.replace(tzinfo=zone).astimezone(UTC)


def _reads(wall: datetime, zone: ZoneInfo) -> bool:
    """Clocks in `zone` show that day and time at some instant."""
    return _instant(wall, zone).astimezone(zone).replace(tzinfo=None) == wall


def _anchor_in(zone: ZoneInfo, wall: datetime) -> datetime:
    """An instant at which `zone` reads the anchor's day of the month and time: the anchor's own date where possible.

    When the zone skipped that very moment, the instant after the jump would read another time for ever; a later month
    that has both is as good an anchor, because only day and time are ever taken from it.
    """
    for months in range(48):
        year, month = divmod(_month_number(wall.date()) + months, 12)
        if year <= 9999 and monthrange(year, month + 1)[1] >= wall.day:
            candidate = wall.replace(year=year, month=month + 1)
            if _reads(candidate, zone):
                return _instant(candidate, zone)
    return _instant(wall, zone)


def _is_skipped(day: date, zone: ZoneInfo) -> bool:
    """No instant shows that day: both its ends lie in the same jump."""
    ends = (datetime.combine(day, time.min), datetime.combine(day, time.max))
    return not any(_reads(wall, zone) for wall in ends)
