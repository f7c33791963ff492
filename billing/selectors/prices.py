"""The price beside the number in the drawer (spec 3.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing.charges import ZERO, MetricTerms
from billing.money import round_money
from billing.selectors.holdings import metric_terms
from billing.selectors.terms import terms_for
from usage.models import Account, Metric, Workspace
from usage.rounding import shown_quantity, stored_quantity
from usage.selectors import account_usage, current_period


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


def costs_of(*, account: Account, metric: Metric, workspace: Workspace, now: datetime) -> Callable[[Decimal], CostAt]:
    """`cost_at` for any number of quantities, read once."""
    period = current_period(account, now)
    row = terms_for(account=account, period_start=period.starts_at).get(metric.pk)
    used = account_usage(
        account=account, period=period, metrics=[metric], now=now, with_days=metric.kind == Metric.Kind.LEVEL
    )[metric.pk]
    elsewhere = {key: held for key, held in used.own.items() if key != workspace.pk and held}
    names = Workspace.objects.filter(pk__in=elsewhere).order_by("name", "key") if elsewhere else ()
    others = tuple((each, shown_quantity(elsewhere[each.pk], unit_size=metric.unit_size)) for each in names)
    nothing = round_money(0, account.currency)
    if row is None:
        free = CostAt(amount=nothing, additional=nothing, others=others, terms=None)
        return lambda quantity: free
    terms = metric_terms(row)
    contracted = ZERO
    if terms.contracted_price is not None and terms.included is not None:
        contracted = round_money(terms.included * terms.contracted_price, account.currency)

    def at(quantity: Decimal) -> CostAt:
        pool = sum(elsewhere.values(), start=stored_quantity(quantity, unit_size=metric.unit_size))
        if terms.is_level:
            additional = terms.seats_amount([pool], 1, account.currency)
        else:
            additional = terms.amount(pool, account.currency)
        return CostAt(amount=additional + contracted, additional=additional, others=others, terms=terms)

    return at
