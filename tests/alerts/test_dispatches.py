"""Invoices on their way to the billing contacts (spec 5.9; architecture: alerts is the only sender)."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from alerts.models import Delivery, Notification
from alerts.services.delivery import deliver_due
from alerts.services.dispatches import deliver_dispatches
from alerts.services.endpoints import add_endpoint
from billing.models import Invoice, InvoiceDispatch, InvoiceDocument
from billing.services.closing import close_period
from billing.services.documents import resend_invoice
from tests.alerts.timeline import Story
from tests.factories import BY
from tests.smtp import SmtpSink

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 7, 1, 2, tzinfo=UTC)
PDF = b"%PDF-1.7 the bytes that were rendered"


@pytest.fixture
def story(a_story: Callable[..., Story]) -> Story:
    return a_story(plan="starter", contacts=("mona@acme.example", "nils@acme.example"))


@pytest.fixture
def invoice(story: Story) -> Invoice:
    issued = close_period(account_id=story.account.pk, period=story.first_period, clock=lambda: NOW, by=BY)
    assert issued is not None
    return issued


def render(invoice: Invoice, *, rendering: int = 1, content: bytes = PDF) -> None:
    InvoiceDocument.objects.create(invoice=invoice, rendering=rendering, content=content, sha256="0" * 64)


def test_without_a_pdf_it_waits(invoice: Invoice) -> None:
    assert deliver_dispatches(now=NOW) == 0
    assert not Delivery.objects.exists()


def test_every_contact_gets_the_pdf(invoice: Invoice, smtp_sink: SmtpSink) -> None:
    render(invoice)
    assert deliver_dispatches(now=NOW) == 1
    deliver_due(clock=lambda: NOW)
    assert sorted(recipient for recipient, _ in smtp_sink.messages) == ["mona@acme.example", "nils@acme.example"]
    message = smtp_sink.to("mona@acme.example")[0]
    assert message["Subject"] == f"Invoice {invoice.number}"
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == f"{invoice.number}.pdf"
    assert attachment.get_content_type() == "application/pdf"
    assert attachment.get_content() == PDF
    text: Any = message.get_body(("plain",))
    words = text.get_content()
    assert "Plan, add-ons, contract and seats: $49.00" in words  # what the total is made of
    assert "Overage and pay-as-you-go: $0.00" in words


def test_it_is_decided_once_however_often_it_is_looked_at(invoice: Invoice) -> None:
    render(invoice)
    assert [deliver_dispatches(now=NOW) for _ in range(3)] == [1, 0, 0]
    assert Delivery.objects.count() == 2
    assert InvoiceDispatch.objects.get().delivered_at == NOW


def test_the_teammates_see_it_too(invoice: Invoice) -> None:
    render(invoice)
    deliver_dispatches(now=NOW)
    notification = Notification.objects.get()
    assert (notification.kind, notification.workspace) == ("invoice_issued", None)
    assert notification.title == f"Invoice {invoice.number} was issued"


def test_a_webhook_tells_the_number(story: Story, invoice: Invoice) -> None:
    add_endpoint(account=story.account, url="https://hooks.example/", by=BY)
    render(invoice)
    deliver_dispatches(now=NOW)
    payload = Delivery.objects.get(channel="webhook").payload
    assert payload["type"] == "invoice.issued"
    assert payload["data"]["number"] == invoice.number
    assert json.dumps(payload)


def test_sent_again_it_is_a_message_of_its_own_without_a_second_notification(
    invoice: Invoice, smtp_sink: SmtpSink
) -> None:
    render(invoice)
    deliver_dispatches(now=NOW)
    resend_invoice(invoice=invoice, by=BY)
    deliver_dispatches(now=NOW)
    deliver_due(clock=lambda: NOW)
    first, second = smtp_sink.to("mona@acme.example")
    assert first["Message-ID"] != second["Message-ID"]
    assert Notification.objects.count() == 1
    assert "the same one as before" in " ".join(str(second.get_body(("plain",))).split())


def test_sent_again_it_carries_the_latest_rendering(invoice: Invoice) -> None:
    render(invoice)
    deliver_dispatches(now=NOW)
    render(invoice, rendering=2, content=b"%PDF-1.7 rendered again")
    resend_invoice(invoice=invoice, by=BY)
    deliver_dispatches(now=NOW + timedelta(minutes=1))
    renderings = Delivery.objects.order_by("pk").values_list("document__rendering", flat=True)
    assert list(renderings) == [1, 1, 2, 2]


def test_without_contacts_it_is_settled_and_stays_in_app(a_story: Callable[..., Story]) -> None:
    story = a_story(plan="starter", contacts=())
    issued = close_period(account_id=story.account.pk, period=story.first_period, clock=lambda: NOW, by=BY)
    assert issued is not None
    render(issued)
    assert deliver_dispatches(now=NOW) == 1
    assert Notification.objects.filter(kind="invoice_issued").count() == 1


def test_invoices_of_sandbox_accounts_are_kept(a_story: Callable[..., Story]) -> None:
    story = a_story(plan="starter", is_sandbox=True)
    issued = close_period(account_id=story.account.pk, period=story.first_period, clock=lambda: NOW, by=BY)
    assert issued is not None
    render(issued)
    deliver_dispatches(now=NOW)
    assert Delivery.objects.get().state == Delivery.State.KEPT
