"""Who gets the mail (spec 1.4)."""

from __future__ import annotations

from billing.models import BillingContact
from usage.models import Account


def contacts_of(account: Account) -> list[BillingContact]:
    """The account's billing contacts in the order in which they were added, with their teammates, in 1 query."""
    return list(
        BillingContact.objects.filter(account=account).select_related("teammate__user").order_by("created_at", "pk")
    )
