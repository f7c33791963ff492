"""Billing contacts: who gets every alert, limit and invoice e-mail of the account (spec 1.4).

Who may change them (*Can manage billing*, spec 1.2) is the caller's question.
"""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from billing.errors import ContactExists
from billing.models import BillingContact
from usage.errors import InvalidInput, NotFound
from usage.models import Account, Teammate
from usage.services.audit import Actor, record


@transaction.atomic
def add_contact(
    *, account: Account, email: str, name: str = "", teammate: Teammate | None = None, by: Actor
) -> BillingContact:
    """Add a contact. Raises InvalidInput naming the field, ContactExists (addresses are compared without case)."""
    contact = BillingContact(account=account, email=email.strip(), name=name.strip(), teammate=teammate)
    _save(contact)
    record(by=by, action="contact.added", subject=contact.email, account=account, after=_as_audited(contact))
    return contact


@transaction.atomic
def change_contact(
    *,
    contact: BillingContact,
    email: str | None = None,
    name: str | None = None,
    by: Actor,
) -> BillingContact:
    """Change address or name; None leaves it as it is. Raises as `add_contact`, NotFound when it was removed
    meanwhile."""
    stored = BillingContact.objects.select_for_update().select_related("account").filter(pk=contact.pk).first()
    if stored is None:
        raise NotFound("This billing contact was removed.")
    before = _as_audited(stored)
    stored.email = stored.email if email is None else email.strip()
    stored.name = stored.name if name is None else name.strip()
    if _as_audited(stored) == before:
        return stored
    _save(stored)
    record(
        by=by,
        action="contact.changed",
        subject=stored.email,
        account=stored.account,
        before=before,
        after=_as_audited(stored),
    )
    return stored


@transaction.atomic
def remove_contact(*, contact: BillingContact, by: Actor) -> None:
    """Remove a contact; removing it twice is once. What was sent to the address stays in the record."""
    deleted, _ = BillingContact.objects.filter(pk=contact.pk).delete()
    if deleted:
        record(
            by=by,
            action="contact.removed",
            subject=contact.email,
            account=contact.account_id,
            before=_as_audited(contact),
        )


def _save(contact: BillingContact) -> None:
    try:
        contact.full_clean(validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise InvalidInput(" ".join(messages), field=field) from error
    if contact.teammate and contact.teammate.workspace.account_id != contact.account_id:
        raise InvalidInput("This teammate belongs to another account.", field="teammate")
    try:
        with transaction.atomic():
            contact.save()
    except IntegrityError as error:
        raise ContactExists from error


def _as_audited(contact: BillingContact) -> dict[str, object]:
    return {"email": contact.email, "name": contact.name, "teammate": contact.teammate_id}
