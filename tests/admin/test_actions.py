"""Actions ask, do what they say, are audited, and say why when they refuse (spec 7.2)."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django_q.models import OrmQ

from alerts.models import Delivery, WebhookEndpoint
from billing.models import (
    AddOnSubscription,
    BillingContact,
    BillingProfile,
    Contract,
    Invoice,
    InvoiceDispatch,
    Plan,
    Subscription,
)
from tests.admin.doing import address, ask, run, run_on_page, said
from tests.billing.books import DAY, JULY, JUNE, at
from tests.factories import bearer
from usage.models import Account, AccountClock, ApiKey, AuditEntry
from usage.services.api_keys import authenticate

QUESTION = "Yes, go ahead"


@pytest.fixture(autouse=True)
def in_july(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pages' clock stands in the account's second month; the services themselves take it as an argument."""
    for module in ("billing.admin.account_actions", "billing.admin.document_actions", "alerts.admin.account_actions"):
        monkeypatch.setattr(f"{module}.clock_of", lambda account: at(JULY + 5 * DAY))
    monkeypatch.setattr("usage.admin.accounts.clock_of", lambda account: at(JULY + 5 * DAY))


def audited(action: str) -> AuditEntry:
    entry = AuditEntry.objects.get(action=action)
    assert entry.how == AuditEntry.How.ADMIN
    assert entry.actor_name == "admin@example.com"
    return entry


def test_nothing_happens_before_the_page_is_answered(account: Account, admin_client: Client) -> None:
    before = AuditEntry.objects.count()
    page = ask(admin_client, "cancel_subscriptions", account)
    assert page.status_code == 200
    assert QUESTION in page.content.decode()
    assert "Acme (acme)" in page.content.decode()
    assert AuditEntry.objects.count() == before


def test_it_works_from_the_row_s_own_page_too(account: Account, admin_client: Client) -> None:
    answer = run_on_page(admin_client, "refresh_now", account)
    assert answer.status_code == 302
    assert audited("account.refreshed").account == account


def test_what_was_typed_wrongly_comes_back_with_the_reason(account: Account, admin_client: Client) -> None:
    page = run(admin_client, "credit", Invoice.objects.get(), amount="x", reason="")
    assert page.status_code == 422
    assert QUESTION in page.content.decode()
    assert not Invoice.objects.filter(reason=Invoice.Reason.CREDIT).exists()


def test_a_plan_is_changed_and_the_choice_says_what_it_means(account: Account, admin_client: Client) -> None:
    plan = Plan.objects.get(key="professional")
    page = ask(admin_client, "change_plans", account).content.decode()
    assert re.search(r"Professional, \$199.00 a month: upgrade, from ", page)
    run(admin_client, "change_plans", account, plan=plan.pk)
    assert Subscription.objects.get(account=account, plan=plan).period == JULY
    audited("subscription.changed")


def test_a_subscription_is_cancelled(account: Account, admin_client: Client) -> None:
    run(admin_client, "cancel_subscriptions", account)
    account.refresh_from_db()
    assert account.ended_at is not None
    audited("subscription.cancelled")


def test_an_add_on_is_ended_and_added_again(account: Account, admin_client: Client) -> None:
    held = AddOnSubscription.objects.get()
    run(admin_client, "end_add_ons", account, add_on=held.add_on_id)
    held.refresh_from_db()
    assert held.until_period is not None
    run(admin_client, "add_add_ons", account, add_on=held.add_on_id)
    held.refresh_from_db()
    assert held.until_period is None
    audited("add_on.added")


def test_a_contract_is_ended(account: Account, admin_client: Client) -> None:
    contract = Contract.objects.get()
    run(admin_client, "end_contracts", contract)
    contract.refresh_from_db()
    assert contract.until_period is not None
    audited("contract.ended")


