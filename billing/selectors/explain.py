"""Explaining a line of any document: the usage behind it, down to the events (spec 5.10; Data 5).

A line bills what was received in (its previous cut, its cut], and events never change, so what stands here is the same
for ever. A credit line tells what the line that it takes back told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from billing.models import BilledUsage, InvoiceLine
from billing.selectors.cut import Cut, seats_at
from billing.selectors.holdings import days_of_period
from usage.models import Metric, Period, UsageDay, Workspace
from usage.rounding import shown_quantity
from usage.seats import seat_days
from usage.selectors.lookup import EventCursor, EventRow, Page, events_of_line, iterate_events
from usage.sql import planned
from usage.written import Written, any_of

ZERO: Final = Decimal(0)
COLUMNS: Final = (
    *("document", "line", "metric", "workspace", "what", "source", "id", "occurred_at", "received_at", "day"),
    *("quantity", "unit"),
)


_PERIOD: Final = Written(lambda account, starts_at: Period.objects.filter(account=account, starts_at=starts_at))
_PLACES: Final = Written(lambda account: Workspace.objects.filter(account=account).order_by("name", "key"))
_BILLED: Final = Written(lambda line: BilledUsage.objects.filter(line=line).values_list("workspace_id", "quantity"))
_DAYS: Final = Written(
    lambda account, workspaces, metric, period: UsageDay.objects.filter(
        any_of("workspace", workspaces), account=account, metric=metric, period=period
    ).values_list("workspace_id", "day", "quantity")
)


@dataclass(frozen=True)
class Explanation:
    """A line and the usage that it bills. `line` is the one whose usage is told: of a credit line, the line that it
    takes back. `ledger` by workspace id, in stored units (of a level, seat-days), as billed by `asked`.
    """

    asked: InvoiceLine
    line: InvoiceLine
    metric: Metric
    period: Period
    workspaces: Mapping[int, Workspace]
    ledger: Mapping[int, Decimal]

    @property
    def is_level(self) -> bool:
        return self.metric.kind == Metric.Kind.LEVEL

    @property
    def is_whole_period(self) -> bool:
        """True for the line that bills everything received until the cut, not only what came after an earlier one."""
        return self.line.previous_cut_at is None

    @property
    def unit_size(self) -> int:
        """Stored units in one shown unit; seat-days are shown as they are."""
        return 1 if self.is_level else self.metric.unit_size


def explanation_of(line: InvoiceLine) -> Explanation | None:
    """What can be told of a line; None for one that bills no usage (a plan, an add-on, a contracted amount, money)."""
    told = _told(line)
    if told is None or told.metric is None or told.usage_period is None:
        return None
    (period,) = _PERIOD(account=line.account_id, starts_at=told.usage_period)
    return Explanation(
        asked=line,
        line=told,
        metric=told.metric,
        period=period,
        workspaces={workspace.pk: workspace for workspace in _PLACES(account=line.account_id)},
        ledger=dict(_BILLED(line=line.pk)),
    )


def events_behind(
    told: Explanation, *, cursor: EventCursor | None = None, limit: int = 50
) -> Page[EventRow, EventCursor]:
    """A page of the events behind the line, in order of arrival, correcting rows among them. Of a level: the reports;
    on an adjustment also those of earlier periods, which it reaches back to."""
    return events_of_line(**_window(told), cursor=cursor, limit=limit)


def all_events_behind(told: Explanation) -> Iterator[EventRow]:
    """All of them, read a page at a time."""
    return iterate_events(**_window(told))


def quantities_behind(told: Explanation) -> dict[int, Decimal]:
    """What the events behind the line come to, by workspace id, in the ledger's units: equal to what the line bills."""
    line = told.line
    until = line.cut_at or line.invoice.cut_at
    if told.is_level:
        found = _seat_days(told, until)
        if line.previous_cut_at is not None:
            before = _seat_days(told, line.previous_cut_at)
            found = {key: found.get(key, ZERO) - before.get(key, ZERO) for key in found.keys() | before.keys()}
    else:
        found = _sums(told, since=line.previous_cut_at, until=until)
    sign = 1 if told.asked.pk == line.pk else -1
    return {workspace: sign * quantity for workspace, quantity in sorted(found.items()) if quantity}


