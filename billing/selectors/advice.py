"""Advice: when another plan would be better, and how to need less (spec 5.12)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Final

from billing.charges import ZERO, Charges, MetricTerms, MetricUse
from billing.models import Plan
from billing.money import round_money
from billing.selectors.changes import UPGRADE, kind_of_change
from billing.selectors.charges import Standing, usage_of
from billing.selectors.history import uses_of
from billing.selectors.holdings import Holdings, holdings_of, metric_terms
from billing.selectors.plans import offered_plans
from usage.models import Account, Period
from usage.rounding import exact
from usage.selectors import current_period, last_periods

NEAR_INCLUDED: Final = "near_included"
OVERAGE_EXCEEDS_DIFFERENCE: Final = "overage_exceeds_difference"
PROJECTION_EXCEEDS_INCLUDED: Final = "projection_exceeds_included"

CLOSED_PERIODS: Final = 3
NEAR: Final = Fraction(4, 5)

TIPS: Final = (
    "Qualify better: fewer unqualified conversations are counted.",
    "Make workflows leaner: each unnecessary step can cost an interaction.",
    "Use the cheapest channel that fits each case.",
    "Review the AI configuration, so that conversations are handled efficiently.",
)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why there is advice: `kind` and the metrics concerned (names; for money none), with the overage for money."""

    kind: str
    metrics: tuple[str, ...] = ()
    overage: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PeriodCost:
    """What a period's usage costs on the plan held and on the next: the plan's full price plus the charges of the
    metrics on which the two differ. `is_projected` for the running period."""

    period: Period
    cost: Decimal
    next_cost: Decimal
    is_projected: bool


@dataclass(frozen=True, slots=True)
class RateChange:
    """A metric on which the two plans differ, by the account's terms under either."""

    before: MetricTerms | None
    after: MetricTerms | None


@dataclass(frozen=True, slots=True)
class Advice:
    """What the billing page says. `next_plan` None: there is no plan above, and only the tips are left. `saving` is
    what the next plan would save in the running period at this pace, None when nothing or too early to tell."""

    reasons: tuple[Reason, ...]
    plan: Plan
    next_plan: Plan | None
    periods: tuple[PeriodCost, ...]
    rates: tuple[RateChange, ...]
    saving: Decimal | None
    tips: tuple[str, ...] = TIPS


def advice_for(
    *,
    account: Account,
    now: datetime,
    standing: Standing | None = None,
    offered: Sequence[Plan] | None = None,
    holdings: Holdings | None = None,
) -> Advice | None:
    """Advice at `now`, oldest period first, amounts in the account's currency and rounded like lines; None when there
    is no reason for any, or no plan (spec 5.12). Who has read the running period's `standing`, the `offered` plans and
    the `holdings` with their rates saves reading them again."""
    period = standing.period if standing else current_period(account, now)
    offered = offered_plans(account) if offered is None else offered
    holdings = holdings or holdings_of(account, plans=offered)
    plan = holdings.plan_in(period.starts_at)
    if plan is None:
        return None
    standing = standing or usage_of(account=account, period=period, now=now)
    charges = standing.charges
    closed = last_periods(account, until=period, count=CLOSED_PERIODS + 1)[:-1]
    uses = uses_of(account=account, periods=closed, known=[row.metric for row in standing.terms.values()])
    reasons = [*_near_included([uses[each.starts_at] for each in closed]), *_projection_exceeds(charges)]
    next_plan = next_plan_of(holdings, offered, period=period.starts_at)
    if next_plan is None:
        return Advice(tuple(reasons), plan, None, (), (), None) if reasons else None
    rates_in = _rates_by_period(holdings, plan, next_plan)
    rates = rates_in(period.starts_at)
    overages = {metric_id: charge.overage_amount for metric_id, charge in charges.metrics.items()}
    overage = _of_differing(rates, overages)
    if closed:
        last = uses[closed[-1].starts_at]
        overages = {metric_id: use.terms.amount(use.pool, account.currency) for metric_id, use in last.items()}
        overage = max(overage, _of_differing(rates, overages))
    if overage > next_plan.price - plan.price:
        reasons.append(Reason(kind=OVERAGE_EXCEEDS_DIFFERENCE, overage=overage))
    if not reasons:
        return None
    costs = []
    for each in closed:
        pools = {metric_id: use.pool for metric_id, use in uses[each.starts_at].items()}
        costs.append(_cost(plan, next_plan, each, rates_in(each.starts_at), pools, account.currency))
    projected = {
        metric_id: charge.projected for metric_id, charge in charges.metrics.items() if charge.projected is not None
    }
    saving = None
    if projected:
        cost = _cost(plan, next_plan, period, rates, projected, account.currency, is_projected=True)
        saving = cost.cost - cost.next_cost if cost.next_cost < cost.cost else None
        costs.append(cost)
    return Advice(tuple(reasons), plan, next_plan, tuple(costs), rates, saving)


