"""Renderings, sending again, the paid mark (spec 5.8, 5.9); and what is read back from the PDF."""

import hashlib
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import BytesIO

import pypdf
import pytest
from django.db import DatabaseError, transaction
from django_q.models import OrmQ

from billing.jobs import queue_rendering, render_documents
from billing.models import Invoice, InvoiceDispatch, InvoiceDocument, InvoicePayment, RenderingTrouble
from billing.pdf import Pdf, Renderer, RenderingFailed
from billing.selectors.documents import document_of
from billing.services import documents
from billing.services.documents import (
    invoices_without_document,
    mark_paid,
    page_of,
    render_again,
    render_invoice,
    resend_invoice,
    unmark_paid,
)
from billing.services.subscriptions import change_plan
from tests.billing.books import DAY, JULY, JUNE, at, close, contract, plan, profile, subscribed
from tests.factories import BY, metric, use
from usage.errors import Conflict
from usage.models import Account, AuditEntry, Workspace

pytestmark = pytest.mark.django_db

NOW = JULY + 2 * DAY


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    """One warm child for the tests of this module."""
    with Renderer() as warm:
        yield warm


def words(content: bytes) -> str:
    """The PDF's text with single spaces; lines are broken wherever the page broke them."""
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pypdf.PdfReader(BytesIO(content)).pages))


def test_18_50_of_overage_stands_on_the_pdf(renderer):
    account = subscribed("starter")
    use("conversations", 275)
    use("phone", 120)
    document = render_invoice(invoice_id=close(account).pk, now=NOW, renderer=renderer)
    text = words(bytes(document.content))
    assert "Invoice 2026-0001" in text
    assert "Conversations, Atlas 275 250 25 $0.50 $12.50" in text
    assert "120 100 20 $0.30 $6.00" in text
    assert "Overage and pay-as-you-go $18.50" in text
    assert "Starter plan 1 $49.00 $49.00" in text
    assert "Total (USD) $67.50" in text
    assert not re.search(r"\bT o t a l\b", text)  # the heading that only screen readers hear is a word too
    assert document.pages == len(pypdf.PdfReader(BytesIO(bytes(document.content))).pages)


def test_every_line_and_sum_of_an_invoice_is_read_back(renderer):
    account = subscribed("starter", workspaces=("atlas", "birch"), add_ons=("proactive_support_plus",), currency="USD")
    profile(account, legal_name="Meridian Supply GmbH", city="Köln", country="DE", tax_rate=Decimal(19))
    contract(account, 50)
    change_plan(account=account, plan=plan("professional"), clock=at(datetime(2026, 6, 16, 9, tzinfo=UTC)), by=BY)
    use("conversations", 1463)
    use("conversations", 40, workspace_key="birch")
    use("ai_resolutions", 62, workspace_key="birch")
    use("seats", 9, at=JUNE + 3 * DAY)
    close(account)
    use("conversations", 2, at=JUNE + DAY, received_at=JULY + DAY)
    invoice = close(account, JULY)
    for each in Invoice.objects.all():
        text = words(bytes(render_invoice(invoice_id=each.pk, now=NOW, renderer=renderer).content))
        for row in each.lines.all():
            assert row.description in text
            assert f"{abs(row.amount):,.2f}" in text
        for amount in (each.subtotal, each.tax, each.total):
            assert f"${amount:,.2f}" in text
        assert "Meridian Supply GmbH" in text
        assert "Köln" in text
    assert "Adjustments for earlier periods" in words(bytes(render_invoice(invoice_id=invoice.pk, now=NOW).content))


def test_the_first_rendering_is_stored_once_and_never_changes(renderer):
    invoice = close(subscribed("starter"))
    first = render_invoice(invoice_id=invoice.pk, now=NOW, renderer=renderer)
    assert render_invoice(invoice_id=invoice.pk, now=NOW, renderer=renderer) == first
    assert InvoiceDocument.objects.count() == 1
    assert first.sha256 == hashlib.sha256(first.content).hexdigest()
    with pytest.raises(DatabaseError), transaction.atomic():
        InvoiceDocument.objects.update(content=b"other")


