"""What closing needs to know of many accounts at once, each in one period: a constant number of queries for any number
of accounts (spec 5.6; Data 5, 9).

The arithmetic is that of the pages (`billing.charges`, `billing.selectors.holdings`); only the reading is by sets.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

from billing.charges import AddOnPrice, MetricTerms, MetricUse
from billing.models import BillingProfile, PeriodTerms
from billing.proration import PlanChange
from billing.selectors.holdings import metric_terms
from usage.models import Account, Metric, Period
from usage.periods import Period as Span
from usage.periods import local_days
from usage.seats import SeatDay, seats_per_day
from usage.sql import planned
from usage.wire import bigints, numerics, timestamps

Pair = tuple[int, datetime]  # account id, start of the period


@dataclass(slots=True)
class Closing:
    """An account and the period that it closes. `uses` are the totals as they stand, in stored units."""

    account: Account
    period: Period
    profile: BillingProfile
    last_received_at: datetime | None = None
    previous_cut: datetime | None = None  # of its last regular invoice
    is_billed: bool = False
    names: dict[int, str] = field(default_factory=dict)
    changes: list[tuple[datetime, PlanChange]] = field(default_factory=list)
    add_ons: list[AddOnPrice] = field(default_factory=list)
    terms: list[MetricTerms] = field(default_factory=list)
    uses: list[MetricUse] = field(default_factory=list)


# Each account's rows are asked for by themselves (LATERAL, with OFFSET 0 where the planner would join otherwise): a
# hundred steps into an index cost less than a table that grows with all accounts and their history.
_PAIRS = "unnest(%(accounts)s::bigint[], %(periods)s::timestamptz[]) AS x(account_id, period)"

_HEADS = f"""
SELECT x.account_id,
       (SELECT max(t.last_received_at) FROM usage_usagetotal t WHERE t.account_id = x.account_id),
       (SELECT max(newest.received_at)
          FROM usage_workspace w
          JOIN usage_metric m ON m.kind = 'level'
          JOIN usage_period p ON p.account_id = x.account_id
         CROSS JOIN LATERAL (
                SELECT e.received_at FROM usage_usageevent e
                 WHERE e.account_id = x.account_id AND e.workspace_id = w.id AND e.metric_id = m.id
                   AND e.period = p.starts_at
                 ORDER BY e.received_at DESC LIMIT 1) AS newest
         WHERE w.account_id = x.account_id),
       (SELECT i.cut_at FROM billing_invoice i WHERE i.account_id = x.account_id AND i.reason = 'regular'
         ORDER BY i.period DESC LIMIT 1),
       billed.id IS NOT NULL
  FROM {_PAIRS}
  LEFT JOIN LATERAL (
        SELECT i.id FROM billing_invoice i
         WHERE i.account_id = x.account_id AND i.period = x.period AND i.reason = 'regular' LIMIT 1) AS billed ON true
"""  # noqa: S608 - constants

_TERMS = f"""
SELECT x.account_id, t.*
  FROM {_PAIRS}
 CROSS JOIN LATERAL (
        SELECT DISTINCT ON (t.metric_id)
               t.metric_id, t.is_active, t.included, t.is_unlimited, t.model, t.unit_price, t.tiers::text,
               t.package_size, t.flat_fee, t.minimum, t.maximum, t.contracted, t.contracted_price
          FROM billing_periodterms t
         WHERE t.account_id = x.account_id AND t.from_period <= x.period
         ORDER BY t.metric_id, t.from_period DESC) AS t
"""  # noqa: S608 - constants
_TERMS_COLUMNS = (
    *("is_active", "included", "is_unlimited", "model", "unit_price", "tiers", "package_size", "flat_fee", "minimum"),
    *("maximum", "contracted", "contracted_price"),
)

_HELD = f"""
SELECT s.account_id, 'plan', s.period, s.starts_on, p.id, p.key, p.name, p.price
  FROM {_PAIRS}
  JOIN billing_subscription s ON s.account_id = x.account_id AND s.period <= x.period
  LEFT JOIN billing_plan p ON p.id = s.plan_id
UNION ALL
SELECT s.account_id, 'add_on', s.from_period, NULL, a.id, a.key, a.name, a.price
  FROM {_PAIRS}
  JOIN billing_addonsubscription s ON s.account_id = x.account_id AND s.from_period <= x.period
       AND (s.until_period IS NULL OR s.until_period > x.period)
  JOIN billing_addon a ON a.id = s.add_on_id
 ORDER BY 1, 2, 3, 4, 6
"""  # noqa: S608 - constants

_TOTALS = f"""
SELECT x.account_id, t.workspace_id, t.metric_id, t.quantity
  FROM {_PAIRS}
 CROSS JOIN LATERAL (
        SELECT t.workspace_id, t.metric_id, t.quantity FROM usage_usagetotal t
         WHERE t.account_id = x.account_id AND t.period = x.period AND t.quantity <> 0 OFFSET 0) AS t
