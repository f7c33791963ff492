"""Counting events exactly once (spec 2.3-2.8; Data 2, 3, 5, 7).

One transaction takes a batch from events to totals: rows are inserted unless their identity is stored, and only rows
that were inserted are added to days and totals. The ORM stays out of this path.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import OperationalError, connection, transaction

from usage import wire
from usage.clocks import Clock
from usage.events import Flaw, MetricRule, ParsedEvent, Rejection, measure, parse_events
from usage.faultpoints import reach
from usage.periods import zone_of
from usage.rounding import Increment
from usage.services.locks import after_cut, lock_shared
from usage.services.periods import extend_periods
from usage.services.seats import recompute_days
from usage.signals import totals_passed_level
from usage.sql import prepared

MAX_AHEAD: Final = timedelta(minutes=5)
TRIES: Final = 4  # the first and three repetitions
REPEATABLE: Final = {"40P01", "40001"}  # deadlock, serialization failure
_END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(slots=True)
class IngestResult:
    """What became of a request's events (spec 2.3); `rejected` in the order of the request."""

    accepted: int = 0
    duplicate: int = 0
    rejected: list[Rejection] = field(default_factory=list)

    def add(self, other: IngestResult) -> None:
        """Take in the result for other events of the same request."""
        self.accepted += other.accepted
        self.duplicate += other.duplicate
        self.rejected = in_order([*self.rejected, *other.rejected])


def ingest_sent(*, account_id: int, sent: Sequence[Any], clock: Clock) -> IngestResult:
    """`ingest` for decoded JSON events that nobody has judged yet."""
    events, rejected = parse_events(sent)
    result = IngestResult(rejected=rejected)
    result.add(ingest(account_id=account_id, events=events, clock=clock))
    return result


def ingest(*, account_id: int, events: Sequence[ParsedEvent], clock: Clock) -> IngestResult:
    """Count events of one account, each identity once for ever, in one transaction (spec 2.3-2.5).

    `clock` is read once, after the account's lock. Events that cannot count are in the result, not raised. A deadlock
    or serialization failure repeats the transaction up to three times; then, and when the database is away,
    OperationalError: nothing was stored.
    """
    if not events:
        return IngestResult()
    for attempt in range(1, TRIES + 1):
        try:
            reach("ingest.before_lock")
            with transaction.atomic():
                result = _ingest(account_id, events, clock)
                reach("ingest.before_commit")
            reach("ingest.after_commit")
            return result
        except OperationalError as error:
            state = getattr(error.__cause__, "sqlstate", None)
            if state not in REPEATABLE or attempt == TRIES or connection.in_atomic_block:
                raise
    raise AssertionError("unreachable")


def in_order(rejected: list[Rejection]) -> list[Rejection]:
    """Rejections in the order of the request."""
    return sorted(rejected, key=attrgetter("index"))


class _Span(NamedTuple):
    starts_at: datetime
    ends_at: datetime
    zone: str


class _Row(NamedTuple):
    event: ParsedEvent
    workspace_id: int
    rule: MetricRule
    period: _Span
    day: date
    quantity: Decimal
    occurred_at: datetime


@dataclass(slots=True)
class _Context:
    """What a batch needs to know, read in one query after the lock."""

    account_id: int
    last_cut_at: datetime | None = None
    ended_at: datetime | None = None
    workspaces: dict[str, int] = field(default_factory=dict)
    rules: dict[str, list[MetricRule]] = field(default_factory=dict)
    latest: datetime = _END_OF_TIME
    spans: list[_Span] = field(default_factory=list)
    has_all_spans: bool = False


_CONTEXT = """
SELECT 'account', id, NULL::text, last_cut_at, ended_at, NULL::jsonb, NULL::int[]
  FROM usage_account WHERE id = %(account)s
UNION ALL
SELECT 'workspace', id, key, NULL, NULL, NULL, NULL FROM usage_workspace
 WHERE account_id = %(account)s AND key = ANY(%(subjects)s::text[])
UNION ALL
SELECT 'metric ' || kind, id, event_type, NULL, NULL, filters,
       ARRAY[unit_size, increment_first, increment_next, minimum_seconds]
  FROM usage_metric WHERE is_active AND event_type = ANY(%(types)s::text[])
UNION ALL
(SELECT 'period', 0, zone, starts_at, ends_at, NULL, NULL FROM usage_period
  WHERE account_id = %(account)s ORDER BY starts_at DESC LIMIT 3)
"""
_ALL_PERIODS = "SELECT starts_at, ends_at, zone FROM usage_period WHERE account_id = %s ORDER BY starts_at"