def next_plan_of(holdings: Holdings, offered: Sequence[Plan], *, period: datetime) -> Plan | None:
    """The cheapest offered plan that would be an upgrade in the period that starts at `period`; its rates must be in
    `holdings`."""
    cheapest_first = sorted(offered, key=lambda plan: plan.price)
    above = (plan for plan in cheapest_first if kind_of_change(holdings, plan=plan, period=period) == UPGRADE)
    return next(above, None)


def _near_included(closed: Sequence[Mapping[int, MetricUse]]) -> list[Reason]:
    """80 % of what is included, or more, in each of the last three closed periods."""
    if len(closed) < CLOSED_PERIODS:
        return []
    near = [
        {metric_id for metric_id, use in metrics.items() if _share(use.terms, use.pool) >= NEAR} for metrics in closed
    ]
    names = [use.terms.name for metric_id, use in closed[-1].items() if all(metric_id in each for each in near)]
    return [Reason(kind=NEAR_INCLUDED, metrics=tuple(names))] if names else []


def _projection_exceeds(charges: Charges) -> list[Reason]:
    names = [
        charge.terms.name
        for charge in charges.metrics.values()
        if charge.projected is not None and _share(charge.terms, charge.projected) > 1
    ]
    return [Reason(kind=PROJECTION_EXCEEDS_INCLUDED, metrics=tuple(names))] if names else []


def _share(terms: MetricTerms, pool: Decimal) -> Fraction:
    """Of what is included; 0 where nothing is."""
    if not terms.included:
        return Fraction(0)
    return exact(pool, "quantity") / (exact(terms.included, "included") * terms.unit_size)


def _rates_by_period(holdings: Holdings, plan: Plan, next_plan: Plan) -> Callable[[datetime], tuple[RateChange, ...]]:
    """`_rates` of any period; periods in which the same add-ons and contracts hold share theirs."""
    known: dict[tuple[tuple[int, ...], ...], tuple[RateChange, ...]] = {}

    def rates_in(period: datetime) -> tuple[RateChange, ...]:
        bought = (holdings.add_ons_in(period), holdings.contracts_in(period))
        held = tuple(tuple(row.pk for row in rows) for rows in bought)
        if held not in known:
            known[held] = _rates(holdings, plan, next_plan, period)
        return known[held]

    return rates_in


def _rates(holdings: Holdings, plan: Plan, next_plan: Plan, period: datetime) -> tuple[RateChange, ...]:
    """The counted metrics on which the plans differ, with the account's add-ons and contracts of that period."""
    before, after = holdings.terms_in(period, plan=plan), holdings.terms_in(period, plan=next_plan)
    changes = []
    for metric_id in before.keys() | after.keys():
        terms = tuple(metric_terms(rows[metric_id]) if metric_id in rows else None for rows in (before, after))
        known = next(each for each in terms if each is not None)
        if terms[0] != terms[1] and not known.is_level:
            changes.append((known.position, RateChange(*terms)))
    return tuple(change for _, change in sorted(changes, key=lambda pair: pair[0]))


def _of_differing(rates: Sequence[RateChange], overages: Mapping[int, Decimal]) -> Decimal:
    """What was charged above included for the metrics on which the plans differ."""
    differing = {change.before.metric_id for change in rates if change.before}
    return sum((amount for metric_id, amount in overages.items() if metric_id in differing), start=ZERO)


def _cost(
    plan: Plan,
    next_plan: Plan,
    period: Period,
    rates: Sequence[RateChange],
    pools: Mapping[int, Decimal],
    currency: str,
    *,
    is_projected: bool = False,
) -> PeriodCost:
    def on(price: Decimal, terms: Iterable[MetricTerms | None]) -> Decimal:
        amounts = (each.amount(pools.get(each.metric_id, ZERO), currency) for each in terms if each)
        return sum(amounts, start=round_money(price, currency))

    return PeriodCost(
        period=period,
        cost=on(plan.price, (change.before for change in rates)),
        next_cost=on(next_plan.price, (change.after for change in rates)),
        is_projected=is_projected,
    )
