"""What was used: totals and days of an account's workspaces, now and over its periods (spec 2.8, 2.9, 2.10).

Every quantity here is in stored units (`usage.rounding.shown_quantity` turns it into what people see). The number of
queries never depends on how many workspaces, metrics or events there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any, Final

from usage.errors import NotFound
from usage.models import Account, Metric, Period
from usage.periods import Period as Span
from usage.periods import local_day, local_days
from usage.seats import SeatDay, seat_days, seats_per_day
from usage.services.periods import open_period
from usage.sql import Read, from_columns, model_columns, prepared
from usage.written import Written

# The names under which the sweeps record their runs (spec 2.8).
SWEEPS = ("refresh", "recalculate-limits")

_FIRST: Final = Written(lambda account: Period.objects.filter(account=account).order_by("starts_at")[:1])
_PERIODS: Final = f"""
SELECT {model_columns(Period, "p")} FROM usage_period p
 WHERE p.account_id = %(account)s AND p.starts_at <= %(until)s ORDER BY p.starts_at DESC LIMIT %(count)s
"""  # noqa: S608 - columns of our own table


@dataclass(slots=True)
class MetricUsage:
    """One metric of an account in one period, in stored units, by workspace id; every workspace is there.

    `own`: the total; of a level (seats) what is held now. `days`: (local day, quantity), ascending: the days with
    usage, of a level every day of the period so far. `limits`: the hard limit in force, None = none.
    """

    metric: Metric
    own: dict[int, Decimal] = field(default_factory=dict)
    reserved: dict[int, Decimal] = field(default_factory=dict)
    limits: dict[int, Decimal | None] = field(default_factory=dict)
    days: dict[int, list[tuple[date, Decimal]]] = field(default_factory=dict)
    last_received_at: datetime | None = None

    @property
    def pool(self) -> Decimal:
        """All workspaces of the account together."""
        return sum(self.own.values(), Decimal(0))

    @property
    def pool_days(self) -> list[tuple[date, Decimal]]:
        """The days of all workspaces together, ascending."""
        sums: dict[date, Decimal] = {}
        for days in self.days.values():
            for day, quantity in days:
                sums[day] = sums.get(day, Decimal(0)) + quantity
        return sorted(sums.items())

    @property
    def is_level(self) -> bool:
        return self.metric.kind == Metric.Kind.LEVEL

    def ledger_quantity(self, workspace_id: int) -> Decimal:
        """What the ledger bills of a workspace: the total; of a level the seat-days (spec 5.10)."""
        if self.is_level:
            return seat_days(quantity for _, quantity in self.days.get(workspace_id, []))
        return self.own.get(workspace_id, Decimal(0))

    def is_limit_reached(self, workspace_id: int) -> bool:
        """The fact that stops the agent: quantity >= limit (spec 4.3)."""
        limit = self.limits.get(workspace_id)
        return limit is not None and self.own.get(workspace_id, Decimal(0)) >= limit

    def over_limit(self, workspace_id: int) -> Decimal:
        """How much was recorded beyond the limit (spec 2.7); 0 without one."""
        limit = self.limits.get(workspace_id)
        return Decimal(0) if limit is None else max(Decimal(0), self.own.get(workspace_id, Decimal(0)) - limit)


def current_period(account: Account, now: datetime) -> Period:
    """The running period, opened on demand; of an ended account its last one, before its start its first one."""
    at = now
    if account.ended_at is not None and at >= account.ended_at:
        at = account.ended_at - timedelta(microseconds=1)
    first = next(iter(_FIRST(account=account.pk)), None)
    if first is not None and at < first.starts_at:
        return first
    return open_period(account_id=account.pk, at=at)


def period_of(account: Account, at: datetime) -> Period:
    """The stored period that `at` belongs to. Raises NotFound when none is stored there: nothing was used in it."""
    last = Period.objects.filter(account=account, starts_at__lte=at).order_by("-starts_at").first()
    if last is None or at >= last.ends_at:
        raise NotFound("There is no billing period at that time.")
    return last


def last_periods(account: Account, *, until: Period, count: int) -> list[Period]:
    """The last `count` periods up to and including `until`, oldest first."""
    return _begun(account, by=until.starts_at, count=count)


def periods_so_far(account: Account, *, now: datetime, count: int) -> list[Period]:
    """The last `count` periods up to and including `current_period`, oldest first; 1 query when that one is stored."""
    found = _begun(account, by=now, count=count)
    if account.ended_at is None and found and now < found[-1].ends_at:
        return found
    return last_periods(account, until=current_period(account, now), count=count)


def _begun(account: Account, *, by: datetime, count: int) -> list[Period]:
    found = prepared(_PERIODS, {"account": account.pk, "until": by, "count": count})
    return [from_columns(Period, row) for row in reversed(found)]


# The workspaces (with the last sweep, which looked at all of them), what was counted, and the limits that wait where
# nothing was: a row with neither metric nor quantity, with both, with a metric alone.
_TOTALS = """
SELECT w.id, NULL::bigint, NULL::numeric, NULL::numeric, NULL::numeric, NULL::timestamptz,
       (SELECT max(r.finished_at) FROM usage_jobrun r WHERE r.name = ANY(%(sweeps)s::text[]))
  FROM usage_workspace w WHERE w.account_id = %(account)s
 UNION ALL
