"""Which plans an account may choose (spec 5.5, 6.3)."""

from __future__ import annotations

from typing import Final

from billing.models import Plan
from usage.models import Account
from usage.written import Written

_NEWEST: Final = Written(
    lambda currency: Plan.objects.filter(is_offered=True, currency=currency).order_by("key", "-version").distinct("key")
)


def offered_plans(account: Account) -> list[Plan]:
    """The newest offered version of every plan in the account's currency, in their order."""
    return sorted(_NEWEST(currency=account.currency), key=lambda plan: (plan.position, plan.price, plan.key))
