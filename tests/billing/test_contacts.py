"""Billing contacts (spec 1.4)."""

import pytest

from billing.errors import ContactExists
from billing.models import BillingContact
from billing.selectors import contacts_of
from billing.services.contacts import add_contact, change_contact, remove_contact
from tests.factories import BY, make_account, make_teammate
from usage.errors import InvalidInput, NotFound
from usage.models import AuditEntry

pytestmark = pytest.mark.django_db


def test_contacts_belong_to_the_account_in_the_order_in_which_they_were_added():
    account = make_account()
    ada = make_teammate()
    add_contact(account=account, email="payable@example.com", name="Accounts payable", by=BY)
    add_contact(account=account, email="ada@example.com", name="Ada", teammate=ada, by=BY)
    other = make_account("other", workspaces=["other"])
    add_contact(account=other, email="payable@example.com", by=BY)
    assert [str(contact) for contact in contacts_of(account)] == [
        "Accounts payable <payable@example.com>",
        "Ada <ada@example.com>",
    ]


def test_an_address_is_a_contact_once_whatever_its_case():
    account = make_account()
    contact = add_contact(account=account, email=" Ada@example.com ", by=BY)
    assert contact.email == "Ada@example.com"
    with pytest.raises(ContactExists):
        add_contact(account=account, email="ada@EXAMPLE.com", by=BY)
    other = add_contact(account=account, email="cleo@example.com", by=BY)
    with pytest.raises(ContactExists):
        change_contact(contact=other, email="ada@example.com", by=BY)
    assert BillingContact.objects.count() == 2


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("email", {"email": "nobody"}),
        ("email", {"email": ""}),
        ("email", {"email": f"{'a' * 250}@example.com"}),
        ("name", {"email": "ada@example.com", "name": "A" * 121}),
        ("name", {"email": "ada@example.com", "name": "Ada\nBcc: all@example.com"}),
    ],
)
def test_what_is_no_address_or_name_is_refused(field, values):
    with pytest.raises(InvalidInput) as refused:
        add_contact(account=make_account(), by=BY, **values)
    assert refused.value.field == field
    assert not BillingContact.objects.exists()


def test_a_teammate_of_another_account_is_refused():
    make_account("other", workspaces=["other"])
    stranger = make_teammate("other")
    with pytest.raises(InvalidInput) as refused:
        add_contact(account=make_account(), email="ada@example.com", teammate=stranger, by=BY)
    assert refused.value.field == "teammate"


def test_every_change_is_audited_and_no_change_is_not():
    account = make_account()
    contact = add_contact(account=account, email="ada@example.com", by=BY)
    change_contact(contact=contact, name="Ada", by=BY)
    change_contact(contact=contact, name="Ada", by=BY)
    remove_contact(contact=contact, by=BY)
    remove_contact(contact=contact, by=BY)
    trail = AuditEntry.objects.filter(action__startswith="contact.").order_by("id")
    assert [(entry.action, entry.subject) for entry in trail] == [
        ("contact.added", "ada@example.com"),
        ("contact.changed", "ada@example.com"),
        ("contact.removed", "ada@example.com"),
    ]
    assert trail[1].before["name"] == ""
    assert trail[1].after["name"] == "Ada"
    with pytest.raises(NotFound):
        change_contact(contact=contact, name="Ada Moreno", by=BY)
