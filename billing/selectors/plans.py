"""Which plans an account may choose (spec 5.5, 6.3)."""

from __future__ import annotations

from billing.models import Plan
from usage.models import Account


def offered_plans(account: Account) -> list[Plan]:
    """The newest offered version of every plan in the account's currency, in their order."""
    newest = Plan.objects.filter(is_offered=True, currency=account.currency).order_by("key", "-version").distinct("key")
    return sorted(newest, key=lambda plan: (plan.position, plan.price, plan.key))
