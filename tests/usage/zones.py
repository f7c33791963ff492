"""Zones, instants and walls to try periods with, and an oracle for the instant of a wall clock's reading.

HEADROOM_EXAMPLES=10000 runs the properties longer.
"""

# ruff: noqa: DTZ001  (walls without a zone are what the oracle is about)

import os
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import settings
from hypothesis import strategies as st

from usage.periods import INTERVALS

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
