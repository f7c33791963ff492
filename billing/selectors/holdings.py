"""What an account has bought, and which terms that makes in any period (spec 5.3, 5.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from django.db.models import Q

from billing.charges import AddOnPrice, MetricTerms
from billing.models import AddOnSubscription, Contract, PeriodTerms, Plan, Rate, Subscription
from billing.proration import PlanChange, PlanPart, plan_parts
from usage.models import Account, Metric, Period
from usage.periods import Period as Span
from usage.periods import local_days
from usage.selectors.metrics import put_metrics
from usage.sql import together
from usage.written import Written, any_of

PRICING_COLUMNS: Final = ("model", "unit_price", "tiers", "package_size", "flat_fee", "minimum", "maximum")
TERMS_COLUMNS: Final = ("included", "is_unlimited", *PRICING_COLUMNS, "contracted", "contracted_price", "plan_id")

_SUBSCRIPTIONS: Final = Written(
    lambda account: Subscription.objects.filter(account=account).select_related("plan").order_by("period", "starts_on")
)
_ADD_ONS: Final = Written(
    lambda account: (
        AddOnSubscription.objects.filter(account=account).select_related("add_on").order_by("from_period", "pk")
    )
)
_CONTRACTS: Final = Written(lambda account: Contract.objects.filter(account=account).order_by("from_period", "pk"))
_RATES: Final = Written(
    lambda plans, add_ons: Rate.objects.filter(Q(any_of("plan", plans)) | Q(any_of("add_on", add_ons))).order_by("pk")
)


@dataclass(frozen=True)
class Holdings:
    """Subscription, add-on and contract rows of an account with their rates, as they stand; rows are in order of
    time."""

    account: Account
    subscriptions: Sequence[Subscription]
    add_ons: Sequence[AddOnSubscription]
    contracts: Sequence[Contract]
    rates: Sequence[Rate]
    _terms: dict[tuple[datetime, Plan | None], dict[int, PeriodTerms]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def subscription_in(self, period: datetime) -> Subscription | None:
        """The row whose plan makes the terms of the whole period that starts at `period`: an upgrade during it too."""
        held = [row for row in self.subscriptions if row.period <= period]
        return held[-1] if held else None

    def plan_in(self, period: datetime) -> Plan | None:
        row = self.subscription_in(period)
        return row.plan if row else None

    def changes_after(self, period: datetime) -> list[datetime]:
        """The later period starts at which something begins or ends, ascending."""
        instants = {row.period for row in self.subscriptions}
        instants |= {instant for row in self.add_ons for instant in (row.from_period, row.until_period) if instant}
        instants |= {instant for row in self.contracts for instant in (row.from_period, row.until_period) if instant}
        return sorted(instant for instant in instants if instant > period)

    def add_ons_in(self, period: datetime) -> list[AddOnSubscription]:
        if self._is_cancelled(period):
            return []
        return [row for row in self.add_ons if _holds(row, period)]

    def contracts_in(self, period: datetime) -> list[Contract]:
        return [row for row in self.contracts if _holds(row, period)]

    def terms_in(self, period: datetime, *, plan: Plan | None = None) -> dict[int, PeriodTerms]:
        """The terms of the period that starts at `period`, by metric id, as unsaved rows; `plan` instead of the one
        held.

        Included is the contracted amount if a contract names the metric, else plan plus add-ons; unlimited in any of
        them is unlimited. The price above it is the contract's, else the plan's, else the add-on's that was bought
        first. After a cancellation there are no terms. Asked again, they are the same rows.
        """
        if plan is None and self._is_cancelled(period):
            return {}
        key = (period, plan or self.plan_in(period))
        if key not in self._terms:
            self._terms[key] = self._made_terms(*key)
        return self._terms[key]

    def _made_terms(self, period: datetime, held_plan: Plan | None) -> dict[int, PeriodTerms]:
        add_on_ids = [row.add_on_id for row in self.add_ons_in(period)]
        contracts = {row.metric_id: row for row in self.contracts_in(period)}
        found: dict[int, list[Rate]] = {metric_id: [] for metric_id in contracts}
        metrics: dict[int, Metric] = {row.metric_id: row.metric for row in contracts.values()}
        owners = [("plan_id", held_plan.pk)] if held_plan else []
        owners += [("add_on_id", add_on_id) for add_on_id in add_on_ids]
        for column, owner in owners:
            for rate in self.rates:
                if getattr(rate, column) == owner:
                    found.setdefault(rate.metric_id, []).append(rate)
                    metrics[rate.metric_id] = rate.metric
        terms = {}
        for metric_id, rates in found.items():
            row = PeriodTerms(account=self.account, metric=metrics[metric_id], from_period=period, plan=held_plan)
            contract = contracts.get(metric_id)
            if contract:
                _fill_from_contract(row, contract, rates)
            else:
                _fill_from_rates(row, rates)
            terms[metric_id] = row
        return terms

    def plan_changes(self) -> list[tuple[datetime, PlanChange]]:
        """(period, change) of every subscription row, in order of time."""
        return [(row.period, plan_change(row)) for row in self.subscriptions]

    def _is_cancelled(self, period: datetime) -> bool:
        row = self.subscription_in(period)
        return row is not None and row.plan_id is None


def holdings_of(account: Account, *, plans: Sequence[Plan] = ()) -> Holdings:
    """Everything `account` has bought, in 5 queries and three trips; with the rates of `plans` too, which are being
    considered."""
    subscriptions, add_ons, contracts = together(
        _SUBSCRIPTIONS.read(account=account.pk), _ADD_ONS.read(account=account.pk), _CONTRACTS.read(account=account.pk)
    )
    plan_ids = {row.plan_id for row in subscriptions if row.plan_id} | {plan.pk for plan in plans}
    rates = _RATES(plans=list(plan_ids), add_ons=[row.add_on_id for row in add_ons])
    put_metrics(contracts, rates)
    return Holdings(account=account, subscriptions=subscriptions, add_ons=add_ons, contracts=contracts, rates=rates)


def same_terms(first: PeriodTerms | None, second: PeriodTerms | None) -> bool:
    """True when both say the same from their period on; None and an inactive row both say: no terms."""
    if first is None or not first.is_active:
        return second is None or not second.is_active
    if second is None or not second.is_active:
        return False
    return all(getattr(first, column) == getattr(second, column) for column in TERMS_COLUMNS)


def metric_terms(row: PeriodTerms) -> MetricTerms:
    """A row of terms with its metric as the plain value that `billing.charges` works on."""
    metric = row.metric
    return MetricTerms(
        metric_id=metric.pk,
        key=metric.key,
        name=metric.name,
        kind=row.kind,
        rate=row.as_rate(unit_size=metric.unit_size, included=row.included),
        included=None if row.is_unlimited else row.included,
        contracted_price=row.contracted_price,
        unit=metric.unit,
        unit_singular=metric.unit_singular,
        unit_size=metric.unit_size,
        is_level=metric.kind == Metric.Kind.LEVEL,
        position=metric.position,
    )


def plan_change(row: Subscription) -> PlanChange:
    plan = row.plan
    return PlanChange(
        starts_on=row.starts_on,
        plan_id=row.plan_id,
        name=plan.name if plan else "",
        price=plan.price if plan else None,
    )


def parts_of(period: Period, changes: Sequence[tuple[datetime, PlanChange]]) -> list[PlanPart]:
    """The plan's parts of a stored period (spec 5.5) from (period, change) pairs in order of time, as they stand."""
    earlier = [change for start, change in changes if start < period.starts_at]
    return plan_parts(
        days=days_of_period(period),
        before=earlier[-1] if earlier else None,
        changes=[change for start, change in changes if start == period.starts_at],
    )


