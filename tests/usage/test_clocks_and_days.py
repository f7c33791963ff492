"""Where a clock begins, how it is changed, and which local days a period has (spec 2.10)."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from tests.usage.zones import EXAMPLES, ZONES, instants, intervals, local, oracle_instant, utc, walls, zones
from usage.periods import (
    MONTHS,
    Period,
    change_of_clock,
    day_starts_at,
    days_of,
    local_day,
    local_days,
    period_at,
)

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
    assert period_at(at=first.ends_at, **clock) == Period(utc(2024, 3, 31), utc(2024, 4, 30))


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
    assert period_at(at=first.ends_at, **new).starts_at == first.ends_at
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
