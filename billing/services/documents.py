"""Renderings of issued documents, sending them again, the paid mark (spec 5.8, 5.9). The documents themselves never
change; all of this stands beside them and can be repeated."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max, Q
from django.template.loader import render_to_string

from billing import signals
from billing.einvoice import PROFILE, EInvoice, e_invoice
from billing.models import Invoice, InvoiceDispatch, InvoiceDocument, InvoicePayment, RenderingTrouble
from billing.pdf import Page, Pdf, Renderer, RenderingFailed
from billing.selectors.documents import document_of, with_lines
from usage.errors import Conflict, NotFound
from usage.faultpoints import reach
from usage.services.audit import Actor, record

log = logging.getLogger(__name__)

# A rendering that failed is tried again after this long, each time twice as long, and then left to a person.
FIRST_WAIT: Final = timedelta(minutes=5)
ATTEMPTS: Final = 5


@dataclass(slots=True)
class Rendered:
    """What a batch did; `failed` are ids of invoices that have no PDF yet."""

    stored: int = 0
    failed: list[UUID] = field(default_factory=list)


def render_invoice(*, invoice_id: UUID, now: datetime, renderer: Renderer | None = None) -> InvoiceDocument:
    """The first rendering of an invoice, made now unless it stands: what is sent and shown for ever (spec 5.9).

    Raises RenderingFailed; the invoice stays issued, and the failure is kept for the health page.
    """
    found = first_rendering(invoice_id)
    if found is not None:
        return found
    invoice = with_lines(Invoice.objects.all()).get(pk=invoice_id)
    document = _render(invoice, now=now, renderer=renderer)
    _announce(invoice)
    return document


def render_documents(*, invoice_ids: Iterable[UUID], now: datetime) -> Rendered:
    """First renderings of many invoices by one warm child. One that fails does not stop the others. Queues the sending
    of what was stored."""
    done = Rendered()
    last: Invoice | None = None
    wanted = with_lines(Invoice.objects.filter(pk__in=list(invoice_ids), documents=None)).order_by(
        "issued_at", "sequence"
    )
    with Renderer() as renderer:
        for invoice in wanted:
            try:
                _render(invoice, now=now, renderer=renderer)
                done.stored += 1
                last = invoice
            except RenderingFailed as error:
                log.error("%s could not be rendered: %s", invoice.number, error)
                done.failed.append(invoice.pk)
    if last is not None:
        _announce(last)
    return done


def invoices_without_document(*, now: datetime, limit: int = 500) -> list[UUID]:
    """Issued invoices that wait for their first rendering, oldest first, without those whose next try is later or whose
    tries are used up."""
    waiting = InvoiceDispatch.objects.filter(delivered_at=None, reason=InvoiceDispatch.Reason.ISSUED)
    may_try = Q(invoice__rendering_trouble=None) | Q(
        invoice__rendering_trouble__attempts__lt=ATTEMPTS, invoice__rendering_trouble__next_attempt_at__lte=now
    )
    rows = waiting.filter(may_try, invoice__documents=None).order_by("id")
    return list(rows.values_list("invoice_id", flat=True)[:limit])


def render_again(*, invoice: Invoice, now: datetime, by: Actor) -> InvoiceDocument:
    """A new rendering kept beside the first (spec 7.2), by today's templates from what was frozen then. Raises
    RenderingFailed."""
    pdf, electronic = _rendered(with_lines(Invoice.objects.all()).get(pk=invoice.pk), now=now)
    # Only now a transaction: making a PDF may take longer than one may stand idle.
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"rendering {invoice.pk}"])
        last = InvoiceDocument.objects.filter(invoice=invoice).aggregate(last=Max("rendering"))["last"] or 0
        document = _store(invoice, pdf, electronic, rendering=last + 1)
        record(
            by=by,
            action="invoice.rendered",
            subject=invoice.number,
            account=invoice.account_id,
            after={"rendering": document.rendering},
        )
    return document


@transaction.atomic
def resend_invoice(*, invoice: Invoice, by: Actor) -> InvoiceDispatch:
    """Send the invoice's latest rendering to all billing contacts again (spec 7.2). Raises Conflict without a
    rendering: the first one is sent by itself."""
    if not InvoiceDocument.objects.filter(invoice=invoice).exists():
        raise Conflict("This invoice has no PDF yet; it is sent as soon as there is one.", code="no_document")
    dispatch = InvoiceDispatch.objects.create(invoice=invoice, reason=InvoiceDispatch.Reason.RESEND)
    record(by=by, action="invoice.resent", subject=invoice.number, account=invoice.account_id)
    signals.dispatch_created.send(InvoiceDispatch, dispatch_id=dispatch.pk)
    return dispatch


@transaction.atomic
def mark_paid(*, invoice: Invoice, paid_on: date, by: Actor, note: str = "") -> InvoicePayment:
    """Note that the invoice was paid on `paid_on` (a day of the payer's); a second mark replaces the first."""
    before = InvoicePayment.objects.filter(invoice=invoice).first()
    payment, _ = InvoicePayment.objects.update_or_create(invoice=invoice, defaults={"paid_on": paid_on, "note": note})
    record(
        by=by,
        action="invoice.paid",
        subject=invoice.number,
        account=invoice.account_id,
        before={"paid_on": before.paid_on} if before else None,
        after={"paid_on": paid_on, "note": note},
    )
    return payment


@transaction.atomic
def unmark_paid(*, invoice: Invoice, by: Actor) -> None:
    """Take the paid mark away; nothing happens when there is none."""
    payment = InvoicePayment.objects.filter(invoice=invoice).first()
    if payment is None:
        return
    record(
        by=by,
        action="invoice.unpaid",
        subject=invoice.number,
        account=invoice.account_id,
        before={"paid_on": payment.paid_on},
    )
    payment.delete()


def first_rendering(invoice_id: UUID) -> InvoiceDocument | None:
    """What was sent, or None while there is none."""
    return InvoiceDocument.objects.filter(invoice=invoice_id).order_by("rendering").first()


def document_to_show(*, invoice: Invoice, now: datetime) -> InvoiceDocument:
    """What was sent. Where the queue has not come to it yet, the first rendering is made now: whoever asks for a
    document gets it. Raises NotFound when it could not be made; the queue tries again."""
    if (found := first_rendering(invoice.pk)) is not None:
        return found
    try:
        if RenderingTrouble.objects.filter(invoice=invoice).exists():
            raise RenderingFailed("it failed before")
        return render_invoice(invoice_id=invoice.pk, now=now)
    except RenderingFailed as error:
        raise NotFound("The PDF is not made yet.", code="no_document") from error


def page_of(invoice: Invoice) -> tuple[Page, EInvoice]:
    """What the renderer gets. Names and notes are escaped by the template: they are shown as they are, whatever they
    contain."""
    document = document_of(invoice)
    electronic = _checked(e_invoice(document), invoice.number)
    html = render_to_string("documents/invoice.html", {"document": document})
    issued_at = invoice.issued_at.astimezone(UTC).replace(microsecond=0)
    page = Page(
        html=html,
        css=_stylesheet(),
        created_at=issued_at.isoformat(),
        identifier=f"{invoice.issuer} {invoice.number}",
        xml=electronic.xml,
    )
    return page, electronic


def _render(invoice: Invoice, *, now: datetime, renderer: Renderer | None = None) -> InvoiceDocument:
    pdf, electronic = _rendered(invoice, now=now, renderer=renderer)
    reach("rendering.before_store")
    with transaction.atomic():
        return _store(invoice, pdf, electronic, rendering=1)


def _rendered(invoice: Invoice, *, now: datetime, renderer: Renderer | None = None) -> tuple[Pdf, EInvoice]:
    page, electronic = page_of(invoice)
    try:
        if renderer is not None:
            return renderer.render(page), electronic
        with Renderer() as one:
            return one.render(page), electronic
    except RenderingFailed as error:
        _remember_trouble(invoice, str(error), now)
        raise


def _store(invoice: Invoice, pdf: Pdf, electronic: EInvoice, *, rendering: int) -> InvoiceDocument:
    # Of two who render at once the first one's bytes are kept; theirs are the same.
    InvoiceDocument.objects.bulk_create(
        [
            InvoiceDocument(
                invoice=invoice,
                rendering=rendering,
                content=pdf.content,
                sha256=hashlib.sha256(pdf.content).hexdigest(),
                pages=pdf.pages,
                e_invoice=PROFILE if electronic.xml else "",
                missing=list(electronic.missing),
            )
        ],
        ignore_conflicts=True,
    )
    RenderingTrouble.objects.filter(invoice=invoice).delete()
    return InvoiceDocument.objects.get(invoice=invoice, rendering=rendering)


def _announce(invoice: Invoice) -> None:
    """Tell that a waiting dispatch can be sent now; should this be lost, the sweep over the outbox finds it."""
    waiting = InvoiceDispatch.objects.filter(invoice=invoice, delivered_at=None)
    dispatch_id = waiting.values_list("pk", flat=True).first()
    if dispatch_id is not None:
        signals.dispatch_created.send(InvoiceDispatch, dispatch_id=dispatch_id)


def _remember_trouble(invoice: Invoice, error: str, now: datetime) -> None:
    trouble, _ = RenderingTrouble.objects.get_or_create(invoice=invoice, defaults={"next_attempt_at": now})
    trouble.next_attempt_at = now + FIRST_WAIT * 2**trouble.attempts
    trouble.attempts += 1
    trouble.error = error[:500]
    trouble.save()


def _checked(electronic: EInvoice, number: str) -> EInvoice:
    """The XML only if it fits the schema; a document must not carry one that programs refuse."""
    if not electronic.xml:
        return electronic
    # Imported here because the schemas' reader takes longer to load than most processes need it.
    from facturx import xml_check_xsd

    try:
        xml_check_xsd(electronic.xml.encode(), flavor="factur-x", level="en16931")
    except Exception:
        log.exception("the e-invoice of %s does not fit the schema", number)
        return EInvoice(xml="", missing=("a form that the schema accepts; see the log",))
    return electronic


@lru_cache(maxsize=1)
def _stylesheet() -> str:
    return Path(settings.BASE_DIR, "static", "css", "invoice.css").read_text()
