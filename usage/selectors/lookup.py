"""Lists of raw rows, a page at a time, the same cost at any depth (spec 5.10, 7.1): account first, never counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db import connection
from django.db.models import Model, Q, QuerySet

from usage.events import event_key
from usage.models import Reservation, UsageDay, UsageEvent, UsageTotal
from usage.services.corrections import corrections_of

# Where a list of events goes on: after the event received at that moment with that key.
EventCursor = tuple[datetime, UUID]


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event or a correcting row (`corrects` set) as it was stored; `quantity` in stored units."""

    key: UUID
    source: str
    event_id: str
    workspace_id: int
    metric_id: int
    period: datetime
    day: date
    quantity: Decimal
    occurred_at: datetime
    received_at: datetime
    corrects: UUID | None
    is_void: bool

    @property
    def cursor(self) -> EventCursor:
        return (self.received_at, self.key)

    @property
    def kind(self) -> str:
        """Event, void or amendment."""
        if self.corrects is None:
            return "event"
        return "void" if self.is_void else "amendment"


@dataclass(frozen=True, slots=True)
class Page[Item, Cursor]:
    """Items of one page and where the next one begins; None after the last."""

    items: list[Item]
    next: Cursor | None


_COLUMNS: Final = (
    "key, source, event_id, workspace_id, metric_id, period, day, quantity, occurred_at, received_at, corrects, is_void"
)

# For each workspace and period one walk along the index `event_line`, merged: no page sorts more than it shows.
_LINE: Final = f"""
SELECT e.* FROM unnest(%(workspaces)s::bigint[]) AS w(id)
 CROSS JOIN unnest(%(periods)s::timestamptz[]) AS p(starts_at)
 CROSS JOIN LATERAL (
        SELECT {_COLUMNS} FROM usage_usageevent
         WHERE account_id = %(account)s AND workspace_id = w.id AND metric_id = %(metric)s
           AND period = p.starts_at
           AND (%(after)s::timestamptz IS NULL OR received_at > %(after)s)
           AND (%(until)s::timestamptz IS NULL OR received_at <= %(until)s)
           AND (%(seen_at)s::timestamptz IS NULL OR (received_at, key) > (%(seen_at)s, %(seen_key)s::uuid))
         ORDER BY received_at, key LIMIT %(limit)s) AS e
 ORDER BY e.received_at, e.key LIMIT %(limit)s
"""  # noqa: S608 - fixed column names


def events_of_line(
    *,
    account_id: int,
    workspace_ids: Sequence[int],
    metric_id: int,
    period: datetime,
    received_after: datetime | None = None,
    received_until: datetime | None = None,
    earlier: Sequence[datetime] = (),
    cursor: EventCursor | None = None,
    limit: int = 100,
) -> Page[EventRow, EventCursor]:
    """The events behind a line: those of the period received in (`received_after`, `received_until`] (Data 5), in
    order of arrival, correcting rows among them; None leaves that side open. `earlier` are starts of further periods
    whose events count too: of levels, which reach into later periods."""
    with connection.cursor() as database:
        database.execute(
            _LINE,
            {
                "account": account_id,
                "workspaces": list(workspace_ids),
                "metric": metric_id,
                "periods": [period, *earlier],
                "after": received_after,
                "until": received_until,
                "seen_at": cursor[0] if cursor else None,
                "seen_key": cursor[1] if cursor else None,
                "limit": limit + 1,
            },
        )
        found = [EventRow(*row) for row in database.fetchall()]
    return Page(items=found[:limit], next=found[limit - 1].cursor if len(found) > limit else None)


def iterate_events(*, limit: int = 2000, **line: Any) -> Iterator[EventRow]:
    """All events of `events_of_line`, read a page at a time: memory does not grow with their number."""
    cursor: EventCursor | None = None
    while True:
        page = events_of_line(**line, cursor=cursor, limit=limit)
        yield from page.items
        if page.next is None:
            return
        cursor = page.next


def find_event(*, account_id: int, source: str, event_id: str) -> list[EventRow]:
    """The event with that identity and its corrections, in order; empty when there is none."""
    key = event_key(source, event_id)
    original = UsageEvent.objects.filter(account_id=account_id, key=key, corrects=None).first()
    if original is None:
        return []
    return [_event_row(row) for row in (original, *corrections_of(account_id=account_id, key=key))]


def list_totals(
    *, account_id: int, cursor: Sequence[Any] | None = None, limit: int = 100, **where: Any
) -> Page[UsageTotal, tuple[Any, ...]]:
    """Totals of an account in the order of their key; `where` narrows by workspace_id, metric_id or period."""
    rows = UsageTotal.objects.filter(account_id=account_id, **where)
    return _keyset(rows, ("workspace_id", "metric_id", "period"), cursor, limit)


def list_days(
    *, account_id: int, cursor: Sequence[Any] | None = None, limit: int = 100, **where: Any
) -> Page[UsageDay, tuple[Any, ...]]:
    """Days of an account in the order of their key; `where` as for totals, and day."""
    rows = UsageDay.objects.filter(account_id=account_id, **where)
    return _keyset(rows, ("workspace_id", "metric_id", "period", "day"), cursor, limit)


def list_reservations(
    *, account_id: int, cursor: Sequence[Any] | None = None, limit: int = 100, **where: Any
) -> Page[Reservation, tuple[Any, ...]]:
    """Reservations of an account in the order of their key; `where` narrows by workspace_id, metric_id, state …"""
    return _keyset(Reservation.objects.filter(account_id=account_id, **where), ("key",), cursor, limit)


def _keyset[Row: Model](
    rows: QuerySet[Row], fields: tuple[str, ...], cursor: Sequence[Any] | None, limit: int
) -> Page[Row, tuple[Any, ...]]:
    if cursor is not None:
        rows = rows.filter(_after(fields, cursor))
    found = list(rows.order_by(*fields)[: limit + 1])
    more = len(found) > limit
    last = tuple(getattr(found[limit - 1], name) for name in fields) if more else None
    return Page(items=found[:limit], next=last)


def _after(fields: tuple[str, ...], cursor: Sequence[Any]) -> Q:
    """(a, b, …) > cursor, spelled out because the ORM has no row comparison over several columns."""
    condition = Q()
    for index, name in enumerate(fields):
        same = {fields[n]: cursor[n] for n in range(index)}
        condition |= Q(**same, **{f"{name}__gt": cursor[index]})
    return condition


def _event_row(row: UsageEvent) -> EventRow:
    return EventRow(**{name: getattr(row, name) for name in EventRow.__dataclass_fields__})
