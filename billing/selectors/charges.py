"""What an account owes for a period so far (spec 2.11, 5.2-5.5): the billing page, the API, spend alerts and previews.

The arithmetic is `billing.charges`; here it is fed from terms, subscription rows and usage. 6 queries, whatever the
size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property

from django.db.models import CharField, DateField, F, Value
from django.db.models.functions import Cast

from billing.charges import AddOnPrice, Charges, MetricUse, account_charges
from billing.models import AddOnSubscription, PeriodTerms, Subscription
from billing.proration import PlanChange, PlanPart
from billing.selectors.holdings import days_of_period, metric_terms, parts_of
from billing.selectors.terms import terms_for
from usage.models import Account, Metric, Period
from usage.periods import Period as Span
from usage.projection import days_in, elapsed_days
from usage.selectors import MetricUsage, account_usage
from usage.services.periods import open_period


@dataclass(frozen=True)
class Standing:
    """Everything that an account's charges of a period are made of, as read at `now`. `usage` is by metric id."""

    currency: str
    period: Period
    now: datetime
    parts: Sequence[PlanPart]
    add_ons: Sequence[AddOnPrice]
    terms: Mapping[int, PeriodTerms]
    usage: Mapping[int, MetricUsage] = field(default_factory=dict)

    @cached_property
    def charges(self) -> Charges:
        """The lines with their sums and the projection."""
        span = Span(self.period.starts_at, self.period.ends_at)
        days = days_of_period(self.period)
        return account_charges(
            currency=self.currency,
            days_in_period=len(days),
            parts=self.parts,
            add_ons=self.add_ons,
            uses=[self._use(row, days) for row in self.terms.values()],
            days_used=elapsed_days(span, at=self.now),
            length=days_in(span),
        )

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


def usage_of(*, account: Account, period: Period | datetime, now: datetime) -> Standing:
    """Usage, limits, terms and charges of a period (its row or its start) at `now`, for every metric with terms, in 4
    queries (5 when the period is given by its start). Usage in stored units, by workspace id; charges in display units.
    """
    stored = stored_period(account, period)
    terms = terms_for(account=account, period_start=stored.starts_at)
    parts, add_ons = fixed_charges(account=account, period=stored)
    return Standing(
        currency=account.currency,
        period=stored,
        now=now,
        parts=parts,
        add_ons=add_ons,
        terms=terms,
        usage=account_usage(account=account, period=stored, metrics=[row.metric for row in terms.values()], now=now),
    )


def fixed_charges(*, account: Account, period: Period) -> tuple[list[PlanPart], list[AddOnPrice]]:
    """The plan's parts and the add-ons of a stored period, in 1 query (spec 5.3, 5.5)."""
    plans = (
        Subscription.objects.filter(account=account, period__lte=period.starts_at)
        .annotate(kind=Value("plan", output_field=CharField()), day=F("starts_on"), at=F("period"))
        .values_list("kind", "at", "day", "plan_id", "plan__key", "plan__name", "plan__price")
    )
    add_ons = (
        AddOnSubscription.objects.filter(account=account, from_period__lte=period.starts_at)
        .exclude(until_period__lte=period.starts_at)
        .annotate(kind=Value("add_on", output_field=CharField()), at=F("from_period"))
        .annotate(day=Cast(Value(None), DateField()))
        .values_list("kind", "at", "day", "add_on_id", "add_on__key", "add_on__name", "add_on__price")
    )
    changes: list[tuple[datetime, PlanChange]] = []
    extras: list[tuple[datetime, AddOnPrice]] = []
    for kind, at, day, owner, key, name, price in plans.order_by().union(add_ons.order_by(), all=True).order_by():
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
