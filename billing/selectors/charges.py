"""What an account owes for a period so far (spec 2.11, 5.2-5.5): the billing page, the API, spend alerts and previews.

The arithmetic is `billing.charges`; here it is fed from terms, subscription rows and usage. 4 queries, whatever the
size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property, partial
from typing import Any, Final

from billing.charges import AddOnPrice, Charges, MetricCharge, MetricUse, account_charges, metric_charges
from billing.models import PeriodTerms
from billing.proration import PlanChange, PlanPart
from billing.selectors.holdings import Holdings, add_on_price, days_of_period, metric_terms, parts_of
from billing.selectors.terms import terms_read
from usage.models import Account, Metric, Period
from usage.periods import Period as Span
from usage.projection import days_in, elapsed_days
from usage.selectors import MetricUsage, usage_rows
from usage.services.periods import open_period
from usage.sql import Read, together


@dataclass(frozen=True)
class Standing:
    """Everything that an account's charges of a period are made of, as read at `now`. `usage` is by metric id;
    `checked_at` is when alerts and limits were last checked (spec 2.8)."""

    currency: str
    period: Period
    now: datetime
    parts: Sequence[PlanPart]
    add_ons: Sequence[AddOnPrice]
    terms: Mapping[int, PeriodTerms]
    usage: Mapping[int, MetricUsage] = field(default_factory=dict)
    checked_at: datetime | None = None

    @cached_property
    def charges(self) -> Charges:
        """The lines with their sums and the projection."""
        return account_charges(parts=self.parts, add_ons=self.add_ons, **self._used)

    @cached_property
    def metrics(self) -> Mapping[int, MetricCharge]:
        """What each metric costs, by its id: of `charges` what needs no lines."""
        return metric_charges(**self._used)

    @property
    def _used(self) -> dict[str, Any]:
        span = Span(self.period.starts_at, self.period.ends_at)
        days = days_of_period(self.period)
        return {
            "currency": self.currency,
            "days_in_period": len(days),
            "uses": [self._use(row, days) for row in self.terms.values()],
            "days_used": elapsed_days(span, at=self.now),
            "length": days_in(span),
        }

    def _use(self, row: PeriodTerms, days: Sequence[date]) -> MetricUse:
        used = self.usage.get(row.metric_id) or MetricUsage(metric=row.metric)
        if row.metric.kind != Metric.Kind.LEVEL:
            return MetricUse(terms=metric_terms(row), quantities=used.own)
        return MetricUse(terms=metric_terms(row), quantities=used.own, days=self._seats(used, days))

    def _seats(self, used: MetricUsage, days: Sequence[date]) -> Mapping[int, Sequence[Decimal]]:
        """While the period runs, the seats held now as if they were held on all of its days (spec 5.4: the invoice may
        differ); once it has ended, what was held, as on the invoice."""
        if self.now < self.period.ends_at:
            return {workspace: [seats] * len(days) for workspace, seats in used.own.items()}
        return {workspace: [seats for _, seats in held] for workspace, held in used.days.items()}


def charges_so_far(*, account: Account, period: Period | datetime, now: datetime) -> Charges:
    """The account's charges of a period (its row or its start) at `now`: fixed lines, the cost of each metric's pool,
    the overage, the total so far and the projected one (None before 24 hours), in the account's currency.

    Raises BeforeFirstPeriod, AccountEnded.
    """
    return usage_of(account=account, period=period, now=now).charges


def usage_of(
    *, account: Account, period: Period | datetime, now: datetime, holdings: Holdings | None = None
) -> Standing:
    """Usage (of counted metrics without their days), limits, terms and charges of a period (its row or its start) at
    `now`, for every metric with terms, in one trip of 4 queries (one less with `holdings`; another trip when the period
    is given by its start). Usage in stored units, by workspace id; charges in display units.
    """
    stored = stored_period(account, period)
    terms_now = terms_read(account=account, period_start=stored.starts_at)
    rows_now = usage_rows(account=account, period=stored, with_days=False)
    if holdings is None:
        terms, rows, (parts, add_ons) = together(terms_now, rows_now, _fixed_read(account, stored))
    else:
        terms, rows = together(terms_now, rows_now)
        parts = parts_of(stored, holdings.plan_changes())
        add_ons = [add_on_price(row) for row in holdings.add_ons_in(stored.starts_at)]
    return Standing(
        currency=account.currency,
        period=stored,
        now=now,
        parts=parts,
        add_ons=add_ons,
        terms=terms,
        usage=rows.of([row.metric for row in terms.values()], now=now),
        checked_at=rows.checked_at,
    )


_FIXED: Final = """
SELECT 'plan', s.period, s.starts_on, s.plan_id, p.key, p.name, p.price
  FROM billing_subscription s LEFT JOIN billing_plan p ON p.id = s.plan_id
 WHERE s.account_id = %(account)s AND s.period <= %(period)s
 UNION ALL
SELECT 'add_on', s.from_period, NULL, s.add_on_id, a.key, a.name, a.price
  FROM billing_addonsubscription s JOIN billing_addon a ON a.id = s.add_on_id
 WHERE s.account_id = %(account)s AND s.from_period <= %(period)s
   AND (s.until_period IS NULL OR s.until_period > %(period)s)
"""


def fixed_charges(*, account: Account, period: Period) -> tuple[list[PlanPart], list[AddOnPrice]]:
    """The plan's parts and the add-ons of a stored period, in 1 query (spec 5.3, 5.5)."""
    return _fixed_read(account, period).answer()


def _fixed_read(account: Account, period: Period) -> Read[tuple[list[PlanPart], list[AddOnPrice]]]:
    return Read([(_FIXED, {"account": account.pk, "period": period.starts_at})], partial(_fixed, period))


def _fixed(period: Period, rows: Sequence[Any]) -> tuple[list[PlanPart], list[AddOnPrice]]:
    changes: list[tuple[datetime, PlanChange]] = []
    extras: list[tuple[datetime, AddOnPrice]] = []
    for kind, at, day, owner, key, name, price in rows:
        if kind == "plan":
            changes.append((at, PlanChange(starts_on=day, plan_id=owner, name=name or "", price=price)))
        else:
            extras.append((at, AddOnPrice(key=key, name=name, price=price)))
    changes.sort(key=lambda pair: (pair[0], pair[1].starts_on))
    extras.sort(key=lambda pair: (pair[0], pair[1].key))
    is_cancelled = bool(changes) and changes[-1][1].plan_id is None
    return parts_of(period, changes), [] if is_cancelled else [price for _, price in extras]


def stored_period(account: Account, period: Period | datetime) -> Period:
    """The period's row, given the row or the period's start."""
    return period if isinstance(period, Period) else open_period(account_id=account.pk, at=period)
