"""`create_account` and `create_api_key`, as an operator types them (spec 10.3)."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from billing.models import BillingContact, PeriodTerms, Subscription
from tests.factories import bearer, event
from usage.models import Account, ApiKey, AuditEntry, Workspace

pytestmark = pytest.mark.django_db

WANTED = ["--plan", "starter", "--started-on", "2026-01-31", "--time-zone", "Europe/Dublin", "--workspace", "atlas"]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().strip()


def test_an_account_can_be_metered_and_billed_at_once() -> None:
    contacts = ["--billing-contact", "Mo <mo@example.com>", "--billing-contact", "lu@example.com"]
    run("create_account", "acme", *WANTED, "--workspace", "birch=Birch & Co", *contacts)
    account = Account.objects.get(key="acme")
    assert list(Workspace.objects.order_by("key").values_list("key", "name")) == [
        ("atlas", "atlas"),
        ("birch", "Birch & Co"),
    ]
    assert Subscription.objects.filter(account=account, plan__key="starter").count() == 1
    assert PeriodTerms.objects.filter(account=account, metric__key="conversations").exists()
    assert set(BillingContact.objects.values_list("email", flat=True)) == {"mo@example.com", "lu@example.com"}
    assert not AuditEntry.objects.exclude(how="command").exists()


def test_a_sandbox_account_has_a_test_clock() -> None:
    run("create_account", "sand", *WANTED, "--sandbox")
    assert Account.objects.get().sandbox_now is not None


@pytest.mark.parametrize(
    "change",
    [
        ["--plan", "nothing"],
        ["--time-zone", "Mars/Olympus"],
        ["--workspace", "Not A Key"],
        ["--billing-contact", "nobody"],
        ["--started-on", "31.1.2026"],
        ["--started-on", "0206-01-31"],
    ],
)
def test_an_impossible_account_is_refused_as_a_whole(change: list[str]) -> None:
    with pytest.raises(CommandError):
        run("create_account", "acme", *WANTED, *change)
    assert not Account.objects.exists()


def test_a_key_is_printed_alone_and_works() -> None:
    run("create_account", "acme", *WANTED)
    key = run("create_api_key", "--account", "acme", "--scopes", "ingest,read")
    response = Client().post(
        "/api/v1/events", event(), content_type="application/cloudevents+json", headers=bearer(key)
    )
    assert response.json()["accepted"] == 1
    operators = run("create_api_key", "--all-accounts", "--scopes", "read", "--expires-in-days", "30")
    assert operators.startswith("hr_")
    assert ApiKey.objects.get(account=None).expires_at is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ["--account", "nobody", "--scopes", "read"],
        ["--all-accounts", "--scopes", "x"],
        ["--all-accounts", "--scopes", "read", "--name", "a" * 121],
        ["--all-accounts", "--scopes", "read", "--expires-in-days", "9" * 12],
    ],
)
def test_an_impossible_key_is_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        run("create_api_key", *arguments)
