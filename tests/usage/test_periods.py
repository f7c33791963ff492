"""Periods against oracles that share no code with them: dateutil for dates, a search through the offsets for instants.

HEADROOM_EXAMPLES=10000 runs the properties longer.
"""

# ruff: noqa: DTZ001  (walls without a zone are what these tests are about)

import os
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given, settings
from hypothesis import strategies as st

from usage.periods import (
    INTERVALS,
    MONTHS,
    Period,
    change_of_clock,
    day_starts_at,
    days_of,
    local_day,
    local_days,
    next_period,
    period_at,
)

EXAMPLES = settings(max_examples=int(os.environ.get("HEADROOM_EXAMPLES", "200")), deadline=None)
NOT_PLACES = ("localtime", "posixrules", "Factory")
ZONES = sorted(
    zone for zone in available_timezones() if zone not in NOT_PLACES and not zone.startswith(("posix/", "right/"))
)
# Where the rules are unusual: half-hour summer time, clock changes at midnight, days that never were.
ODD_ZONES = [
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Pacific/Kiritimati",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "America/Nuuk",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Antarctica/Troll",
    "Europe/Dublin",
]

zones = st.one_of(st.sampled_from(ZONES), st.sampled_from(ODD_ZONES))
instants = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2040, 12, 31), timezones=st.just(UTC))
intervals = st.sampled_from(INTERVALS)
walls = st.one_of(
    st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2040, 12, 31)),
    # The days and hours at which things go wrong.
    st.builds(
        lambda month, day, minute: datetime(*month, 1) + timedelta(days=day - 1, minutes=minute),
        st.tuples(st.integers(1990, 2040), st.sampled_from([1, 3, 5, 7, 8, 10, 12])),
        st.integers(28, 31),
        st.sampled_from([0, 1, 30, 60, 119, 120, 150, 180, 1380, 1439]),
    ),
)


def oracle_instant(wall: datetime, zone: str) -> datetime:
    """The first instant at which the zone reads `wall`; when there is none, as far after the jump as `wall` is after
    its beginning. Found by trying every offset that the zone has nearby."""
    tz = ZoneInfo(zone)
    around = [wall.replace(tzinfo=UTC) + timedelta(hours=hours) for hours in range(-50, 51)]
    offsets = dict.fromkeys(at.astimezone(tz).utcoffset() for at in around)
    candidates = [(wall - offset).replace(tzinfo=UTC) for offset in offsets]
    exact = [at for at in candidates if at.astimezone(tz).replace(tzinfo=None) == wall]
    if exact:
        return min(exact)
    # In a jump forward the reading by the offset before it is the later instant.
    before = min(offsets)
    jumps = [(x, y) for x, y in pairwise(offsets) if y > x]
    if len(jumps) == 1:
        before = jumps[0][0]
    return (wall - before).replace(tzinfo=UTC)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def local(zone: str, *parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone))


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
    after = next_period(period, **clock)
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
            following = next_period(period, **clock)
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
    assert next_period(period, **clock).ends_at == local(zone, 2024, 4, 10, 2, 30)


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
    assert next_period(period, **clock).starts_at == local(zone, *boundary)


# --- where a clock begins -------------------------------------------------------------------------------------------


def test_without_a_beginning_periods_run_backwards_from_the_anchor():
    clock = {"anchor": utc(2024, 5, 31), "zone": "UTC", "interval": "month"}
    assert period_at(**clock, at=utc(2024, 2, 15)) == Period(utc(2024, 1, 31), utc(2024, 2, 29))


def test_an_instant_before_a_clocks_beginning_is_refused():
    with pytest.raises(ValueError, match=r"at 2024-05-01.* before the first period, .* 2024-05-31"):
        period_at(anchor=utc(2024, 5, 31), zone="UTC", interval="month", at=utc(2024, 5, 1), starts_at=utc(2024, 5, 31))