def days_behind(told: Explanation) -> dict[int, dict[date, Decimal]]:
    """What each local day of the period counts as known at the line's cut, by workspace id, in stored units (of a
    level, what was held)."""
    line, until = told.line, told.line.cut_at or told.line.invoice.cut_at
    if told.is_level:
        days = days_of_period(told.period)
        held = seats_at(account=line.account, period=told.period, metric_id=told.metric.pk, cut=Cut(until, True))
        return {workspace: dict(zip(days, counts, strict=True)) for workspace, counts in held.items()}
    found: dict[int, dict[date, Decimal]] = {}
    stored = _DAYS(
        account=line.account_id,
        workspaces=list(told.workspaces),
        metric=told.metric.pk,
        period=told.period.starts_at,
    )
    for workspace, day, quantity in stored:
        found.setdefault(workspace, {})[day] = quantity
    # What was received since is few, or nothing: it is taken off again, instead of summing all events.
    for workspace, day, quantity in _later(told, until):
        found[workspace][day] -= quantity
    return {
        workspace: {day: quantity for day, quantity in sorted(days.items()) if quantity}
        for workspace, days in found.items()
    }


def csv_rows(told: Explanation) -> Iterator[tuple[Any, ...]]:
    """A row of `COLUMNS` for each event behind the line; quantities in display units."""
    number, unit = told.asked.invoice.number, told.metric.unit
    for row in all_events_behind(told):
        yield (
            *(number, told.asked.position, told.metric.key, told.workspaces[row.workspace_id].key, row.kind),
            *(row.source, row.event_id, row.occurred_at, row.received_at, row.day),
            *(shown_quantity(row.quantity, unit_size=told.metric.unit_size), unit),
        )


def _told(line: InvoiceLine) -> InvoiceLine | None:
    if line.kind != InvoiceLine.Kind.CREDIT:
        return line
    corrected = line.invoice.corrects
    if corrected is None or line.usage_period is None:
        return None
    lines = InvoiceLine.objects.filter(invoice=corrected, position=line.detail["position"])
    return lines.select_related("metric", "invoice", "account").first()


def _window(told: Explanation) -> dict[str, Any]:
    line = told.line
    earlier: Iterable[datetime] = ()
    if told.is_level and not told.is_whole_period:
        before = Period.objects.filter(account=line.account_id, starts_at__lt=told.period.starts_at)
        earlier = before.values_list("starts_at", flat=True)
    return {
        "account_id": line.account_id,
        "workspace_ids": list(told.workspaces),
        "metric_id": told.metric.pk,
        "period": told.period.starts_at,
        "received_after": line.previous_cut_at,
        "received_until": line.cut_at,
        "earlier": list(earlier),
    }


def _seat_days(told: Explanation, until: datetime) -> dict[int, Decimal]:
    held = seats_at(account=told.line.account, period=told.period, metric_id=told.metric.pk, cut=Cut(until, True))
    return {workspace: seat_days(counts) for workspace, counts in held.items()}


_SUMS: Final = """
SELECT w.id, x.quantity
  FROM unnest(%(workspaces)s::bigint[]) AS w(id)
 CROSS JOIN LATERAL (
        SELECT sum(e.quantity) AS quantity FROM usage_usageevent e
         WHERE e.account_id = %(account)s AND e.workspace_id = w.id AND e.metric_id = %(metric)s
           AND e.period = %(period)s AND e.received_at <= %(until)s
           AND (%(since)s::timestamptz IS NULL OR e.received_at > %(since)s)) AS x
 WHERE x.quantity IS NOT NULL
"""
_LATER: Final = """
SELECT w.id, x.day, x.quantity
  FROM unnest(%(workspaces)s::bigint[]) AS w(id)
 CROSS JOIN LATERAL (
        SELECT e.day, sum(e.quantity) AS quantity FROM usage_usageevent e
         WHERE e.account_id = %(account)s AND e.workspace_id = w.id AND e.metric_id = %(metric)s
           AND e.period = %(period)s AND e.received_at > %(until)s
         GROUP BY e.day) AS x
"""


def _sums(told: Explanation, *, since: datetime | None, until: datetime) -> dict[int, Decimal]:
    return dict(_rows(_SUMS, told, since=since, until=until))


def _later(told: Explanation, until: datetime) -> list[tuple[Any, ...]]:
    return _rows(_LATER, told, until=until)


def _rows(query: str, told: Explanation, **instants: datetime | None) -> list[tuple[Any, ...]]:
    arguments: dict[str, Any] = {
        "account": told.line.account_id,
        "workspaces": list(told.workspaces),
        "metric": told.metric.pk,
        "period": told.period.starts_at,
        **instants,
    }
    return planned(query, arguments)