"""  # noqa: S608 - constants

# Reported days of levels: those of the period, and the last one before it, whose closing level is carried in.
_SEATS = f"""
SELECT x.account_id, w.id, m.id, d.period, d.day, d.quantity, d.level
  FROM {_PAIRS}
  JOIN usage_workspace w ON w.account_id = x.account_id
 CROSS JOIN unnest(%(metrics)s::bigint[]) AS m(id)
 CROSS JOIN LATERAL (
       (SELECT d.period, d.day, d.quantity, d.level FROM usage_usageday d
         WHERE d.account_id = x.account_id AND d.workspace_id = w.id AND d.metric_id = m.id AND d.period = x.period)
        UNION ALL
       (SELECT d.period, d.day, d.quantity, d.level FROM usage_usageday d
         WHERE d.account_id = x.account_id AND d.workspace_id = w.id AND d.metric_id = m.id AND d.period < x.period
         ORDER BY d.period DESC, d.day DESC LIMIT 1)) AS d
 ORDER BY 1, 2, 3, 4, 5
"""  # noqa: S608 - constants

# Totals say when they last changed, so this reads a row for each total and never an event.
_TOUCHED = """
SELECT DISTINCT t.account_id
  FROM unnest(%(accounts)s::bigint[], %(periods)s::timestamptz[], %(cuts)s::timestamptz[]) AS x(account_id, period, cut)
  JOIN usage_usagetotal t ON t.account_id = x.account_id AND t.period < x.period AND t.last_received_at > x.cut
UNION
SELECT DISTINCT x.account_id
  FROM unnest(%(accounts)s::bigint[], %(periods)s::timestamptz[], %(cuts)s::timestamptz[]) AS x(account_id, period, cut)
  JOIN usage_workspace w ON w.account_id = x.account_id
  JOIN usage_metric m ON m.kind = 'level'
  JOIN usage_period p ON p.account_id = x.account_id AND p.starts_at < x.period
 WHERE EXISTS (
        SELECT 1 FROM usage_usageevent e
         WHERE e.account_id = x.account_id AND e.workspace_id = w.id AND e.metric_id = m.id AND e.period = p.starts_at
           AND e.received_at > x.cut)
"""

_DAYS = """
SELECT c.account_id, c.metric_id, (
        SELECT json_agg(json_build_array(x.day, x.quantity::text) ORDER BY x.day)::text
          FROM (SELECT d.day, trim_scale(round(sum(d.quantity) / c.unit_size, 6)) AS quantity
                  FROM usage_workspace w
                 CROSS JOIN LATERAL (
                        SELECT d.day, d.quantity FROM usage_usageday d
                         WHERE d.account_id = c.account_id AND d.workspace_id = w.id AND d.metric_id = c.metric_id
                           AND d.period = c.period OFFSET 0) AS d
                 WHERE w.account_id = c.account_id
                 GROUP BY d.day) AS x)
  FROM unnest(%(accounts)s::bigint[], %(periods)s::timestamptz[], %(metrics)s::bigint[], %(sizes)s::numeric[])
       AS c(account_id, period, metric_id, unit_size)
"""


def read_closings(pairs: Sequence[Pair]) -> list[Closing]:
    """What `pairs` close, in their order; the accounts are all different, their periods stored. 8 queries. The caller
    holds the accounts' locks."""
    ids = [account_id for account_id, _ in pairs]
    accounts = Account.objects.in_bulk(ids)
    profiles = {row.account_id: row for row in BillingProfile.objects.filter(account__in=ids)}
    wanted = set(pairs)
    stored = Period.objects.filter(account__in=ids, starts_at__in={start for _, start in pairs})
    periods = {row.account_id: row for row in stored if (row.account_id, row.starts_at) in wanted}
    found = {
        pk: Closing(accounts[pk], periods[pk], profiles.get(pk) or BillingProfile(account=accounts[pk])) for pk in ids
    }
    arguments: dict[str, Any] = {"accounts": ids, "periods": [start for _, start in pairs]}
    for account_id, counted_at, reported_at, cut, is_billed in _rows(_HEADS, arguments):
        closing = found[account_id]
        received = [at for at in (counted_at, reported_at) if at is not None]
        closing.last_received_at = max(received, default=None)
        closing.previous_cut, closing.is_billed = cut, is_billed
    for account_id, pk, name in _rows(
        "SELECT account_id, id, name FROM usage_workspace WHERE account_id = ANY(%(accounts)s)", {"accounts": ids}
    ):
        found[account_id].names[pk] = name
    _read_terms(found, arguments)
    _read_holdings(found, arguments)
    _read_uses(found, arguments)
    return [found[account_id] for account_id in ids]