# A total passes its level once: with its first event, or when this batch lifts it over what evaluation set.
_STORE = """
WITH ins AS (
    INSERT INTO usage_usageevent (account_id, key, content, workspace_id, metric_id, period, day, quantity, occurred_at,
                                  received_at, source, event_id, is_void)
    SELECT %(account)s, e.*, false
      FROM unnest(%(keys)s::uuid[], %(contents)s::uuid[], %(workspaces)s::int8[], %(metrics)s::int8[],
                  %(periods)s::timestamptz[], %(days)s::date[], %(quantities)s::numeric[], %(occurred)s::timestamptz[],
                  %(received)s::timestamptz[], %(sources)s::text[], %(ids)s::text[]) AS e
        ON CONFLICT DO NOTHING
    RETURNING key, workspace_id, metric_id, period, day, quantity
), counted AS (
    SELECT * FROM ins WHERE metric_id <> ALL(%(levels)s::int8[])
), added AS (
    SELECT workspace_id, metric_id, period, sum(quantity) AS quantity FROM counted GROUP BY 1, 2, 3
), totals AS (
    INSERT INTO usage_usagetotal AS t (account_id, workspace_id, metric_id, period, quantity, quantity_in_time,
                                       reserved, hard_limit, seq, evaluated_seq, next_level, last_received_at)
    SELECT %(account)s, a.workspace_id, a.metric_id, a.period, a.quantity,
           CASE WHEN a.period = ANY(%(closed)s::timestamptz[]) THEN 0 ELSE a.quantity END, 0,
           (SELECT l.quantity FROM usage_usagelimit l
             WHERE l.account_id = %(account)s AND l.workspace_id = a.workspace_id AND l.metric_id = a.metric_id
               AND l.from_period <= a.period ORDER BY l.from_period DESC LIMIT 1),
           1, 0, 0, %(received_at)s
      FROM added a ORDER BY a.workspace_id, a.metric_id, a.period
        ON CONFLICT (account_id, workspace_id, metric_id, period) DO UPDATE
       SET quantity = t.quantity + EXCLUDED.quantity, quantity_in_time = t.quantity_in_time + EXCLUDED.quantity_in_time,
           seq = t.seq + 1, last_received_at = greatest(t.last_received_at, EXCLUDED.last_received_at)
    RETURNING t.workspace_id, t.metric_id, t.period, t.quantity, t.next_level, t.seq
), days AS (
    INSERT INTO usage_usageday AS d (account_id, workspace_id, metric_id, period, day, quantity)
    SELECT %(account)s, c.workspace_id, c.metric_id, c.period, c.day, sum(c.quantity)
      FROM counted c GROUP BY c.workspace_id, c.metric_id, c.period, c.day
     ORDER BY c.workspace_id, c.metric_id, c.period, c.day
        ON CONFLICT (account_id, workspace_id, metric_id, period, day)
        DO UPDATE SET quantity = d.quantity + EXCLUDED.quantity
)
SELECT (SELECT coalesce(bool_or(t.quantity >= t.next_level
                               AND (t.seq = 1 OR t.quantity - a.quantity < t.next_level)), false)
          FROM totals t JOIN added a USING (workspace_id, metric_id, period)),
       (SELECT count(*) FROM ins),
       CASE WHEN (SELECT count(*) FROM ins) < %(n)s THEN (SELECT array_agg(uuid_send(key)) FROM ins) END
"""
_NEWEST = """
SELECT workspace_id, metric_id, occurred_at, max(received_at) FROM usage_usageevent
 WHERE account_id = %s AND workspace_id = ANY(%s::int8[]) AND metric_id = ANY(%s::int8[])
   AND period = ANY(%s::timestamptz[]) AND received_at >= %s AND corrects IS NULL
 GROUP BY 1, 2, 3
"""
_STORED = """
SELECT uuid_send(key), uuid_send(content) FROM usage_usageevent WHERE account_id = %s AND key = ANY(%s::uuid[])
"""


