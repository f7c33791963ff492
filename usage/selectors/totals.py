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
from typing import Any

from usage.errors import NotFound
from usage.models import Account, Metric, Period, UsageTotal
from usage.periods import Period as Span
from usage.periods import local_day, local_days
from usage.seats import SeatDay, seat_days, seats_per_day
from usage.services.periods import open_period
from usage.sql import prepared

# The names under which the sweeps record their runs (spec 2.8).
SWEEPS = ("refresh", "recalculate-limits", "recalculate_limits")


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
    first = Period.objects.filter(account=account).order_by("starts_at").first()
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
    found = Period.objects.filter(account=account, starts_at__lte=until.starts_at).order_by("-starts_at")[:count]
    return list(reversed(found))


# One index step for each workspace and metric, at any number of events and periods.
_TOTALS = """
SELECT w.id, m.id, t.quantity, t.reserved, t.last_received_at, t.account_id IS NOT NULL, t.hard_limit, l.quantity
  FROM usage_workspace w
 CROSS JOIN unnest(%(metrics)s::bigint[]) AS m(id)
  LEFT JOIN usage_usagetotal t
         ON t.account_id = %(account)s AND t.workspace_id = w.id AND t.metric_id = m.id AND t.period = %(period)s
  LEFT JOIN LATERAL (
        SELECT u.quantity FROM usage_usagelimit u
         WHERE t.account_id IS NULL AND u.account_id = %(account)s AND u.workspace_id = w.id AND u.metric_id = m.id
           AND u.from_period <= %(period)s
         ORDER BY u.from_period DESC LIMIT 1) AS l ON true
 WHERE w.account_id = %(account)s
"""