def with_late_usage(closings: Iterable[Closing]) -> set[int]:
    """Accounts where something of an earlier period was received since the last regular invoice, in 1 query."""
    rows = [row for row in closings if row.previous_cut is not None]
    arguments: dict[str, list[Any]] = {
        "accounts": [row.account.pk for row in rows],
        "periods": [row.period.starts_at for row in rows],
        "cuts": [row.previous_cut for row in rows],
    }
    return {account_id for (account_id,) in _rows(_TOUCHED, arguments)} if rows else set()


def days_for_charts(
    wanted: Sequence[tuple[Closing, MetricTerms]],
) -> dict[tuple[int, int], list[list[str]]]:
    """[day, quantity] of the account's pool by (account id, metric id), in display units, ascending, in 1 query."""
    if not wanted:
        return {}
    arguments: dict[str, list[Any]] = {
        "accounts": [closing.account.pk for closing, _ in wanted],
        "periods": [closing.period.starts_at for closing, _ in wanted],
        "metrics": [terms.metric_id for _, terms in wanted],
        "sizes": [Decimal(terms.unit_size) for _, terms in wanted],
    }
    rows = _rows(_DAYS, arguments)
    return {(account_id, metric_id): json.loads(days) for account_id, metric_id, days in rows if days}


def _read_terms(found: Mapping[int, Closing], arguments: Mapping[str, Any]) -> None:
    metrics = Metric.objects.in_bulk()
    known: dict[tuple[Any, ...], MetricTerms] = {}  # accounts of one plan have equal terms
    for account_id, *columns in _rows(_TERMS, arguments):
        if not columns[1]:
            continue
        key = tuple(columns)
        if key not in known:
            values = dict(zip(_TERMS_COLUMNS, columns[1:], strict=True))
            values["tiers"] = json.loads(values["tiers"])
            known[key] = metric_terms(PeriodTerms(metric=metrics[columns[0]], **values))
        found[account_id].terms.append(known[key])


def _read_holdings(found: Mapping[int, Closing], arguments: Mapping[str, Any]) -> None:
    for account_id, kind, at, day, owner, key, name, price in _rows(_HELD, arguments):
        if kind == "plan":
            change = PlanChange(starts_on=day, plan_id=owner, name=name or "", price=price)
            found[account_id].changes.append((at, change))
        else:
            found[account_id].add_ons.append(AddOnPrice(key=key, name=name, price=price))
    for closing in found.values():
        # Add-ons end with the plan (spec 5.3).
        if closing.changes and closing.changes[-1][1].plan_id is None:
            closing.add_ons = []


def _read_uses(found: Mapping[int, Closing], arguments: Mapping[str, Any]) -> None:
    terms = {row.metric_id: row for closing in found.values() for row in closing.terms}
    levels = [metric_id for metric_id, row in terms.items() if row.is_level]
    totals: dict[tuple[int, int], dict[int, Decimal]] = {}
    for account_id, workspace_id, metric_id, quantity in _rows(_TOTALS, arguments):
        totals.setdefault((account_id, metric_id), {})[workspace_id] = quantity
    reports: dict[tuple[int, int], dict[int, list[tuple[Any, ...]]]] = {}
    for account_id, workspace_id, metric_id, *day in _rows(_SEATS, {**arguments, "metrics": levels}) if levels else ():
        reports.setdefault((account_id, metric_id), {}).setdefault(workspace_id, []).append(tuple(day))
    for account_id, closing in found.items():
        for row in closing.terms:
            key = (account_id, row.metric_id)
            if row.is_level:
                days = {
                    workspace_id: _held_days(closing.period, rows)
                    for workspace_id, rows in sorted(reports.get(key, {}).items())
                }
                held = {workspace_id: counts[-1] for workspace_id, counts in days.items()}
                closing.uses.append(MetricUse(terms=row, quantities=held, days=days))
            else:
                closing.uses.append(MetricUse(terms=row, quantities=dict(sorted(totals.get(key, {}).items()))))


def _held_days(period: Period, rows: Sequence[tuple[datetime, date, Decimal, Decimal]]) -> Sequence[Decimal]:
    """The level of each local day of the period, from reported days in order of time."""
    carried_in = Decimal(0)
    reported = []
    for starts_at, day, highest, closing in rows:
        if starts_at < period.starts_at:
            carried_in = closing
        else:
            reported.append(SeatDay(day=day, highest=highest, closing=closing))
    days = local_days(Span(period.starts_at, period.ends_at), period.zone)
    return seats_per_day(days, rows=reported, carried_in=carried_in)


_COLUMNS: Final[Mapping[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("accounts", "metrics"), bigints),
    **dict.fromkeys(("periods", "cuts"), timestamps),
    "sizes": numerics,
}


def _rows(query: str, arguments: Mapping[str, Sequence[Any]]) -> list[tuple[Any, ...]]:
    columns = {name: _COLUMNS[name](values) for name, values in arguments.items()}
    return planned(query, columns)