def _ingest(account_id: int, events: Sequence[ParsedEvent], clock: Clock) -> IngestResult:
    lock_shared(account_id)
    reach("ingest.after_lock")
    context = _context(account_id, events)
    received_at = after_cut(clock(), context.last_cut_at)
    context.latest = received_at + MAX_AHEAD
    result = IngestResult()
    rows: dict[bytes, _Row] = {}
    again: list[ParsedEvent] = []
    refused: list[tuple[ParsedEvent, Flaw]] = []
    for event in events:
        try:
            row = _placed(event, context, received_at)
        except Flaw as flaw:
            refused.append((event, flaw))
            continue
        if event.key in rows:
            again.append(event)
        else:
            rows[event.key] = row
    # In key order, so that two requests with the same events in other order never wait for each other.
    contents = _store(account_id, [rows[key] for key in sorted(rows)], received_at, result)
    for event in again:
        _judge_again(event, contents[event.key], result)
    _settle_refused(account_id, refused, result)
    result.rejected = in_order(result.rejected)
    return result


def _context(account_id: int, events: Sequence[ParsedEvent]) -> _Context:
    context = _Context(account_id)
    subjects, types = {event.subject for event in events}, {event.type for event in events}
    rows = prepared(_CONTEXT, {"account": account_id, "subjects": list(subjects), "types": list(types)})
    for what, number, text, starts_at, ends_at, filters, sizes in rows:
        match what.split():
            case ["account"]:
                context.last_cut_at, context.ended_at = starts_at, ends_at
            case ["workspace"]:
                context.workspaces[text] = number
            case ["period"]:
                context.spans.append(_Span(starts_at, ends_at, text))
            case ["metric", kind]:
                unit_size, first, following, minimum = sizes
                rule = MetricRule(number, kind, unit_size, filters, Increment(first, following, minimum))
                context.rules.setdefault(text, []).append(rule)
    context.spans.reverse()
    for rules in context.rules.values():
        rules.sort(key=lambda rule: -len(rule.filters))
    return context


def _placed(event: ParsedEvent, context: _Context, received_at: datetime) -> _Row:
    """Where and how much the event counts. Raises Flaw."""
    workspace_id = context.workspaces.get(event.subject)
    if workspace_id is None:
        raise Flaw("unknown_subject", "subject", "there is no such workspace")
    for rule in context.rules.get(event.type, ()):
        if rule.matches(event.data):
            break
    else:
        what = "data" if event.type in context.rules else "type"
        raise Flaw("unknown_type", "type", f"no metric counts events of this {what}")
    quantity, happened_at, named = measure(event, rule)
    occurred_at = received_at if happened_at is None else happened_at
    if occurred_at > context.latest:
        raise Flaw("in_future", named, f"{named} is more than 5 minutes ahead")
    if context.ended_at is not None and occurred_at >= context.ended_at:
        raise Flaw("account_ended", named, "the account has ended before that")
    span = _span_at(context, occurred_at, named)
    day = occurred_at.astimezone(zone_of(span.zone)).date()
    return _Row(event, workspace_id, rule, span, day, quantity, occurred_at)


def _span_at(context: _Context, at: datetime, named: str) -> _Span:
    spans = context.spans
    if spans and spans[-1].starts_at <= at < spans[-1].ends_at:
        return spans[-1]
    if not context.has_all_spans and (not spans or at < spans[0].starts_at):
        spans[:] = [_Span(*row) for row in prepared(_ALL_PERIODS, [context.account_id])]
        context.has_all_spans = True
    if spans and at < spans[0].starts_at:
        raise Flaw("before_first_period", named, "the account's first billing period begins later")
    if not spans or at >= spans[-1].ends_at:
        extend_periods(account_id=context.account_id, to=at)
        spans[:] = [_Span(*row) for row in prepared(_ALL_PERIODS, [context.account_id])]
        context.has_all_spans = True
    return spans[bisect_right(spans, at, key=lambda span: span.starts_at) - 1]


