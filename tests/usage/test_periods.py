"""Periods against oracles that share no code with them: dateutil for dates, a search of the offsets for instants."""

# ruff: noqa: DTZ001  (walls without a zone are what these tests are about)

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from tests.usage.zones import EXAMPLES, ZONES, instants, intervals, local, oracle_instant, utc, walls, zones
from usage.periods import MONTHS, Period, period_at

# --- the rule, against the oracle -----------------------------------------------------------------------------------


@EXAMPLES
@given(wall=walls, zone=zones, interval=intervals, number=st.integers(-60, 300))
def test_boundaries_are_the_anchor_plus_whole_intervals_at_its_day_and_time(wall, zone, interval, number):
    anchor = oracle_instant(wall, zone)
    kept = anchor.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
    number = number if interval == "month" else number // MONTHS[interval]
    expected = [
        oracle_instant(kept + relativedelta(months=MONTHS[interval] * k), zone) if k else anchor
        for k in (number, number + 1)
    ]

    found = period_at(anchor=anchor, zone=zone, interval=interval, at=expected[0])

    assert (found.starts_at, found.ends_at) == tuple(expected)


@EXAMPLES
@given(wall=walls, zone=zones, interval=intervals, at=instants)
def test_every_instant_belongs_to_exactly_one_period_and_periods_tile(wall, zone, interval, at):
    clock = {"anchor": oracle_instant(wall, zone), "zone": zone, "interval": interval}
    period = period_at(**clock, at=at)

    assert at in period
    assert period_at(**clock, at=period.starts_at) == period
    assert period_at(**clock, at=period.ends_at - timedelta(microseconds=1)) == period
    after = period_at(at=period.ends_at, **clock)
    assert after.starts_at == period.ends_at
    before = period_at(**clock, at=period.starts_at - timedelta(microseconds=1))
    assert before.ends_at == period.starts_at
    shortest = timedelta(days=28 * MONTHS[interval]) - timedelta(hours=26)
    assert period.ends_at - period.starts_at >= shortest


def test_periods_tile_in_every_zone_from_1990_to_2040():
    for index, zone in enumerate(ZONES):
        wall = datetime(1990, 1 + index % 12, 1) + timedelta(days=index % 31, minutes=(index * 37) % 1440)
        clock = {"anchor": oracle_instant(wall, zone), "zone": zone, "interval": "half_year"}
        period = period_at(**clock, at=utc(1990, 1, 1))
        count = 0
        while period.starts_at < utc(2040, 1, 1):
            following = period_at(at=period.ends_at, **clock)
            assert following.starts_at == period.ends_at
            period, count = following, count + 1
        assert count in (100, 101)


@EXAMPLES
@given(wall=walls, zone=zones, interval=intervals, at=instants)
def test_the_answer_does_not_depend_on_the_zone_in_which_instants_are_written(wall, zone, interval, at):
    anchor = oracle_instant(wall, zone)
    elsewhere = period_at(
        anchor=anchor.astimezone(ZoneInfo(zone)), zone=zone, interval=interval, at=at.astimezone(ZoneInfo("Asia/Tokyo"))
    )

    assert elsewhere == period_at(anchor=anchor, zone=zone, interval=interval, at=at)
    assert elsewhere.starts_at.tzinfo is UTC
    assert elsewhere.ends_at.tzinfo is UTC


# --- the rule, by example -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("at", "first", "last"),
    [
        (utc(2023, 2, 10), (2023, 1, 31), (2023, 2, 28)),
        (utc(2023, 2, 28), (2023, 2, 28), (2023, 3, 31)),
        (utc(2024, 2, 28), (2024, 1, 31), (2024, 2, 29)),
        (utc(2024, 3, 1), (2024, 2, 29), (2024, 3, 31)),
        (utc(2024, 4, 1), (2024, 3, 31), (2024, 4, 30)),
        (utc(2022, 12, 30), (2022, 11, 30), (2022, 12, 31)),
    ],
)
def test_an_anchor_on_the_31st_falls_on_the_last_day_of_shorter_months_and_returns(at, first, last):
    assert period_at(anchor=utc(2023, 1, 31), zone="UTC", interval="month", at=at) == Period(utc(*first), utc(*last))


def test_a_leap_day_is_kept_by_yearly_periods():
    clock = {"anchor": utc(2024, 2, 29), "zone": "UTC", "interval": "year"}
    assert period_at(**clock, at=utc(2025, 6, 1)) == Period(utc(2025, 2, 28), utc(2026, 2, 28))
    assert period_at(**clock, at=utc(2028, 6, 1)) == Period(utc(2028, 2, 29), utc(2029, 2, 28))


@pytest.mark.parametrize(
    ("interval", "ends"), [("month", (1, 31)), ("quarter", (3, 31)), ("half_year", (6, 30)), ("year", (12, 31))]
)
def test_the_interval_says_how_many_months_a_period_has(interval, ends):
    period = period_at(anchor=utc(2023, 12, 31), zone="UTC", interval=interval, at=utc(2024, 1, 1))
    assert period.ends_at == utc(2024, *ends)


