"""Usage in and out as CSV (spec 2.12). Quantities are in display units, times carry an offset.

An import is a number of ordinary ingest requests: each row is an event with an identity, so a file that broke off, or
was sent twice, is simply imported again.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from usage import strict_json
from usage.clocks import account_clock
from usage.csv_text import csv_lines, text_of
from usage.errors import InvalidInput
from usage.events import Flaw, ParsedEvent, Rejection, parse_events, parse_time
from usage.models import Metric, Workspace
from usage.rounding import parse_quantity, shown_quantity, stored_quantity
from usage.selectors.lookup import EventRow
from usage.services.corrections import step_of
from usage.services.ingest import ingest

REQUIRED: Final = ("id", "workspace", "metric", "time")
OPTIONAL: Final = ("source", "quantity")
# Columns of an export that say nothing new about an event.
PASSED_OVER: Final = ("day", "received_at")
CORRECTION: Final = "correction"
HEADER: Final = ("source", "id", "workspace", "metric", "time", "quantity", "day", "received_at", CORRECTION)

BATCH: Final = 1000

# Where the attribute of an event stands in a row.
_COLUMN_OF: Final[dict[str | None, str]] = {
    "subject": "workspace",
    "type": "metric",
    "data.value": "quantity",
    "data.started_at": "quantity",
    "data.ended_at": "time",
}


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that did not become an event; `line` counts the header as 1."""

    line: int
    id: str | None
    code: str
    field: str | None
    reason: str


@dataclass(slots=True)
class ImportedRows:
    """What became of one batch of rows; `line` is the last one read."""

    line: int
    accepted: int = 0
    duplicate: int = 0
    refused: list[RefusedRow] = field(default_factory=list)


def import_events(
    lines: Iterable[str], *, source: str, account_id: int | None = None, batch: int = BATCH
) -> Iterator[ImportedRows]:
    """Import the rows of a CSV text, batch by batch; each report is given once its batch is stored.

    The header names the columns: `id`, `workspace`, `metric`, `time`, and where wanted `source` (else `source` of the
    call) and `quantity` (display units; else 1; calls and seats need it). `account_id` None: any account. Comma,
    semicolon and tab are understood. Raises InvalidInput when the header is not usable; OperationalError when the
    database is away: what was reported is stored, and importing again goes on.
    """
    rows = _rows(lines)
    header = next(rows, None)
    columns = _columns(header[1] if header else [])
    metrics = {metric.key: metric for metric in Metric.objects.filter(is_active=True)}
    while chunk := list(islice(rows, batch)):
        report = ImportedRows(line=chunk[-1][0])
        sent: list[dict[str, Any]] = []
        places: list[int] = []
        for line, cells in chunk:
            try:
                sent.append(_event(columns, cells, metrics, source))
                places.append(line)
            except Flaw as flaw:
                event_id = cells[columns["id"]] if len(cells) == len(columns) else None
                report.refused.append(RefusedRow(line, event_id, flaw.code, flaw.field, flaw.reason))
        events, rejected = parse_events(sent)
        rejected += _ingest(events, account_id, report)
        report.refused += [
            RefusedRow(places[flaw.index], flaw.id, flaw.code, _COLUMN_OF.get(flaw.field, flaw.field), flaw.reason)
            for flaw in rejected
        ]
        report.refused.sort(key=lambda row: row.line)
        yield report


def export_events(rows: Iterable[EventRow], *, workspaces: dict[int, str], metrics: dict[int, Metric]) -> Iterator[str]:
    """Lines of CSV, one for each event or correcting row (`correction`: amend or void; its quantity is the difference).

    `workspaces` and `metrics` by id: the keys and units to write. The first columns are those that an import reads.
    """
    return csv_lines(HEADER, (_line(row, workspaces, metrics) for row in rows))


def _line(row: EventRow, workspaces: dict[int, str], metrics: dict[int, Metric]) -> Sequence[Any]:
    metric = metrics[row.metric_id]
    correction = None if row.corrects is None else "void" if row.is_void else "amend"
    quantity = shown_quantity(row.quantity, unit_size=metric.unit_size)
    place = workspaces[row.workspace_id]
    return (
        row.source,
        row.event_id,
        place,
        metric.key,
        row.occurred_at,
        quantity,
        row.day,
        row.received_at,
        correction,
    )