def test_the_first_period_begins_exactly_where_told_and_ends_on_the_first_boundary():
    clock = {
        "anchor": utc(2023, 10, 31),
        "zone": "UTC",
        "interval": "month",
        "starts_at": utc(2024, 2, 28, 13),
        "starts_on": date(2024, 2, 29),
    }
    first = period_at(**clock, at=utc(2024, 2, 28, 13))
    assert first == Period(utc(2024, 2, 28, 13), utc(2024, 3, 31))
    assert next_period(first, **clock) == Period(utc(2024, 3, 31), utc(2024, 4, 30))


def test_a_beginning_later_than_the_first_boundary_ends_on_the_next_boundary():
    clock = {"anchor": utc(2023, 1, 15), "zone": "UTC", "interval": "quarter", "starts_at": utc(2024, 5, 1)}
    assert period_at(**clock, at=utc(2024, 5, 2)) == Period(utc(2024, 5, 1), utc(2024, 7, 15))
    assert period_at(**clock, at=utc(2024, 7, 15)) == Period(utc(2024, 7, 15), utc(2024, 10, 15))


def test_a_move_across_the_date_line_makes_no_period_of_hours():
    auckland = {"anchor": local("Pacific/Auckland", 2024, 1, 1), "zone": "Pacific/Auckland", "interval": "month"}
    change = change_of_clock(**auckland, at=utc(2024, 2, 10), new_zone="America/Los_Angeles")

    assert change.starts_at == local("Pacific/Auckland", 2024, 3, 1)
    assert change.starts_on == date(2024, 3, 1)  # although Los Angeles reads 29 February
    assert change.anchor == local("America/Los_Angeles", 2024, 1, 1)
    first = period_at(
        anchor=change.anchor,
        zone="America/Los_Angeles",
        interval="month",
        at=change.starts_at,
        starts_at=change.starts_at,
        starts_on=change.starts_on,
    )
    assert first == Period(change.starts_at, local("America/Los_Angeles", 2024, 4, 1))


def test_a_change_of_interval_keeps_the_anchors_day_of_the_month():
    monthly = {"anchor": utc(2023, 8, 31), "zone": "UTC", "interval": "month"}
    change = change_of_clock(**monthly, at=utc(2024, 2, 10), new_zone="UTC")
    assert (change.starts_at, change.starts_on) == (utc(2024, 2, 29), date(2024, 2, 29))
    first = period_at(
        anchor=change.anchor,
        zone="UTC",
        interval="quarter",
        at=change.starts_at,
        starts_at=change.starts_at,
        starts_on=change.starts_on,
    )
    assert first == Period(utc(2024, 2, 29), utc(2024, 5, 31))


@EXAMPLES
@given(wall=walls, zone=zones, new_zone=zones, interval=intervals, new_interval=intervals, at=instants)
def test_a_new_clock_joins_the_old_one_without_gap_overlap_or_stub(wall, zone, new_zone, interval, new_interval, at):
    old = {"anchor": oracle_instant(wall, zone), "zone": zone, "interval": interval}
    running = period_at(**old, at=at)
    change = change_of_clock(**old, at=at, new_zone=new_zone)
    new = {
        "anchor": change.anchor,
        "zone": new_zone,
        "interval": new_interval,
        "starts_at": change.starts_at,
        "starts_on": change.starts_on,
    }

    first = period_at(**new, at=change.starts_at)

    assert first.starts_at == change.starts_at == running.ends_at
    whole = relativedelta(months=MONTHS[new_interval])
    drift = first.ends_at - (first.starts_at + whole)
    assert abs(drift) <= timedelta(days=3, hours=30)  # 31st to 28th, and the zones' difference
    assert next_period(first, **new).starts_at == first.ends_at
    kept = old["anchor"].astimezone(ZoneInfo(zone))
    read = change.anchor.astimezone(ZoneInfo(new_zone))
    assert (read.day, read.time()) == (kept.day, kept.time())