def test_an_issued_document_and_its_lines_never_change():
    invoice = close(subscribed("starter"))
    for change in (
        lambda: Invoice.objects.update(total=0, subtotal=0, tax=0),
        lambda: invoice.lines.update(amount=0),
        lambda: Invoice.objects.filter(pk=invoice.pk)._raw_delete("default"),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            change()


def test_the_same_invoice_always_gives_the_same_bytes(renderer):
    invoice = close(subscribed("starter"))
    page, _ = page_of(invoice)
    with Renderer() as other:
        assert renderer.render(page).content == other.render(page).content


def test_a_new_rendering_stands_beside_the_first(renderer):
    invoice = close(subscribed("starter"))
    render_invoice(invoice_id=invoice.pk, now=NOW, renderer=renderer)
    again = render_again(invoice=invoice, now=NOW, by=BY)
    assert again.rendering == 2
    assert documents.first_rendering(invoice.pk).rendering == 1
    assert AuditEntry.objects.get(action="invoice.rendered").after == {"rendering": 2}


def test_what_was_renamed_since_stays_as_it_was_on_the_page():
    account = subscribed("starter")
    use("conversations", 3)
    invoice = close(account)
    Account.objects.update(name="Renamed")
    Workspace.objects.update(name="Renamed")
    metric("conversations").__class__.objects.update(name="Renamed")
    page, _ = page_of(Invoice.objects.get(pk=invoice.pk))
    assert "Renamed" not in page.html
    assert "Acme" in page.html


def test_the_pdf_is_tagged_pdf_a_3_with_fonts_inside(renderer):
    account = subscribed("starter")
    use("conversations", 3)
    content = bytes(render_invoice(invoice_id=close(account).pk, now=NOW, renderer=renderer).content)
    reader = pypdf.PdfReader(BytesIO(content))
    root = reader.trailer["/Root"]
    assert root["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in root
    assert root["/Lang"] == "en"
    xmp = root["/Metadata"].get_data().decode()
    assert 'pdfaid:part="3"' in xmp
    assert 'pdfaid:conformance="A"' in xmp
    for page in reader.pages:
        for font in page["/Resources"]["/Font"].values():
            descriptor = font.get_object()["/DescendantFonts"][0].get_object()["/FontDescriptor"]
            assert {"/FontFile2", "/FontFile3"} & set(descriptor)


@pytest.mark.parametrize(("paper", "width"), [("A4", 595), ("Letter", 612)])
def test_the_paper_is_the_buyers(renderer, paper, width):
    account = subscribed("starter")
    profile(account, paper=paper)
    content = bytes(render_invoice(invoice_id=close(account).pk, now=NOW, renderer=renderer).content)
    assert round(pypdf.PdfReader(BytesIO(content)).pages[0].mediabox.width) == width


def test_a_long_invoice_repeats_its_table_heads_and_counts_its_pages(renderer):
    account = subscribed("starter", workspaces=[f"w{number}" for number in range(150)])
    for number in range(150):
        use("conversations", 2, workspace_key=f"w{number}")
    document = render_invoice(invoice_id=close(account).pk, now=NOW, renderer=renderer)
    pages = [page.extract_text() for page in pypdf.PdfReader(BytesIO(bytes(document.content))).pages]
    assert document.pages == len(pages) >= 3
    assert all(f"Page {number} of {len(pages)}" in text for number, text in enumerate(pages, start=1))
    assert sum("Metric and workspace" in text for text in pages) >= 3
    assert all(f"W{number}" in "".join(pages) for number in range(150))


# --- Company texts are shown literally, whatever they contain ---

HOSTILE = [
    "<img src=file:///etc/passwd>",
    "<img src=http://127.0.0.1:9/x.png onerror=alert(1)>",
    "<script>document.title='x'</script>",
    "<link rel=attachment href=file:///etc/passwd>",
    "<link rel=stylesheet href=http://127.0.0.1:9/x.css>",
    "<style>*{display:none}</style>",
    "<style>@import url(http://127.0.0.1:9/x.css);</style>",
    "</style><h1>x</h1>",
    "</title><h1>x</h1>",
    "<a rel=attachment href=file:///etc/hostname>x</a>",
    "<a href='javascript:alert(1)'>x</a>",
    "<svg><use href='file:///etc/passwd'/></svg>",
    "<svg><image href='http://127.0.0.1:9/'/></svg>",
    "<object data='file:///etc/passwd'></object>",
    "<embed src='file:///etc/passwd'>",
    "<iframe src='http://127.0.0.1:9/'></iframe>",
    "<base href='http://127.0.0.1:9/'>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'>",
    "<meta name=dcterms.created content=x>",
    "<input value=x>",
    "<table><tr><td>x",
    "<!-- x",
    "--> x",
    "<![CDATA[ x ]]>",
    "<?php echo 1 ?>",
    "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>&e;",
    "&lt;b&gt; &amp; &#x26; &copy;",
    "{{ settings.SECRET_KEY }}",
    "{% include 'base.html' %}",
    "{% load static %}{# x #}",
    "url(file:///etc/passwd)",
    "'; background: url(http://127.0.0.1:9/) '",
    '" onload="alert(1)',
    "' onload='alert(1)",
    "%s %(x)s {0} {x}",
    "${jndi:ldap://127.0.0.1:9/x}",
    '=HYPERLINK("http://127.0.0.1:9/")',
    "../../../etc/passwd",
    "\\\\127.0.0.1\\share",
    "data:text/html,<h1>x</h1>",
    "Łódź & Ünïçødé «GmbH»",
    "שלום עולם 123",
    "W" * 180,
    "a-" * 90,
    "1 Street, <b>2nd</b> floor",
]


@pytest.fixture(scope="module")
def hostile_page(django_db_setup, django_db_blocker, renderer) -> tuple[str, Pdf]:
    """One document with every hostile text in the places where people's texts stand."""
    with django_db_blocker.unblock(), transaction.atomic():
        account = subscribed("starter", workspaces=[f"w{number}" for number in range(len(HOSTILE))])
        profile(account, legal_name=HOSTILE[0], address="\n".join(HOSTILE), city=HOSTILE[1][:100], reference=HOSTILE[2])
        for number, text in enumerate(HOSTILE):
            Workspace.objects.filter(key=f"w{number}").update(name=text)
            use("conversations", 2, workspace_key=f"w{number}")
        metric("phone").__class__.objects.filter(key="phone").update(name=HOSTILE[5])
        invoice = close(account)
        page, _ = page_of(invoice)
        transaction.set_rollback(True)
    return page.html, renderer.render(page)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_text_is_shown_as_it_is(hostile_page, text):
    html, pdf = hostile_page
    from django.utils.html import escape

    assert escape(text) in html
    shown = re.sub(r"\s+", "", "".join(page.extract_text() for page in pypdf.PdfReader(BytesIO(pdf.content)).pages))
    if text.isascii():
        assert re.sub(r"\s+", "", text)[:40] in shown


def test_hostile_texts_fetch_and_attach_nothing(hostile_page):
    html, pdf = hostile_page
    reader = pypdf.PdfReader(BytesIO(pdf.content))
    assert pdf.blocked == ()
    assert not reader.attachments
    assert "root:" not in "".join(page.extract_text() for page in reader.pages)
    tags = set(re.findall(r"<([a-z0-9]+)", html))
    assert tags <= {
        *("html", "head", "meta", "title", "body", "footer", "main", "header", "div", "h1", "h2", "p", "section"),
        *("address", "strong", "br", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "small", "span"),
        "img",
    }
    assert html.count("<img ") == 1


# --- Trouble ---


class Stumbling(Renderer):
    """A renderer whose child always dies."""

    def render(self, page):
        raise RenderingFailed("The renderer took too long.")


def test_a_rendering_that_fails_leaves_the_invoice_issued_and_is_tried_again_later():
    invoice = close(subscribed("starter"))
    with pytest.raises(RenderingFailed):
        render_invoice(invoice_id=invoice.pk, now=NOW, renderer=Stumbling())
    trouble = RenderingTrouble.objects.get()
    assert (trouble.attempts, trouble.error) == (1, "The renderer took too long.")
    assert invoices_without_document(now=NOW) == []
    assert invoices_without_document(now=NOW + timedelta(minutes=5)) == [invoice.pk]
    for _ in range(4):
        with pytest.raises(RenderingFailed):
            render_invoice(invoice_id=invoice.pk, now=NOW, renderer=Stumbling())
    # Then it waits for a person.
    assert invoices_without_document(now=NOW + 30 * DAY) == []
    render_invoice(invoice_id=invoice.pk, now=NOW)
    assert not RenderingTrouble.objects.exists()


def test_closing_queues_the_rendering_and_the_rendering_the_sending():
    invoice = close(subscribed("starter"))
    assert [task.func() for task in OrmQ.objects.all()][-1] == "billing.jobs.render_documents"
    OrmQ.objects.all().delete()
    assert render_documents([str(invoice.pk)]) == {"stored": 1, "failed": 0}
    assert [task.func() for task in OrmQ.objects.all()] == ["alerts.jobs.deliver"]
    # Delivered twice by the queue, it does nothing more.
    assert render_documents([str(invoice.pk)]) == {"stored": 0, "failed": 0}


def test_the_sweep_queues_what_has_no_pdf():
    close(subscribed("starter"))
    assert queue_rendering() == 1


# --- Sending again, paid ---


def test_sending_again_writes_a_dispatch_and_an_audit_entry(renderer):
    invoice = close(subscribed("starter"))
    with pytest.raises(Conflict):
        resend_invoice(invoice=invoice, by=BY)
    render_invoice(invoice_id=invoice.pk, now=NOW, renderer=renderer)
    resend_invoice(invoice=invoice, by=BY)
    reasons = InvoiceDispatch.objects.order_by("id").values_list("reason", flat=True)
    assert list(reasons) == ["issued", "resend"]
    assert AuditEntry.objects.filter(action="invoice.resent", subject=invoice.number).exists()


def test_the_paid_mark_stands_beside_the_document_and_can_be_taken_away():
    invoice = close(subscribed("starter"))
    mark_paid(invoice=invoice, paid_on=date(2026, 7, 9), by=BY)
    mark_paid(invoice=invoice, paid_on=date(2026, 7, 10), note="bank", by=BY)
    assert InvoicePayment.objects.get().paid_on == date(2026, 7, 10)
    unmark_paid(invoice=invoice, by=BY)
    unmark_paid(invoice=invoice, by=BY)
    assert not InvoicePayment.objects.exists()
    assert AuditEntry.objects.filter(action__in=("invoice.paid", "invoice.unpaid")).count() == 3


def test_a_document_is_read_with_a_constant_number_of_queries(django_assert_num_queries):
    invoice = close(subscribed("starter"))
    with django_assert_num_queries(2):
        document_of(documents.with_lines(Invoice.objects.all()).get(pk=invoice.pk))