def _rows(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """(number of the row's last line, cells), blank rows left out."""
    source = iter(lines)
    first = next(source, "")
    # The header has no text of the customer's in it, so the delimiter is the sign that it holds most often.
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(_first_then(first.removeprefix("\ufeff"), source), delimiter=delimiter)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield reader.line_num, [f"{error}"]
            continue
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            yield reader.line_num, cells


def _first_then(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _columns(header: Sequence[str]) -> dict[str, int]:
    names = [name.strip().lower() for name in header]
    known = (*REQUIRED, *OPTIONAL, *PASSED_OVER, CORRECTION)
    if unknown := [name for name in names if name not in known]:
        raise InvalidInput(f"Unknown column “{unknown[0]}”; known are {', '.join(known)}.", field="header")
    if len(set(names)) < len(names):
        raise InvalidInput("A column stands twice in the header.", field="header")
    if missing := [name for name in REQUIRED if name not in names]:
        raise InvalidInput(f"The header lacks the column “{missing[0]}”.", field="header")
    return {name: index for index, name in enumerate(names)}


def _event(columns: dict[str, int], cells: Sequence[str], metrics: dict[str, Metric], source: str) -> dict[str, Any]:
    """The row as the CloudEvent that says the same. Raises Flaw."""
    if len(cells) != len(columns):
        raise Flaw("unreadable_row", None, f"the row has {len(cells)} cells instead of {len(columns)}")

    def as_sent(name: str) -> str:
        return text_of(cells[columns[name]]) if name in columns else ""

    def read(name: str) -> str:
        return as_sent(name).strip()

    if read(CORRECTION):
        raise Flaw("invalid_data", CORRECTION, "corrections are not imported: void or amend the event")
    metric = metrics.get(read("metric"))
    if metric is None:
        raise Flaw("unknown_type", "metric", "there is no such metric")
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": as_sent("id"),
        "source": as_sent("source") or source,
        "type": metric.event_type,
        "subject": read("workspace"),
        "time": read("time"),
        "data": strict_json.exact(metric.filters),
    }
    quantity = read("quantity")
    try:
        shown = parse_quantity(quantity, zero_allowed=metric.kind == Metric.Kind.LEVEL) if quantity else None
    except ValueError as error:
        raise Flaw("invalid_data", "quantity", f"quantity {error}") from None
    match metric.kind:
        case Metric.Kind.COUNT:
            if shown not in (None, 1):
                raise Flaw("invalid_data", "quantity", "events of this metric count 1 each")
        case Metric.Kind.DURATION:
            if shown is None:
                raise Flaw("invalid_data", "quantity", "quantity is missing")
            event["data"] |= _call(event["time"], shown, metric)
        case Metric.Kind.SUM:
            event["data"] |= {} if shown is None else {"value": _number(shown)}
        case Metric.Kind.LEVEL:
            if shown is None:
                raise Flaw("invalid_data", "quantity", "quantity is missing")
            event["data"] |= {"value": _number(shown)}
    return event


def _number(shown: Decimal) -> int | Decimal:
    return int(shown) if shown == shown.to_integral_value() else shown


def _call(ended: str, shown: Decimal, metric: Metric) -> dict[str, str]:
    """A call of that length, in the metric's own step, that ended then."""
    ended_at = parse_time(ended, "time")
    seconds = stored_quantity(shown, unit_size=metric.unit_size, step=step_of(metric))
    try:
        started_at = ended_at - timedelta(seconds=int(seconds))
    except OverflowError:
        raise Flaw("invalid_data", "quantity", "the call would have begun before the calendar") from None
    return {"started_at": started_at.isoformat(), "ended_at": ended_at.isoformat()}


def _ingest(events: list[ParsedEvent], account_id: int | None, report: ImportedRows) -> list[Rejection]:
    """One request for each account that the rows belong to."""
    owners = Workspace.objects.filter(key__in={event.subject for event in events}).values_list(
        "key", "account_id", "account__is_sandbox"
    )
    places = {key: (owner, is_sandbox) for key, owner, is_sandbox in owners if account_id in (None, owner)}
    parts: dict[tuple[int, bool], list[ParsedEvent]] = {}
    rejected: list[Rejection] = []
    for event in events:
        place = places.get(event.subject)
        if place is None:
            reason = "there is no such workspace"
            rejected.append(Rejection(event.index, event.id, "unknown_subject", "workspace", reason))
        else:
            parts.setdefault(place, []).append(event)
    for (owner, is_sandbox), part in parts.items():
        clock = account_clock(account_id=owner, is_sandbox=is_sandbox)
        result = ingest(account_id=owner, events=part, clock=clock)
        report.accepted += result.accepted
        report.duplicate += result.duplicate
        rejected += result.rejected
    return rejected
