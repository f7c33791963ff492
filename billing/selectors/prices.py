"""The price beside the number in the drawer (spec 3.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from billing.charges import MetricTerms
from billing.models import PeriodTerms
from billing.money import round_money
from billing.selectors.holdings import metric_terms
from billing.selectors.terms import terms_for
from usage.models import Account, Metric, Period, Workspace
from usage.rounding import shown_quantity, stored_quantity
from usage.selectors import account_usage, current_period
from usage.written import Written, any_of

_PLACES: Final = Written(lambda ids: Workspace.objects.filter(any_of("pk", ids)).order_by("name", "key"))


@dataclass(frozen=True, slots=True)
class CostAt:
    """What the metric would cost the account. Amounts in its currency; quantities in display units.

    `amount` is the whole charge, with the contracted amount; `additional` the part above what is included or contracted
    (for pay-as-you-go all of it). `others` are the other workspaces that used the metric, with their usage now, and
    `terms` None when the metric has no terms and so costs nothing.
    """

    amount: Decimal
    additional: Decimal
    others: tuple[tuple[Workspace, Decimal], ...]
    terms: MetricTerms | None


def cost_at(*, account: Account, metric: Metric, workspace: Workspace, quantity: Decimal, now: datetime) -> CostAt:
    """The account's charge for the metric in the running period with `workspace` at `quantity` (display units) and the
    other workspaces at their usage now, rounded as the invoice's line would be (spec 3.8).
    """
    return costs_of(account=account, metric=metric, workspace=workspace, now=now)(quantity)


def costs_of(
    *,
    account: Account,
    metric: Metric,
    workspace: Workspace,
    now: datetime,
    period: Period | None = None,
    terms: PeriodTerms | None = None,
) -> Callable[[Decimal], CostAt]:
    """`cost_at` for any number of quantities, read once. Who has read the running `period` and the metric's `terms` in
    it (None = there are none) saves reading them again."""
    if period is None:
        period = current_period(account, now)
        terms = terms_for(account=account, period_start=period.starts_at).get(metric.pk)
    is_level = metric.kind == Metric.Kind.LEVEL
    used = account_usage(
        account=account, period=period, metrics=[metric], now=now, with_days=False, with_levels=is_level
    )[metric.pk]
    elsewhere = {key: held for key, held in used.own.items() if key != workspace.pk and held}
    names = _PLACES(ids=list(elsewhere)) if elsewhere else ()
    others = tuple((each, shown_quantity(elsewhere[each.pk], unit_size=metric.unit_size)) for each in names)
    nothing = round_money(0, account.currency)
    if terms is None:
        free = CostAt(amount=nothing, additional=nothing, others=others, terms=None)
        return lambda quantity: free
    priced = metric_terms(terms)
    contracted = priced.contracted_amount(account.currency)

    def at(quantity: Decimal) -> CostAt:
        pool = sum(elsewhere.values(), start=stored_quantity(quantity, unit_size=metric.unit_size))
        if priced.is_level:
            additional = priced.seats_amount([pool], 1, account.currency)
        else:
            additional = priced.amount(pool, account.currency)
        return CostAt(amount=additional + contracted, additional=additional, others=others, terms=priced)

    return at
