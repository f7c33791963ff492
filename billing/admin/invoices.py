"""Documents: invoices and credit notes with their lines, PDFs, dispatches and the paid mark (spec 5.6-5.10)."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib import admin
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Subquery
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse

from billing.admin.document_actions import credit, new_rendering, paid, reissue, resend, unpaid
from billing.models import (
    Invoice,
    InvoiceDispatch,
    InvoiceDocument,
    InvoiceLine,
    InvoicePayment,
    NumberSeries,
    RenderingTrouble,
)
from usage import formats
from usage.admin.base import ReadOnlyAdmin, ReadOnlyInline, is_list
from usage.admin.columns import (
    EMPTY,
    anchor,
    chosen,
    facts,
    filled,
    first_day,
    in_a_row,
    link,
    linked,
    list_link,
    money,
    quantity,
    zones,
)
from usage.models import Period


@cache
def _pdf_address() -> str:
    """Where a rendering is, with 0 for its id."""
    return reverse("admin:billing_invoicedocument_pdf", args=[0]).replace("/0/", "/{}/")


def pdf_link(document_id: int, text: str) -> Any:
    return anchor(_pdf_address().format(document_id), text)


# Of the invoice's billing period, and the keys of its renderings, in their order.
ZONE = Subquery(
    Period.objects.filter(account=OuterRef("account"), starts_at=OuterRef("period")).order_by().values("zone")[:1]
)
RENDERINGS = ArraySubquery(
    InvoiceDocument.objects.filter(invoice=OuterRef("pk")).order_by("rendering").values_list("pk")
)
USED = first_day("usage_period", "usage from")


class LineInline(ReadOnlyInline):
    model = InvoiceLine
    ordering = ("position",)
    fields = (
        "description",
        "kind",
        quantity("quantity", stored=False),
        quantity("overage", stored=False),
        money("unit_price", currency="invoice.currency", exact=True),
        money("amount", currency="invoice.currency"),
        USED,
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("metric").annotate(**zones(self.fields))


class DispatchInline(ReadOnlyInline):
    model = InvoiceDispatch
    fields = ("reason", "created_at", "delivered_at")


class PaidFilter(admin.SimpleListFilter):
    title = "paid"
    parameter_name = "paid"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Paid"), ("no", "Open")]

    def queryset(self, request: Any, queryset: Any) -> Any:
        match self.value():
            case "yes":
                return queryset.filter(payment__isnull=False)
            case "no":
                return queryset.filter(payment=None)
        return queryset


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    """Issued documents. They never change: paid mark, renderings and deliveries stand beside them."""

    list_display = (
        "number",
        linked("account"),
        "document_type",
        "reason",
        "billed_period",
        "issued_on",
        "due_on",
        money("total"),
        "paid",
        "pdf",
    )
    list_filter = ("document_type", "reason", PaidFilter, "currency", chosen("account"))
    list_select_related = ("account", "payment")
    unlisted = ("frozen",)
    has_trail = True
    search_fields = ("number", "account__key", "account__name")
    search_help_text = "Number or account"
    date_hierarchy = "issued_on"
    actions = (resend, paid, unpaid, new_rendering, credit, reissue)
    inlines = (LineInline, DispatchInline)
    fieldsets = (
        (
            None,
            {"fields": ("number", "document_type", "reason", linked("account"), linked("corrects"), "corrected_by")},
        ),
        ("Amounts", {"fields": (money("subtotal"), money("tax"), money("total"), "paid")}),
        ("Times", {"fields": ("billed_period", "issued_at", "issued_on", "due_on", "previous_cut_at", "cut_at")}),
        ("PDF and e-mail", {"fields": ("pdf", "trouble", "pages")}),
        ("As printed", {"fields": (facts("frozen"),), "classes": ("collapse",)}),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request).annotate(zone=ZONE, renderings=RENDERINGS)
        if is_list(request):
            return rows
        return rows.select_related("account", "payment", "rendering_trouble").prefetch_related("corrections")

    @admin.display(description="billing period", ordering="period")
    def billed_period(self, invoice: Invoice) -> str:
        zone = getattr(invoice, "zone", None) or "UTC"
        return formats.period_span(invoice.period, invoice.period_ends_at, zone)

    @admin.display(description="paid", ordering="payment__paid_on")
    def paid(self, invoice: Invoice) -> Any:
        payment = getattr(invoice, "payment", None)
        return formats.short_date(payment.paid_on) if payment else EMPTY

    @admin.display(description="PDF")
    def pdf(self, invoice: Invoice) -> Any:
        """The renderings are numbered from 1 without a gap."""
        renderings: list[int] = getattr(invoice, "renderings", [])
        numbered = enumerate(renderings, start=1)
        return in_a_row(pdf_link(pk, "PDF" if n == 1 else f"Rendering {n}") for n, pk in numbered) or "not yet"

    @admin.display(description="trouble")
    def trouble(self, invoice: Invoice) -> str:
        found = getattr(invoice, "rendering_trouble", None)
        return f"{found.error} ({found.attempts} attempts)" if found else EMPTY

    @admin.display(description="corrected by")
    def corrected_by(self, invoice: Invoice) -> Any:
        return in_a_row(link(each) for each in invoice.corrections.all()) or EMPTY

    @admin.display(description="belongs to it")
    def pages(self, invoice: Invoice) -> Any:
        return in_a_row(
            [
                list_link("alerts_delivery", "E-mails and webhooks", dispatch__invoice__id__exact=invoice.pk),
                list_link("billing_billedusage", "Billed usage", line__invoice__id__exact=invoice.pk),
                list_link("billing_invoicedocument", "Renderings", invoice__id__exact=invoice.pk),
            ]
        )


@admin.register(InvoiceLine)
class InvoiceLineAdmin(ReadOnlyAdmin):
    """Lines of all documents."""

    list_display = (
        "description",
        linked("invoice"),
        linked("account"),
        "kind",
        quantity("quantity", stored=False),
        money("amount", currency="invoice.currency"),
        USED,
        "ledger",
    )
    list_filter = ("kind", "metric", chosen("account"))
    list_select_related = ("invoice", "account", "metric")
    unlisted = ("detail", "invoice__frozen")
    search_fields = ("invoice__number", "account__key", "account__name", "description")
    ordering = ("-invoice__issued_at", "-invoice__sequence", "position")
    fields = (
        linked("invoice"), linked("account"), "position", "kind", "description", linked("metric"), USED,
        quantity("quantity", stored=False), quantity("included", stored=False), quantity("overage", stored=False),
        money("unit_price", currency="invoice.currency", exact=True), money("amount", currency="invoice.currency"),
        "previous_cut_at", "cut_at", "ledger", facts("detail"),
    )  # fmt: skip

    @admin.display(description="billed usage")
    def ledger(self, line: InvoiceLine) -> Any:
        if line.usage_period is None:
            return EMPTY
        query = {"account": line.account.key, "table": "events", "period": line.usage_period.isoformat()}
        if line.metric is not None:
            query["metric"] = line.metric.key
        if line.previous_cut_at is not None:
            query["received_after"] = line.previous_cut_at.isoformat()
        if line.cut_at is not None:
            query["received_until"] = line.cut_at.isoformat()
        ledger = list_link("billing_billedusage", "Ledger", line__id__exact=line.pk)
        return in_a_row([ledger, list_link("admin:usage_lookup", "Events", **query)])


@admin.register(InvoiceDocument)
class InvoiceDocumentAdmin(ReadOnlyAdmin):
    """The bytes of the renderings. The first one is what was sent."""

    list_display = ("__str__", linked("invoice.account", "account"), "pages", "profile", "created_at", "pdf")
    list_filter = (filled("e_invoice", "e-invoice", empty="Without", filled="With", is_text=True),)
    list_select_related = ("invoice__account",)
    unlisted = ("invoice__frozen", "missing")
    search_fields = ("invoice__number", "invoice__account__key", "sha256")
    ordering = ("-created_at", "-pk")
    fields = (
        linked("invoice"),
        linked("invoice.account", "account"),
        "rendering",
        "pages",
        "profile",
        facts("missing", "missing for an e-invoice"),
        "fingerprint",
        "created_at",
        "pdf",
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).defer("content")

    def get_urls(self) -> list[URLPattern]:
        name = "billing_invoicedocument_pdf"
        return [path("<int:pk>/pdf/", self.admin_site.admin_view(self.send_pdf), name=name), *super().get_urls()]

    def send_pdf(self, request: HttpRequest, pk: int) -> HttpResponse:
        document = InvoiceDocument.objects.select_related("invoice").filter(pk=pk).first()
        if document is None or not self.has_view_permission(request, document):
            raise Http404
        response = HttpResponse(bytes(document.content), content_type="application/pdf")
        response.headers["Content-Disposition"] = f'inline; filename="{document.invoice.number}.pdf"'
        return response

    @admin.display(description="e-invoice", ordering="e_invoice")
    def profile(self, document: InvoiceDocument) -> str:
        return document.e_invoice or "none"

    @admin.display(description="SHA-256")
    def fingerprint(self, document: InvoiceDocument) -> str:
        return document.sha256

    @admin.display(description="PDF")
    def pdf(self, document: InvoiceDocument) -> Any:
        return pdf_link(document.pk, "Open")


@admin.register(InvoiceDispatch)
class InvoiceDispatchAdmin(ReadOnlyAdmin):
    """Wishes to send an invoice; each becomes one e-mail a billing contact once the PDF exists."""

    list_display = (
        "__str__",
        linked("invoice"),
        linked("invoice.account", "account"),
        "reason",
        "created_at",
        "delivered_at",
        "mails",
    )
    list_filter = ("reason", filled("delivered_at", "state", empty="Waiting", filled="Passed on"))
    list_select_related = ("invoice__account",)
    unlisted = ("invoice__frozen",)
    search_fields = ("invoice__number", "invoice__account__key")
    ordering = ("-pk",)
    fields = (
        linked("invoice"),
        linked("invoice.account", "account"),
        "reason",
        "created_at",
        "delivered_at",
        "mails",
    )

    @admin.display(description="e-mails")
    def mails(self, dispatch: InvoiceDispatch) -> Any:
        return list_link("alerts_delivery", "E-mails", dispatch__id__exact=dispatch.pk)


@admin.register(InvoicePayment)
class InvoicePaymentAdmin(ReadOnlyAdmin):
    """Paid marks; set and taken away by actions of the invoice."""

    list_display = (linked("invoice"), linked("invoice.account", "account"), "paid_on", "note")
    list_display_links = ("paid_on",)
    list_select_related = ("invoice__account",)
    unlisted = ("invoice__frozen",)
    search_fields = ("invoice__number", "invoice__account__key", "note")
    date_hierarchy = "paid_on"


@admin.register(RenderingTrouble)
class RenderingTroubleAdmin(ReadOnlyAdmin):
    """Invoices whose PDF could not be made so far."""

    list_display = (linked("invoice"), linked("invoice.account", "account"), "attempts", "error", "next_attempt_at")
    list_display_links = ("attempts",)
    list_select_related = ("invoice__account",)
    unlisted = ("invoice__frozen",)
    search_fields = ("invoice__number", "error")


@admin.register(NumberSeries)
class NumberSeriesAdmin(ReadOnlyAdmin):
    """The last number taken, per issuer and year."""

    list_display = ("issuer", "year", "last_number")
    ordering = ("-year", "issuer")
