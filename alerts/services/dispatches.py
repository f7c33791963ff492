"""Invoices on their way: waiting dispatches whose PDF exists become deliveries (spec 5.9; architecture: alerts is the
only sender)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db import transaction

from alerts.models import Delivery, Notification
from alerts.services.messages import render_mail
from alerts.services.outbox import email_to, post, recipients_of, webhooks_of
from billing.models import Invoice, InvoiceDispatch, InvoiceDocument, InvoiceLine
from usage.formats import money, percent, period_span
from usage.models import Period, Workspace
from usage.periods import plain_instant

FIXED: Final = "Plan, add-ons, contract and seats"
SUMS: Final = {
    InvoiceLine.Kind.USAGE: "Overage and pay-as-you-go",
    InvoiceLine.Kind.ADJUSTMENT: "Adjustments for earlier periods",
    InvoiceLine.Kind.CREDIT: "Credited",
}


def deliver_dispatches(*, now: datetime, limit: int = 100) -> int:
    """Turn up to `limit` waiting dispatches with a rendered document into an e-mail for every billing contact, and for
    a first issue into a notification and webhooks too. One transaction each; returns how many. Aware `now`.
    """
    waiting = InvoiceDispatch.objects.filter(delivered_at=None, invoice__documents__isnull=False)
    done = 0
    for dispatch_id in list(waiting.order_by("id").values_list("id", flat=True).distinct()[:limit]):
        done += _deliver_dispatch(dispatch_id=dispatch_id, now=now)
    return done


@transaction.atomic
def _deliver_dispatch(*, dispatch_id: int, now: datetime) -> int:
    # The conditional update is the claim: a second one finds it done.
    if not InvoiceDispatch.objects.filter(pk=dispatch_id, delivered_at=None).update(delivered_at=now):
        return 0
    dispatch = InvoiceDispatch.objects.select_related("invoice__account").get(pk=dispatch_id)
    invoice = dispatch.invoice
    account = invoice.account
    is_first = dispatch.reason == InvoiceDispatch.Reason.ISSUED
    # What was issued is sent as first rendered; sent again, it is the latest rendering that somebody asked for.
    documents = invoice.documents.order_by("rendering" if is_first else "-rendering").defer("content")
    document: InvoiceDocument | None = documents.first()
    words = _words(invoice, is_resend=not is_first and document is not None and document.rendering == 1)
    notification = _notify(invoice, words, now=now) if is_first else None
    mail = render_mail("invoice_issued", words)
    identity = f"dispatch:{dispatch.pk}"
    deliveries: list[Delivery] = []
    recipients = recipients_of([account.pk])[account.pk]
    for contact in recipients.contacts:
        delivery = email_to(contact, account=account, mail=mail, identity=identity, now=now, notification=notification)
        delivery.dispatch, delivery.document = dispatch, document
        deliveries.append(delivery)
    if is_first:
        deliveries += webhooks_of(
            recipients.endpoints,
            account=account,
            kind=Notification.Kind.INVOICE_ISSUED,
            payload=_payload(invoice),
            identity=identity,
            now=now,
            notification=notification,
        )
    post(deliveries)
    return 1


def _notify(invoice: Invoice, words: dict[str, Any], *, now: datetime) -> Notification:
    return Notification.objects.create(
        kind=Notification.Kind.INVOICE_ISSUED,
        account=invoice.account,
        period=invoice.period,
        at=invoice.issued_at,
        title=f"{words['heading']} was issued",
        body=f"{words['period']}, {words['total']}.",
        dedupe=f"{Notification.Kind.INVOICE_ISSUED}:{invoice.pk}",
    )


def _words(invoice: Invoice, *, is_resend: bool) -> dict[str, Any]:
    is_credit_note = invoice.document_type == Invoice.DocumentType.CREDIT_NOTE
    period = Period.objects.filter(account=invoice.account, starts_at=invoice.period).first()
    zone = period.zone if period else "UTC"
    workspace = Workspace.objects.filter(account=invoice.account).order_by("id").first()
    page = f"{settings.BASE_URL}/w/{workspace.key}" if workspace else settings.BASE_URL
    return {
        "heading": f"{'Credit note' if is_credit_note else 'Invoice'} {invoice.number}",
        "account": invoice.account,
        "is_credit_note": is_credit_note,
        "is_resend": is_resend,
        "total": money(invoice.total, invoice.currency),
        "facts": _facts(invoice),
        "due_on": invoice.due_on,
        "period": period_span(invoice.period, invoice.period_ends_at, zone),
        "zone": zone,
        "counted_at": invoice.cut_at,
        "invoice_url": f"{page}/invoices/{invoice.number}",
        "billing_url": f"{page}/billing",
    }


def _facts(invoice: Invoice) -> list[tuple[str, str]]:
    """What the total is made of, in the order of the document: a sum for each part that has lines, and the tax."""
    sums: dict[str, Decimal] = {}
    for kind, amount in invoice.lines.order_by("position").values_list("kind", "amount"):
        label = SUMS.get(InvoiceLine.Kind(kind), FIXED)
        sums[label] = sums.get(label, Decimal(0)) + amount
    for tax in invoice.frozen["tax_lines"]:
        sums[f"{tax['name']} {percent(Decimal(tax['rate']), digits=3)}"] = Decimal(tax["amount"])
    return [(label, money(amount, invoice.currency)) for label, amount in sums.items()]


def _payload(invoice: Invoice) -> dict[str, Any]:
    return {
        "kind": str(Notification.Kind.INVOICE_ISSUED),
        "account": invoice.account.key,
        "workspace": None,
        "metric": None,
        "level": None,
        "threshold": None,
        "quantity": None,
        "period": plain_instant(invoice.period),
        "at": plain_instant(invoice.issued_at),
        "number": invoice.number,
    }