def test_a_clock_can_change_again():
    first = {"anchor": local("Europe/Berlin", 2024, 1, 31), "zone": "Europe/Berlin", "interval": "month"}
    once = change_of_clock(**first, at=utc(2024, 2, 10), new_zone="Asia/Tokyo")
    second = {"anchor": once.anchor, "zone": "Asia/Tokyo", "interval": "month"}
    twice = change_of_clock(
        **second, at=utc(2024, 3, 10), starts_at=once.starts_at, starts_on=once.starts_on, new_zone="Europe/Berlin"
    )
    assert twice.starts_on == date(2024, 3, 31)
    assert twice.starts_at == local("Asia/Tokyo", 2024, 3, 31)
    assert twice.anchor == first["anchor"]


def test_an_anchor_time_that_the_new_zone_skipped_on_its_date_is_kept_all_the_same():
    # 10 March 2024, 02:30, does not exist in New York.
    old = {"anchor": utc(2024, 3, 10, 2, 30), "zone": "UTC", "interval": "month"}
    change = change_of_clock(**old, at=utc(2024, 4, 1), new_zone="America/New_York")
    read = change.anchor.astimezone(ZoneInfo("America/New_York"))
    assert (read.day, read.hour, read.minute) == (10, 2, 30)


# --- local days -----------------------------------------------------------------------------------------------------


def test_days_of_a_month_are_its_calendar_days_whatever_its_clock_changes():
    zone = "Europe/Berlin"
    period = Period(local(zone, 2024, 3, 1), local(zone, 2024, 4, 1))
    assert days_of(period, zone) == (date(2024, 3, 1), date(2024, 3, 31), 31)


def test_days_that_a_zone_skipped_are_not_counted():
    zone = "Pacific/Apia"
    period = Period(local(zone, 2011, 12, 1), local(zone, 2012, 1, 1))
    assert days_of(period, zone).number == 30
    assert date(2011, 12, 30) not in local_days(period, zone)


def test_with_an_anchor_during_the_day_both_periods_touch_the_days_of_their_boundaries():
    period = Period(utc(2024, 1, 15, 12), utc(2024, 2, 15, 12))
    assert days_of(period, "UTC") == (date(2024, 1, 15), date(2024, 2, 15), 32)


@EXAMPLES
@given(zone=zones, at=instants, days=st.integers(1, 400))
def test_local_days_are_those_that_the_clocks_show(zone, at, days):
    period = Period(at, at + timedelta(days=days))
    seen = set()
    moment = at
    while moment < period.ends_at:
        seen.add(local_day(moment, zone))
        moment += timedelta(hours=12)
    seen.add(local_day(period.ends_at - timedelta(microseconds=1), zone))

    found = local_days(period, zone)

    assert list(found) == sorted(set(found))
    assert seen <= set(found)
    # Twelve hours' steps see every whole day; only the two at the ends can be shorter than a step.
    assert set(found) - seen <= {found[0], found[-1]}


@EXAMPLES
@given(zone=zones, day=st.dates(min_value=date(1990, 1, 1), max_value=date(2040, 12, 31)))
def test_a_day_starts_at_the_first_instant_that_shows_it(zone, day):
    start = day_starts_at(day, zone)
    shown = local_day(start, zone)
    assert local_day(start - timedelta(microseconds=1), zone) < day
    assert shown == day or (shown == day + timedelta(days=1) and zone in {*SKIPPED_DAYS})


SKIPPED_DAYS = {zone for zone in ZONES if zone.startswith(("Pacific/", "Kwajalein", "US/Samoa"))}


def test_a_day_whose_midnight_was_skipped_starts_at_the_jump():
    # Cairo: clocks went from midnight to one o'clock.
    assert day_starts_at(date(2023, 4, 28), "Africa/Cairo") == utc(2023, 4, 27, 22)
    # Toronto 1919: from half past eleven in the evening to half past midnight.
    assert day_starts_at(date(1919, 3, 31), "America/Toronto") == utc(1919, 3, 31, 4, 30)


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
