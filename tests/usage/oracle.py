"""What usage should come to, in plain Python without a database: the judge of the state machine (spec 2, 4.8, 9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from usage.periods import Period, period_at

ZONE = "America/New_York"
ANCHOR = datetime(2026, 1, 31, 0, tzinfo=ZoneInfo(ZONE))
UNIT_SIZE = {"phone": 60}

Line = tuple[str, str, datetime]  # workspace, metric, start of the period


def period_of(at: datetime) -> Period:
    return period_at(anchor=ANCHOR, zone=ZONE, interval="month", at=at, starts_at=ANCHOR)


def stored(metric: str, shown: Decimal) -> Decimal:
    return shown * UNIT_SIZE.get(metric, 1)


@dataclass
class Event:
    content: object
    line: Line
    day: date
    changes: list[tuple[Decimal, datetime]]
    is_void: bool = False

    @property
    def quantity(self) -> Decimal:
        return sum((change for change, _ in self.changes), Decimal(0))


@dataclass
class Kept:
    line: Line
    quantity: Decimal
    made_at: datetime
    expires_at: datetime
    state: str = "open"
    settled: Decimal = Decimal(0)


@dataclass
class Oracle:
    events: dict[tuple[str, str], Event] = field(default_factory=dict)
    kept: dict[str, Kept] = field(default_factory=dict)
    limits: dict[tuple[str, str], dict[datetime, Decimal | None]] = field(default_factory=dict)
    touched: set[Line] = field(default_factory=set)  # lines of which a total stands

    # --- What there is --------------------------------------------------------------------------------------------

    def used(self, line: Line) -> Decimal:
        return sum((event.quantity for event in self.events.values() if event.line == line), Decimal(0))

    def used_in_time(self, line: Line) -> Decimal:
        ends_at = period_of(line[2]).ends_at
        changes = [change for event in self.events.values() if event.line == line for change in event.changes]
        return sum((quantity for quantity, received in changes if received < ends_at), Decimal(0))

    def held(self, line: Line) -> Decimal:
        open_ones = (kept.quantity for kept in self.kept.values() if kept.line == line and kept.state == "open")
        return sum(open_ones, Decimal(0))

    def limit(self, line: Line) -> Decimal | None:
        rows = self.limits.get(line[:2], {})
        before = [start for start in rows if start <= line[2]]
        return rows[max(before)] if before else None

    def remaining(self, line: Line) -> Decimal | None:
        limit = self.limit(line)
        if limit is None:
            return None
        return max(Decimal(0), limit - self.used(line) - self.held(line)) / UNIT_SIZE.get(line[1], 1)

    def totals(self) -> dict[Line, tuple[Decimal, Decimal, Decimal, Decimal | None]]:
        return {
            line: (self.used(line), self.used_in_time(line), self.held(line), self.limit(line)) for line in self.touched
        }

    def days(self) -> dict[tuple[Line, date], Decimal]:
        sums: dict[tuple[Line, date], Decimal] = {}
        for event in self.events.values():
            if event.line[1] != "seats":
                place = (event.line, event.day)
                sums[place] = sums.get(place, Decimal(0)) + event.quantity
        return sums

    # --- What happens ---------------------------------------------------------------------------------------------

    def ingest(
        self, source: str, id_: str, workspace: str, metric: str, quantity: Decimal, at: datetime, now: datetime
    ) -> str:
        content = (workspace, metric, quantity, at)
        known = self.events.get((source, id_))
        if known is not None:
            return "duplicate" if known.content == content else "id_reused"
        self._add(source, id_, content, (workspace, metric, period_of(at).starts_at), quantity, at, now)
        return "accepted"

    def consume(self, id_: str, workspace: str, metric: str, quantity: Decimal, now: datetime) -> str:
        line = (workspace, metric, period_of(now).starts_at)
        known = self.events.get(("headroom:consume", id_))
        if known is not None:
            return "duplicate" if known.content == (workspace, metric, quantity) else "conflict"
        reason = self._fits(line, quantity, now)
        if reason != "limit_reached":
            self._add("headroom:consume", id_, (workspace, metric, quantity), line, quantity, now, now)
        return reason

    def reserve(self, id_: str, workspace: str, metric: str, quantity: Decimal, seconds: int, now: datetime) -> str:
        line = (workspace, metric, period_of(now).starts_at)
        known = self.kept.get(id_)
        if known is not None:
            same = known.line[:2] == line[:2] and known.quantity == quantity
            return "duplicate" if same else "conflict"
        reason = self._fits(line, quantity, now)
        if reason != "limit_reached":
            self.kept[id_] = Kept(line, quantity, now, now + timedelta(seconds=seconds))
            self.touched.add(line)
        return reason

    def settle(self, id_: str, workspace: str, quantity: Decimal, now: datetime) -> str:
        known = self.kept.get(id_)
        if known is None or known.line[0] != workspace:
            return "unknown"
        if known.state in ("settled", "released"):
            return "settled" if known.settled == quantity else "conflict"
        known.state = "settled" if quantity else "released"
        known.settled = quantity
        if quantity:
            self._add("headroom:reservation", id_, None, known.line, quantity, known.made_at, now)
        return "settled"

    def correct(self, source: str, id_: str, quantity: Decimal | None, now: datetime) -> str:
        event = self.events.get((source, id_))
        if event is None:
            return "unknown"
        if event.is_void:
            return "conflict" if quantity is not None else "corrected"
        change = (quantity or Decimal(0)) - event.quantity
        if quantity is None or change:
            event.changes.append((change, now))
        event.is_void = quantity is None
        return "corrected"

    def write_limit(self, workspace: str, metric: str, from_period: datetime, quantity: Decimal | None) -> None:
        rows = self.limits.setdefault((workspace, metric), {})
        for start in [start for start in rows if start > from_period]:
            del rows[start]
        rows[from_period] = quantity

    def _fits(self, line: Line, quantity: Decimal, now: datetime) -> str:
        limit = self.limit(line)
        if limit is None:
            return "no_limit"
        if self.used(line) + self.held(line) + quantity <= limit:
            return "granted"
        for kept in self._expired(line, now):
            kept.state = "expired"
        return "granted" if self.used(line) + self.held(line) + quantity <= limit else "limit_reached"

    def _expired(self, line: Line, now: datetime) -> Iterator[Kept]:
        return (
            kept for kept in self.kept.values() if (kept.line, kept.state) == (line, "open") and kept.expires_at <= now
        )

    def _add(
        self, source: str, id_: str, content: object, line: Line, quantity: Decimal, at: datetime, now: datetime
    ) -> None:
        day = at.astimezone(ZoneInfo(ZONE)).date()
        self.events[source, id_] = Event(content, line, day, [(quantity, now)])
        if line[1] != "seats":
            self.touched.add(line)
