"""Which plans an account may choose (spec 5.5, 6.3)."""

from __future__ import annotations

from billing.models import AddOn, Plan
from usage.models import Account


def offered_plans(account: Account) -> list[Plan]:
    """The newest offered version of every plan in the account's currency, in their order, with rates and metrics."""
    newest = Plan.objects.filter(is_offered=True, currency=account.currency).order_by("key", "-version").distinct("key")
    return sorted(newest.prefetch_related("rates__metric"), key=lambda plan: (plan.position, plan.price, plan.key))


def offered_add_ons(account: Account) -> list[AddOn]:
    """The offered add-ons in the account's currency, by name, with rates and metrics."""
    return list(
        AddOn.objects.filter(is_offered=True, currency=account.currency)
        .prefetch_related("rates__metric")
        .order_by("name")
    )