# The days of the periods, and for levels (`d.level` set) the last reported day before the first period: carried in.
# Lists rather than joins: all four columns then lead into the key, and other periods' days are never touched.
_DAYS = """
SELECT d.workspace_id, d.metric_id, d.period, d.day, d.quantity, d.level
  FROM usage_usageday d
 WHERE d.account_id = %(account)s
   AND d.workspace_id = ANY(ARRAY(SELECT w.id FROM usage_workspace w WHERE w.account_id = %(account)s))
   AND d.metric_id = ANY(%(metrics)s::bigint[]) AND d.period = ANY(%(periods)s::timestamptz[])
UNION ALL
SELECT w.id, m.id, d.period, d.day, d.quantity, d.level
  FROM usage_workspace w
 CROSS JOIN unnest(%(levels)s::bigint[]) AS m(id)
 CROSS JOIN LATERAL (
        SELECT b.period, b.day, b.quantity, b.level FROM usage_usageday b
         WHERE b.account_id = %(account)s AND b.workspace_id = w.id AND b.metric_id = m.id AND b.period < %(first)s
         ORDER BY b.period DESC, b.day DESC LIMIT 1) AS d
 WHERE w.account_id = %(account)s
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

_DayRow = tuple[int, int, datetime, date, Decimal, Decimal | None]


def account_usage(
    *, account: Account, period: Period, metrics: Iterable[Metric], now: datetime | None = None, with_days: bool = True
) -> dict[int, MetricUsage]:
    """Totals, limits and days of every workspace in `period`, by metric id, in the order given; 2 queries.

    `now` bounds the days of levels (default: the whole period). Quantities in stored units. `with_days=False` saves the
    second query where only counted metrics' totals are needed (levels then read 0).
    """
    usage = {metric.pk: MetricUsage(metric=metric) for metric in metrics}
    arguments: dict[str, Any] = {"account": account.pk, "period": period.starts_at, "metrics": list(usage)}
    for workspace_id, metric_id, quantity, reserved, received_at, is_counted, limit, later in _rows(_TOTALS, arguments):
        line = usage[metric_id]
        line.own[workspace_id] = quantity if is_counted else Decimal(0)
        line.reserved[workspace_id] = reserved if is_counted else Decimal(0)
        line.limits[workspace_id] = limit if is_counted else later
        line.days[workspace_id] = []
        if is_counted and (line.last_received_at is None or received_at > line.last_received_at):
            line.last_received_at = received_at
    if not with_days:
        return usage
    levels = [metric_id for metric_id, line in usage.items() if line.is_level]
    rows = _day_rows(account, [period], list(usage), levels)
    for workspace_id, metric_id, starts_at, day, quantity, level in rows:
        if level is None and starts_at == period.starts_at:
            usage[metric_id].days[workspace_id].append((day, quantity))
    for metric_id in levels:
        line = usage[metric_id]
        for workspace_id in line.own:
            reports = [row for row in rows if row[0] == workspace_id and row[1] == metric_id]
            line.days[workspace_id] = _seats(period, reports, now)
            line.own[workspace_id] = _held(reports, period, now)
    return usage


def usage_history(
    *, account: Account, metrics: Iterable[Metric], periods: Sequence[Period], now: datetime | None = None
) -> dict[int, dict[datetime, dict[int, Decimal]]]:
    """Ledger quantities by metric id, period start and workspace id, for `periods` (oldest first); at most 2 queries.

    Totals, of levels seat-days, in stored units; what was not used is not there. `now` bounds the days of levels.
    """
    wanted = list(metrics)
    history: dict[int, dict[datetime, dict[int, Decimal]]] = {
        metric.pk: {period.starts_at: {} for period in periods} for metric in wanted
    }
    counted = [metric.pk for metric in wanted if metric.kind != Metric.Kind.LEVEL]
    levels = [metric.pk for metric in wanted if metric.kind == Metric.Kind.LEVEL]
    if counted and periods:
        totals = UsageTotal.objects.filter(
            account=account,
            workspace__account=account,
            metric__in=counted,
            period__in=[period.starts_at for period in periods],
        ).values_list("metric_id", "period", "workspace_id", "quantity")
        for metric_id, starts_at, workspace_id, quantity in totals:
            history[metric_id][starts_at][workspace_id] = quantity
    if levels and periods:
        rows = _day_rows(account, periods, levels, levels)
        for workspace_id, metric_id in {(row[0], row[1]) for row in rows}:
            reports = [row for row in rows if row[0] == workspace_id and row[1] == metric_id]
            for period in periods:
                held = seat_days(quantity for _, quantity in _seats(period, reports, now))
                if held:
                    history[metric_id][period.starts_at][workspace_id] = held
    return history


def last_checked_at(account: Account, *, period: Period | None = None) -> datetime | None:
    """When alerts and limits were last checked (spec 2.8): by the account's own evaluation or, except for sandbox
    accounts, by the last sweep. `period` (the page's) keeps the read to one period's totals."""
    arguments = {
        "account": account.pk,
        "period": period.starts_at if period is not None else None,
        "sweeps": [] if account.is_sandbox else list(SWEEPS),
    }
    moment: datetime | None = _rows(_CHECKED, arguments)[0][0]
    advanced_to = account.sandbox_now
    if advanced_to is not None and advanced_to > account.created_at:
        # A test clock begins at the account's creation, and each advance ends with an evaluation where it stops.
        return max(advanced_to, moment or advanced_to)
    return moment


def _day_rows(account: Account, periods: Sequence[Period], metrics: list[int], levels: list[int]) -> list[_DayRow]:
    starts = sorted(period.starts_at for period in periods)
    rows = _rows(
        _DAYS, {"account": account.pk, "periods": starts, "first": starts[0], "metrics": metrics, "levels": levels}
    )
    return sorted(rows, key=itemgetter(0, 1, 2, 3))


def _seats(period: Period, rows: Iterable[_DayRow], now: datetime | None) -> list[tuple[date, Decimal]]:
    """Every local day of the period up to `now` with the highest level held on it; from rows in order of time."""
    carried_in = Decimal(0)
    reported: list[SeatDay] = []
    for _, _, starts_at, day, quantity, level in rows:
        if level is None:
            continue
        if starts_at < period.starts_at:
            carried_in = level
        elif starts_at == period.starts_at:
            reported.append(SeatDay(day=day, highest=quantity, closing=level))
    days = local_days(Span(period.starts_at, period.ends_at), period.zone)
    if now is not None and now < period.ends_at:
        today = local_day(now, period.zone)
        days = tuple(day for day in days if day <= today)
    return list(zip(days, seats_per_day(days, rows=reported, carried_in=carried_in), strict=True))


def _held(rows: Iterable[_DayRow], period: Period, now: datetime | None) -> Decimal:
    """The level held at `now`, or at the period's end: what the last reported day closed with."""
    today = local_day(now, period.zone) if now is not None and now < period.ends_at else period.last_day
    held = Decimal(0)
    for _, _, starts_at, day, _, level in rows:
        if level is not None and starts_at <= period.starts_at and day <= today:
            held = level
    return held


def _rows(query: str, arguments: dict[str, Any]) -> list[Any]:
    return prepared(query, arguments)