def _store(account_id: int, rows: list[_Row], received_at: datetime, result: IngestResult) -> dict[bytes, bytes]:
    """Insert and count the rows; the stored content of each key."""
    if not rows:
        return {}
    levels = [row for row in rows if row.rule.kind == "level"]
    received = _received(account_id, rows, levels, received_at)
    (is_passed, count, stored_keys), *_ = prepared(
        _STORE,
        {
            "account": account_id,
            "n": len(rows),
            "keys": wire.uuids([row.event.key for row in rows]),
            "contents": wire.uuids([row.event.content for row in rows]),
            "workspaces": wire.bigints([row.workspace_id for row in rows]),
            "metrics": wire.bigints([row.rule.id for row in rows]),
            "periods": wire.timestamps([row.period.starts_at for row in rows], repeat=True),
            "days": wire.dates([row.day for row in rows]),
            "quantities": wire.numerics([row.quantity for row in rows]),
            "occurred": wire.timestamps([row.occurred_at for row in rows]),
            "received": wire.timestamps(received, repeat=True),
            "sources": wire.texts([row.event.source for row in rows]),
            "ids": wire.texts([row.event.id for row in rows]),
            "levels": wire.bigints([*{row.rule.id for row in levels}]),
            "closed": wire.timestamps([*{row.period.starts_at for row in rows if received_at >= row.period.ends_at}]),
            "received_at": received_at,
        },
    )
    reach("ingest.after_insert")
    contents = {row.event.key: row.event.content for row in rows}
    result.accepted = count
    if count < len(rows):
        new = set(stored_keys or ())
        old = [row.event for row in rows if row.event.key not in new]
        contents |= _stored(account_id, [event.key for event in old])
        for event in old:
            _judge_again(event, contents[event.key], result)
        levels = [row for row in levels if row.event.key in new]
    _recount_levels(account_id, levels)
    if is_passed and settings.LIVE_EVALUATION:
        totals_passed_level.send(sender=None, account_id=account_id)
    return contents


def _received(account_id: int, rows: list[_Row], levels: list[_Row], received_at: datetime) -> list[datetime]:
    """All at once, except reports of a level for the same moment: the later one must win (spec 2.2), also over one of
    an earlier request when the clock stood still or went back since."""
    if not levels:
        return [received_at] * len(rows)
    newest = _newest_reports(account_id, levels, received_at)
    later: dict[bytes, datetime] = {}
    for row in sorted(levels, key=lambda row: row.event.index):
        place = (row.workspace_id, row.rule.id, row.occurred_at)
        later[row.event.key] = newest[place] + _MICROSECOND if place in newest else received_at
        newest[place] = later[row.event.key]
    return [later.get(row.event.key, received_at) for row in rows]


def _newest_reports(account_id: int, levels: list[_Row], since: datetime) -> dict[tuple[int, int, datetime], datetime]:
    """When the last report of each moment was received, of those received at `since` or later."""
    found = prepared(
        _NEWEST,
        [
            account_id,
            wire.bigints([*{row.workspace_id for row in levels}]),
            wire.bigints([*{row.rule.id for row in levels}]),
            wire.timestamps([*{row.period.starts_at for row in levels}]),
            since,
        ],
    )
    return {(workspace, metric, occurred_at): received_at for workspace, metric, occurred_at, received_at in found}


def _stored(account_id: int, keys: Sequence[bytes]) -> dict[bytes, bytes]:
    return dict(prepared(_STORED, [account_id, wire.uuids(keys)]))


def _judge_again(event: ParsedEvent, content: bytes, result: IngestResult) -> None:
    """An event whose identity was stored before it (spec 2.4)."""
    if event.content == content:
        result.duplicate += 1
    else:
        reason = "another event with this source and id is stored"
        result.rejected.append(Rejection(event.index, event.id, "id_reused", "id", reason))


def _settle_refused(account_id: int, refused: list[tuple[ParsedEvent, Flaw]], result: IngestResult) -> None:
    """An event that was counted before its account ended or its metric went is still the same event when it is sent
    again: a duplicate, whatever one would say of it today."""
    if not refused:
        return
    contents = _stored(account_id, [event.key for event, _ in refused])
    for event, flaw in refused:
        if contents.get(event.key) == event.content:
            result.duplicate += 1
        else:
            result.rejected.append(Rejection(event.index, event.id, flaw.code, flaw.field, flaw.reason))


def _recount_levels(account_id: int, rows: list[_Row]) -> None:
    earliest: dict[tuple[int, int], datetime] = {}
    for row in rows:
        line = (row.workspace_id, row.rule.id)
        earliest[line] = min(row.occurred_at, earliest.get(line, row.occurred_at))
    for (workspace_id, metric_id), since in sorted(earliest.items()):
        recompute_days(account_id=account_id, workspace_id=workspace_id, metric_id=metric_id, since=since)