SELECT t.workspace_id, t.metric_id, t.quantity, t.reserved, t.hard_limit, t.last_received_at, t.evaluated_at
  FROM usage_usagetotal t WHERE t.account_id = %(account)s AND t.period = %(period)s
 UNION ALL
(SELECT DISTINCT ON (u.workspace_id, u.metric_id) u.workspace_id, u.metric_id, NULL, NULL, u.quantity, NULL, NULL
  FROM usage_usagelimit u WHERE u.account_id = %(account)s AND u.from_period <= %(period)s
 ORDER BY u.workspace_id, u.metric_id, u.from_period DESC)
"""

# Workspace by workspace by the key, which is stepped through metric by metric: other periods' days are never touched.
# OFFSET 0 keeps PostgreSQL from reading a small table as a whole instead.
_DAYS = """
SELECT w.id, d.metric_id, d.day, d.quantity
  FROM usage_workspace w
 CROSS JOIN LATERAL (
        SELECT b.metric_id, b.day, b.quantity FROM usage_usageday b
         WHERE b.account_id = %(account)s AND b.workspace_id = w.id AND b.period = %(period)s OFFSET 0) AS d
 WHERE w.account_id = %(account)s
"""

# Of levels the reported days of the periods, and the last one before the first period: its level is carried in.
_LEVELS_AMONG = """
SELECT d.workspace_id, d.metric_id, d.period, d.day, d.quantity, d.level
  FROM usage_workspace w
  JOIN usage_metric m ON m.kind = 'level'
 CROSS JOIN LATERAL (
        SELECT b.* FROM usage_usageday b
         WHERE b.account_id = %(account)s AND b.workspace_id = w.id AND b.metric_id = m.id
           AND b.period {among}
         UNION ALL
       (SELECT b.* FROM usage_usageday b
         WHERE b.account_id = %(account)s AND b.workspace_id = w.id AND b.metric_id = m.id AND b.period < %(first)s
         ORDER BY b.period DESC, b.day DESC LIMIT 1)) AS d
 WHERE w.account_id = %(account)s
"""

_LEVELS = _LEVELS_AMONG.format(among="= ANY(%(periods)s::timestamptz[])")
# Pages show one period. With an array, however short, PostgreSQL plans anew each time, which takes longer than to run.
_LEVELS_IN_ONE = _LEVELS_AMONG.format(among="= %(first)s")

_HISTORY = """
SELECT t.metric_id, t.period, t.workspace_id, t.quantity
  FROM usage_usagetotal t
 WHERE t.account_id = %(account)s AND t.period = ANY(%(periods)s::timestamptz[])
   AND t.metric_id = ANY(ARRAY(SELECT m.id FROM usage_metric m WHERE m.kind <> 'level'))
   AND t.workspace_id = ANY(ARRAY(SELECT w.id FROM usage_workspace w WHERE w.account_id = %(account)s))
"""

# A period named: one step into the totals' key for each workspace.
_CHECKED = """
SELECT greatest(
    (SELECT max(t.evaluated_at) FROM usage_workspace w JOIN usage_usagetotal t
         ON t.account_id = %(account)s AND t.workspace_id = w.id
        AND (%(period)s::timestamptz IS NULL OR t.period = %(period)s)
      WHERE w.account_id = %(account)s),
    (SELECT max(finished_at) FROM usage_jobrun WHERE name = ANY(%(sweeps)s::text[])))
"""

_LevelRow = tuple[int, int, datetime, date, Decimal, Decimal]


@dataclass(frozen=True, slots=True)
class UsageRows:
    """What is stored of an account's usage in a period, of all metrics. `checked_at` as `checked_read`."""

    account: Account
    period: Period
    totals: list[Any]
    days: list[tuple[int, int, date, Decimal]]
    levels: list[_LevelRow]

    @property
    def checked_at(self) -> datetime | None:
        return _checked(self.account, max((row[6] for row in self.totals if row[6] is not None), default=None))

    def of(self, metrics: Iterable[Metric], *, now: datetime | None = None) -> dict[int, MetricUsage]:
        """By metric id, in the order given. `now` bounds the days of levels (default: the whole period)."""
        usage = {metric.pk: MetricUsage(metric=metric) for metric in metrics}
        workspaces = [row[0] for row in self.totals if row[1] is None]
        for line in usage.values():
            line.own = dict.fromkeys(workspaces, Decimal(0))
            line.reserved = dict.fromkeys(workspaces, Decimal(0))
            line.limits = dict.fromkeys(workspaces)
            line.days = {workspace_id: [] for workspace_id in workspaces}
        # What waits comes before what was counted, whose limit is the one in force.
        for workspace_id, metric_id, quantity, reserved, limit, received_at, _ in sorted(
            self.totals, key=lambda row: row[2] is not None
        ):
            if (counted := usage.get(metric_id)) is None or workspace_id not in counted.own:
                continue
            counted.limits[workspace_id] = limit
            if quantity is not None:
                counted.own[workspace_id] = quantity
                counted.reserved[workspace_id] = reserved
                if counted.last_received_at is None or received_at > counted.last_received_at:
                    counted.last_received_at = received_at
        for workspace_id, metric_id, day, quantity in self.days:
            if (counted := usage.get(metric_id)) is not None and not counted.is_level:
                counted.days[workspace_id].append((day, quantity))
        for metric_id, line in usage.items():
            if line.is_level:
                for workspace_id in workspaces:
                    reports = [row for row in self.levels if row[0] == workspace_id and row[1] == metric_id]
                    line.days[workspace_id] = _seats(self.period, reports, now)
                    line.own[workspace_id] = _held(reports, self.period, now)
        return usage


