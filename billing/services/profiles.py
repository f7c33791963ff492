"""How an account is billed (spec 5.7)."""

from __future__ import annotations

from django.db import transaction

from billing.models import BillingProfile
from usage.errors import InvalidInput
from usage.models import Account
from usage.services.audit import Actor, record
from usage.services.locks import lock_account


@transaction.atomic
def set_system(*, account: Account, system: str, by: Actor) -> BillingProfile:
    """Bill the account by the exact or the previous system from its next invoice on.

    The ledger knows what was billed, so nothing is lost or billed twice by the move (spec 5.7, 5.10). The account's
    lock keeps it out of a closing. Raises InvalidInput.
    """
    if system not in BillingProfile.System.values:
        raise InvalidInput(f"The system is one of {', '.join(BillingProfile.System.values)}.", field="system")
    lock_account(account.pk)
    profile, is_new = BillingProfile.objects.get_or_create(account=account, defaults={"system": system})
    # An account without a profile is billed by the default system.
    before = BillingProfile._meta.get_field("system").get_default() if is_new else profile.system
    if before != system:
        profile.system = system
        profile.save(update_fields=["system"])
        record(
            by=by,
            action="billing.system_changed",
            subject=account.key,
            account=account,
            before={"system": before},
            after={"system": system},
        )
    return profile
