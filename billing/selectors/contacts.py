"""Who gets the mail (spec 1.4)."""

from __future__ import annotations

from typing import Final

from billing.models import BillingContact
from usage.models import Account
from usage.written import Written

_CONTACTS: Final = Written(
    lambda account: (
        BillingContact.objects.filter(account=account).select_related("teammate__user").order_by("created_at", "pk")
    )
)


def contacts_of(account: Account) -> list[BillingContact]:
    """The account's billing contacts in the order in which they were added, with their teammates, in 1 query."""
    return _CONTACTS(account=account.pk)