def test_a_boundary_keeps_the_time_on_the_wall_across_a_clock_change():
    zone = "America/New_York"
    clock = {"anchor": local(zone, 2024, 2, 15), "zone": zone, "interval": "month"}
    period = period_at(**clock, at=utc(2024, 3, 1))
    assert period == Period(utc(2024, 2, 15, 5), utc(2024, 3, 15, 4))
    assert period.ends_at - period.starts_at == timedelta(days=29) - timedelta(hours=1)


def test_a_boundary_in_a_skipped_hour_moves_forward_and_the_next_one_is_back_at_its_time():
    zone = "America/New_York"
    clock = {"anchor": local(zone, 2024, 2, 10, 2, 30), "zone": zone, "interval": "month"}
    period = period_at(**clock, at=local(zone, 2024, 3, 1))
    assert period.ends_at == local(zone, 2024, 3, 10, 3, 30)
    assert period_at(at=period.ends_at, **clock).ends_at == local(zone, 2024, 4, 10, 2, 30)


def test_a_boundary_in_a_repeated_hour_is_its_first_occurrence():
    zone = "America/New_York"
    period = period_at(anchor=local(zone, 2024, 10, 3, 1, 30), zone=zone, interval="month", at=utc(2024, 10, 10))
    assert period.ends_at == utc(2024, 11, 3, 5, 30)


def test_an_anchor_in_the_second_of_two_equal_hours_begins_its_period_there():
    zone = "America/New_York"
    second = utc(2024, 11, 3, 6, 30)
    clock = {"anchor": second, "zone": zone, "interval": "month"}
    assert period_at(**clock, at=second).starts_at == second
    assert period_at(**clock, at=second - timedelta(minutes=30)).ends_at == second


@pytest.mark.parametrize(
    ("zone", "anchor", "at", "boundary"),
    [
        # Samoa went from 29 December 2011 to the 31st; Kwajalein from 20 August 1993 to the 22nd.
        ("Pacific/Apia", (2011, 11, 30), (2011, 12, 15), (2011, 12, 31)),
        ("Pacific/Kwajalein", (1993, 7, 21), (1993, 8, 1), (1993, 8, 22)),
    ],
)
def test_a_boundary_on_a_day_that_never_was_is_the_beginning_of_the_next(zone, anchor, at, boundary):
    clock = {"anchor": local(zone, *anchor), "zone": zone, "interval": "month"}
    period = period_at(**clock, at=local(zone, *at))
    assert period.ends_at == local(zone, *boundary)
    assert period_at(at=period.ends_at, **clock).starts_at == local(zone, *boundary)


def test_a_zone_may_be_named_or_given():
    clock = {"anchor": utc(2026, 1, 31), "interval": "month", "at": utc(2026, 3, 5)}
    assert period_at(zone=ZoneInfo("Europe/Dublin"), **clock) == period_at(zone="Europe/Dublin", **clock)


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["", "Mars/Base", "Europe", "../etc/passwd", "/etc/localtime", "UTC\0", None, 7])
def test_an_unknown_zone_is_named(zone):
    with pytest.raises(ValueError, match=r"zone .* is not an IANA time zone"):
        period_at(anchor=utc(2024, 1, 1), zone=zone, interval="month", at=utc(2024, 1, 1))


@pytest.mark.parametrize("interval", ["", "week", "Month", None])
def test_an_unknown_interval_is_named(interval):
    with pytest.raises(ValueError, match=r"interval .* is none of month, quarter, half_year, year"):
        period_at(anchor=utc(2024, 1, 1), zone="UTC", interval=interval, at=utc(2024, 1, 1))


@pytest.mark.parametrize("name", ["anchor", "at", "starts_at"])
@pytest.mark.parametrize("value", [datetime(2024, 1, 1), date(2024, 1, 1), "2024-01-01"])
def test_a_time_without_zone_is_named(name, value):
    given = {"anchor": utc(2024, 1, 1), "at": utc(2024, 1, 1), "starts_at": utc(2024, 1, 1), name: value}
    with pytest.raises(ValueError, match=f"^{name} must be a datetime with a time zone"):
        period_at(**given, zone="UTC", interval="month")


def test_starts_on_must_be_a_date():
    with pytest.raises(ValueError, match="starts_on must be a date"):
        period_at(
            anchor=utc(2024, 1, 1), zone="UTC", interval="month", at=utc(2024, 1, 1), starts_on=datetime(2024, 1, 1)
        )


@pytest.mark.parametrize(
    "at",
    [
        utc(9999, 12, 31, 23),
        utc(1, 1, 1),
        datetime(1, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo")),
        datetime(9999, 12, 31, 23, tzinfo=ZoneInfo("America/New_York")),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "America/Los_Angeles"])
def test_the_ends_of_the_calendar_are_refused_not_crashed_into(at, zone):
    with pytest.raises(ValueError, match="leaves the calendar"):
        period_at(anchor=utc(2024, 1, 15), zone=zone, interval="month", at=at)


def test_a_period_is_never_empty_and_compares_by_instants():
    assert Period(utc(2024, 1, 1), utc(2024, 2, 1)) == Period(
        local("Asia/Tokyo", 2024, 1, 1, 9), local("Asia/Tokyo", 2024, 2, 1, 9)
    )
    with pytest.raises(ValueError, match="is empty"):
        Period(utc(2024, 1, 1), utc(2024, 1, 1))
    with pytest.raises(ValueError, match="starts_at must be a datetime with a time zone"):
        Period(datetime(2024, 1, 1), utc(2024, 1, 2))