def test_close_now_bills_what_has_ended_without_waiting(
    account: Account, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    august = JULY.replace(month=8)
    monkeypatch.setattr("billing.admin.account_actions.clock_of", lambda account: at(august))
    answer = run(admin_client, "close_now", account)
    issued = Invoice.objects.get(account=account, period=JULY)
    assert issued.number in said(answer)[0]
    again = run(admin_client, "close_now", account)
    assert "nothing to bill" in said(again)[-1]


def test_an_account_moves_to_the_exact_system(account: Account, admin_client: Client) -> None:
    BillingProfile.objects.update(system="previous")
    run(admin_client, "move_to_exact", account)
    assert BillingProfile.objects.get().system == "exact"
    assert audited("billing.system_changed").before == {"system": "previous"}


def test_the_clock_changes_at_the_end_of_the_running_period(account: Account, admin_client: Client) -> None:
    run(admin_client, "change_account_clock", account, zone="Europe/Dublin")
    assert AccountClock.objects.latest("starts_at").zone == "Europe/Dublin"
    audited("account.clock_changed")


def test_an_invoice_is_sent_again(account: Account, admin_client: Client) -> None:
    run(admin_client, "resend", Invoice.objects.get())
    assert InvoiceDispatch.objects.filter(reason="resend").count() == 1
    audited("invoice.resent")


def test_an_invoice_is_marked_as_paid_and_open_again(account: Account, admin_client: Client) -> None:
    invoice = Invoice.objects.get()
    run(admin_client, "paid", invoice, paid_on="2026-07-09")
    assert Invoice.objects.get().payment.paid_on == date(2026, 7, 9)
    run(admin_client, "unpaid", invoice)
    assert not Invoice.objects.filter(payment__isnull=False).exists()
    audited("invoice.unpaid")


def test_a_credit_note_is_issued(account: Account, admin_client: Client) -> None:
    run(admin_client, "credit", Invoice.objects.get(), amount="5.00", reason="Sorry")
    note = Invoice.objects.get(reason="credit")
    assert note.subtotal == Decimal("-5")
    refused = run(admin_client, "credit", Invoice.objects.get(reason="regular"), amount="99999", reason="More")
    assert "At most" in said(refused)[-1]


def test_an_invoice_is_cancelled_and_issued_again(account: Account, admin_client: Client) -> None:
    run(admin_client, "reissue", Invoice.objects.get(), reason="Wrong address")
    assert sorted(Invoice.objects.values_list("reason", flat=True)) == ["credit", "regular", "reissue"]


@pytest.mark.slow
def test_a_new_rendering_is_kept_beside_the_first(account: Account, admin_client: Client) -> None:
    invoice = Invoice.objects.get()
    run(admin_client, "new_rendering", invoice)
    renderings = list(invoice.documents.order_by("rendering").values_list("rendering", flat=True))
    assert renderings == [1, 2]
    pdf = invoice.documents.get(rendering=2)
    answer = admin_client.get(f"/admin/billing/invoicedocument/{pdf.pk}/pdf/")
    assert answer.content == bytes(pdf.content)
    assert answer.headers["Content-Type"] == "application/pdf"


def test_a_delivery_is_replayed(account: Account, admin_client: Client) -> None:
    delivery = Delivery.objects.filter(channel="email").first()
    assert delivery is not None
    Delivery.objects.filter(pk=delivery.pk).update(state="failed", attempts=3)
    OrmQ.objects.all().delete()
    run(admin_client, "replay", delivery)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("waiting", 0)
    assert OrmQ.objects.count() == 1
    audited("delivery.replayed")


def test_a_key_is_rotated_shown_once_and_the_old_one_ends(account: Account, admin_client: Client) -> None:
    key = ApiKey.objects.get()
    answer: Any = run(admin_client, "rotate", key, overlap="3600")
    match = re.search(r"hr_[a-z0-9]{12}_[A-Za-z0-9_-]{43}", answer.content.decode())
    assert match
    assert "no-store" in answer.headers["Cache-Control"]
    successor = ApiKey.objects.get(replaces=key)
    assert authenticate(bearer(match[0])["Authorization"], JUNE).prefix == successor.prefix
    key.refresh_from_db()
    assert key.expires_at is not None
    run(admin_client, "revoke", successor)
    successor.refresh_from_db()
    assert successor.revoked_at is not None


def test_only_one_key_is_rotated_at_a_time(account: Account, admin_client: Client) -> None:
    keys = [ApiKey.objects.get(), ApiKey.objects.create(prefix="other", secret_hash=b"", scopes=["read"])]
    assert "one row at a time" in said(ask(admin_client, "rotate", *keys))[0]


def test_a_webhook_that_was_added_shows_the_secret_that_its_receiver_needs(
    account: Account, admin_client: Client
) -> None:
    typed = {"account": account.pk, "url": "https://hooks.example.com/new"}
    answer = admin_client.post(address(WebhookEndpoint, "add"), typed, follow=True)
    assert WebhookEndpoint.objects.get(url=typed["url"]).secret in answer.content.decode()


def test_a_webhook_s_secret_is_replaced(account: Account, admin_client: Client) -> None:
    endpoint = WebhookEndpoint.objects.get()
    run(admin_client, "replace_secret", endpoint, overlap="86400")
    assert WebhookEndpoint.objects.get().previous_secret == endpoint.secret


def test_limits_are_recalculated_now(account: Account, admin_client: Client) -> None:
    run(admin_client, "recalculate_now", account)
    audited("account.limits_recalculated")


def test_any_list_is_downloaded_as_csv(account: Account, admin_client: Client) -> None:
    BillingContact.objects.update(name="=cmd()")
    contacts: Any = run(admin_client, "download_csv", BillingContact.objects.get())
    head, line = b"".join(contacts.streaming_content).decode().splitlines()
    assert head == "id,account_id,name,email,teammate_id,created_at"
    assert "'=cmd()" in line
    keys: Any = run(admin_client, "download_csv", ApiKey.objects.get())
    assert "secret" not in b"".join(keys.streaming_content).decode()
    entries: Any = run(admin_client, "download_csv", *AuditEntry.objects.all())
    assert len(b"".join(entries.streaming_content).decode().splitlines()) == 1 + AuditEntry.objects.count()