def usage_rows(
    *, account: Account, period: Period, with_days: bool = True, with_levels: bool = True
) -> Read[UsageRows]:
    """Totals, limits and days of every workspace in `period`; 3 queries. One less without the days of counted metrics,
    which charts alone need; one less without levels, which then read 0."""
    values: dict[str, Any] = {"account": account.pk, "period": period.starts_at}
    statements = [(_TOTALS, {**values, "sweeps": _sweeps(account)})]
    if with_days:
        statements.append((_DAYS, values))
    if with_levels:
        statements.append(_levels(account, [period]))

    def made(totals: list[Any], *rest: list[Any]) -> UsageRows:
        days, levels = (rest[0] if with_days else []), (rest[-1] if with_levels else [])
        return UsageRows(
            account, period, totals, sorted(days, key=itemgetter(0, 1, 2)), sorted(levels, key=itemgetter(0, 1, 2, 3))
        )

    return Read(statements, made)


def account_usage(
    *,
    account: Account,
    period: Period,
    metrics: Iterable[Metric],
    now: datetime | None = None,
    with_days: bool = True,
    with_levels: bool = True,
) -> dict[int, MetricUsage]:
    """Totals, limits and days of every workspace in `period`, by metric id, in the order given; at most 3 queries in
    one trip, as `usage_rows`.

    `now` bounds the days of levels (default: the whole period). Quantities in stored units.
    """
    rows = usage_rows(account=account, period=period, with_days=with_days, with_levels=with_levels)
    return rows.answer().of(metrics, now=now)


def totals_read(*, account: Account, periods: Sequence[Period]) -> Read[list[tuple[int, datetime, int, Decimal]]]:
    """(metric id, period start, workspace id, quantity in stored units) of everything counted in `periods`; 1 query."""
    starts = [period.starts_at for period in periods]
    return Read([(_HISTORY, {"account": account.pk, "periods": starts})], list)


def checked_read(account: Account, *, period: Period | None = None) -> Read[datetime | None]:
    """When alerts and limits were last checked (spec 2.8): by the account's own evaluation or, except for sandbox
    accounts, by the last sweep. `period` (the page's) keeps the read to one period's totals."""
    starts_at = period.starts_at if period is not None else None
    values = {"account": account.pk, "period": starts_at, "sweeps": _sweeps(account)}
    return Read([(_CHECKED, values)], lambda rows: _checked(account, rows[0][0]))


def _sweeps(account: Account) -> list[str]:
    return [] if account.is_sandbox else list(SWEEPS)


def _checked(account: Account, moment: datetime | None) -> datetime | None:
    advanced_to = account.sandbox_now
    if advanced_to is not None and advanced_to > account.created_at:
        # A test clock begins at the account's creation, and each advance ends with an evaluation where it stops.
        return max(advanced_to, moment or advanced_to)
    return moment


def _levels(account: Account, periods: Sequence[Period]) -> tuple[str, dict[str, Any]]:
    starts = sorted(period.starts_at for period in periods)
    if len(starts) == 1:
        return _LEVELS_IN_ONE, {"account": account.pk, "first": starts[0]}
    return _LEVELS, {"account": account.pk, "periods": starts, "first": starts[0]}


def _seats(period: Period, rows: Iterable[_LevelRow], now: datetime | None) -> list[tuple[date, Decimal]]:
    """Every local day of the period up to `now` with the highest level held on it; from rows in order of time."""
    carried_in = Decimal(0)
    reported: list[SeatDay] = []
    for _, _, starts_at, day, quantity, level in rows:
        if starts_at < period.starts_at:
            carried_in = level
        elif starts_at == period.starts_at:
            reported.append(SeatDay(day=day, highest=quantity, closing=level))
    days = local_days(Span(period.starts_at, period.ends_at), period.zone)
    if now is not None and now < period.ends_at:
        today = local_day(now, period.zone)
        days = tuple(day for day in days if day <= today)
    return list(zip(days, seats_per_day(days, rows=reported, carried_in=carried_in), strict=True))


def _held(rows: Iterable[_LevelRow], period: Period, now: datetime | None) -> Decimal:
    """The level held at `now`, or at the period's end: what the last reported day closed with."""
    today = local_day(now, period.zone) if now is not None and now < period.ends_at else period.last_day
    held = Decimal(0)
    for _, _, starts_at, day, _, level in rows:
        if starts_at <= period.starts_at and day <= today:
            held = level
    return held