def days_of_period(period: Period) -> tuple[date, ...]:
    """Every local day of a stored period, in its own zone."""
    return local_days(Span(period.starts_at, period.ends_at), period.zone)


def add_on_price(row: AddOnSubscription) -> AddOnPrice:
    return AddOnPrice(key=row.add_on.key, name=row.add_on.name, price=row.add_on.price)


def _holds(row: AddOnSubscription | Contract, period: datetime) -> bool:
    return row.from_period <= period and (row.until_period is None or period < row.until_period)


def _fill_from_rates(row: PeriodTerms, rates: Sequence[Rate]) -> None:
    if any(rate.is_unlimited for rate in rates):
        row.is_unlimited = True
        return
    _copy_price(row, rates[0])
    amounts = [rate.included for rate in rates if rate.included is not None]
    row.included = sum(amounts, start=Decimal(0)) if amounts else None


def _fill_from_contract(row: PeriodTerms, contract: Contract, rates: Sequence[Rate]) -> None:
    row.included = row.contracted = contract.quantity
    row.contracted_price = contract.unit_price
    if contract.overage_price is not None:
        row.unit_price = contract.overage_price
    elif rates and not rates[0].is_unlimited:
        _copy_price(row, rates[0])
    else:
        # Nothing else was agreed for a unit above, so it costs what a contracted one costs.
        row.unit_price = contract.unit_price


def _copy_price(row: PeriodTerms, rate: Rate) -> None:
    for column in PRICING_COLUMNS:
        setattr(row, column, getattr(rate, column))
