"""Seats: the day's highest level, carried on between reports (spec 2.2)."""

import os
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage.periods import Period, local_day, local_days
from usage.seats import SeatDay, SeatReport, days_from_reports, seat_days, seats_per_day

EXAMPLES = settings(max_examples=int(os.environ.get("HEADROOM_EXAMPLES", "200")), deadline=None)
ZONE = "Europe/Berlin"


def report(at: datetime, level: int, *, received: int = 0) -> SeatReport:
    return SeatReport(
        at=at, received_at=datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=received), level=Decimal(level)
    )


def berlin(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(ZONE))


def days(*reports: SeatReport, carried_in: int = 0) -> list[SeatDay]:
    return days_from_reports(reports, carried_in=Decimal(carried_in), zone=ZONE)


def test_a_day_counts_the_highest_level_held_on_it():
    found = days(report(berlin(2024, 3, 4, 9), 5), report(berlin(2024, 3, 4, 12), 8), report(berlin(2024, 3, 4, 15), 6))
    assert found == [SeatDay(date(2024, 3, 4), highest=Decimal(8), closing=Decimal(6))]


def test_the_level_carried_into_a_day_was_held_on_it():
    assert days(report(berlin(2024, 3, 4, 9), 2), carried_in=7)[0].highest == 7


def test_a_report_at_the_days_first_instant_leaves_nothing_of_the_level_before():
    assert days(report(berlin(2024, 3, 4), 2), carried_in=7) == [SeatDay(date(2024, 3, 4), Decimal(2), Decimal(2))]


def test_of_two_reports_of_one_instant_the_later_received_counts_alone():
    at = berlin(2024, 3, 4, 9)
    assert days(report(at, 9, received=1), report(at, 3, received=2))[0] == SeatDay(
        date(2024, 3, 4), highest=Decimal(3), closing=Decimal(3)
    )
    assert days(report(at, 3, received=2), report(at, 9, received=1))[0].highest == 3
    # The same instant written in another zone is the same instant.
    assert days(report(at.astimezone(UTC), 9, received=1), report(at, 3, received=2))[0].highest == 3


def test_days_without_report_carry_the_last_level_on_also_over_a_periods_start():
    rows = days(report(berlin(2024, 3, 4, 9), 5), report(berlin(2024, 3, 6, 9), 1), carried_in=2)
    march = [date(2024, 3, day) for day in range(1, 9)]
    assert seats_per_day(march, rows=rows, carried_in=Decimal(2)) == [2, 2, 2, 5, 5, 5, 1, 1]


def test_before_the_first_report_nobody_is_counted():
    assert seats_per_day([date(2024, 3, 1)], rows=[], carried_in=Decimal(0)) == [0]


def test_the_ledger_counts_seat_days():
    assert seat_days([Decimal(2), Decimal(2), Decimal(5)]) == 9
    assert seat_days([]) == 0


def test_a_negative_level_or_a_time_without_zone_is_refused():
    with pytest.raises(ValueError, match="level must be at least 0"):
        report(berlin(2024, 3, 4), -1)
    with pytest.raises(ValueError, match="at must be a datetime with a time zone"):
        report(datetime(2024, 3, 4), 1)  # noqa: DTZ001


START = datetime(2024, 10, 25, tzinfo=UTC)
reports = st.lists(
    st.builds(
        lambda hours, level, received: report(START + timedelta(hours=hours), level, received=received),
        st.integers(0, 24 * 6),
        st.integers(0, 9),
        st.integers(0, 99),
    ),
    max_size=12,
    unique_by=lambda report: (report.at, report.received_at),
)


@EXAMPLES
@given(reports=reports, zone=st.sampled_from([ZONE, "UTC", "Asia/Kathmandu", "America/St_Johns"]))
def test_a_day_is_the_maximum_of_the_level_over_its_quarters_of_an_hour(reports, zone):
    period = Period(START, START + timedelta(days=8))
    in_force = {r.at: r.level for r in sorted(reports, key=lambda r: (r.at, r.received_at))}
    expected: dict[date, Decimal] = {}
    level, moment = Decimal(0), period.starts_at
    while moment < period.ends_at:
        level = in_force.get(moment, level)
        day = local_day(moment, zone)
        expected[day] = max(expected.get(day, Decimal(0)), level)
        moment += timedelta(minutes=15)

    rows = days_from_reports(reports, carried_in=Decimal(0), zone=zone)
    found = seats_per_day(local_days(period, zone), rows=rows, carried_in=Decimal(0))

    assert dict(zip(local_days(period, zone), found, strict=True)) == expected


@EXAMPLES
@given(reports=reports, late=reports)
def test_rows_follow_from_the_row_before_so_a_late_report_touches_none_beyond_the_next_reported_day(reports, late):
    everything = sorted([*reports, *late[:1]], key=lambda r: r.at)
    rows = days(*everything)
    for index, row in enumerate(rows):
        of_the_day = [r for r in everything if local_day(r.at, ZONE) == row.day]
        before = rows[index - 1].closing if index else Decimal(0)
        assert days_from_reports(of_the_day, carried_in=before, zone=ZONE) == [row]
