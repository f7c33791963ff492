"""Level metrics: what a day counts when usage is "so many held from now on", not events to add up (spec 2.2, 5.4).

A report says how many seats are held from its time on. The number of a local day is the highest held on it; the level
that was running when the day began was held too, unless a report at that very instant replaced it. Days without report
carry the last level on, over a period's start as well; before the first report the level is 0.

Only reported days are kept as rows (`SeatDay`). A late or voided report therefore changes the rows from its day up to
and including the next reported day, and no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import groupby
from typing import Final

from usage.periods import as_utc, day_starts_at, local_day

NONE_HELD: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class SeatReport:
    """`level` seats are held from `at` on. Of two reports with the same `at` the later received one counts alone.

    Aware datetimes. Reports received at one instant keep the order in which they are given.
    """

    at: datetime
    received_at: datetime
    level: Decimal

    def __post_init__(self) -> None:
        as_utc(self.at, "at")
        as_utc(self.received_at, "received_at")
        if self.level < 0:
            raise ValueError(f"level must be at least 0, not {self.level}")


@dataclass(frozen=True, slots=True)
class SeatDay:
    """A reported local day: the highest level held on it, and the level held when it ended."""

    day: date
    highest: Decimal
    closing: Decimal


def days_from_reports(reports: Iterable[SeatReport], *, carried_in: Decimal, zone: str) -> list[SeatDay]:
    """The rows of the reported days, in order (spec 2.2).

    `carried_in` is the closing level of the last reported day before the first report here (0 when there is none);
    every report between the first and the last must be given. Days are those of `zone`. ValueError for an unknown zone.
    """
    # sorted() is stable: equal times of arrival keep the order given, so the last one given wins.
    ordered = sorted(reports, key=lambda report: (local_day(report.at, zone), report.at, report.received_at))
    level = carried_in
    rows = []
    for day, group in groupby(ordered, key=lambda report: local_day(report.at, zone)):
        # A later report of the same instant replaces the earlier one, which was then held for no time at all.
        levels = {as_utc(report.at, "at"): report.level for report in group}
        held = list(levels.values())
        if min(levels) > day_starts_at(day, zone):
            held.append(level)
        level = levels[max(levels)]
        rows.append(SeatDay(day=day, highest=max(held), closing=level))
    return rows


def seats_per_day(days: Sequence[date], *, rows: Iterable[SeatDay], carried_in: Decimal) -> list[Decimal]:
    """What each of `days` (ascending, as from `periods.local_days`) counts: its row, or the level carried on.

    `rows` are the reported days among them; rows of other days are ignored. `carried_in` is the closing level of the
    last reported day before the first of `days`.
    """
    reported = {row.day: row for row in rows}
    level = carried_in
    counts = []
    for day in days:
        row = reported.get(day)
        counts.append(level if row is None else row.highest)
        level = level if row is None else row.closing
    return counts


def seat_days(counts: Iterable[Decimal]) -> Decimal:
    """The quantity that the ledger bills: seat-days, the sum over the days (spec 2.2, 5.10)."""
    return sum(counts, start=NONE_HELD)
