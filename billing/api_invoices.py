"""The API of documents: an account's invoices with their lines, and their PDFs (spec 10.5). Decimals are strings, money
with the currency's decimals; quantities in display units."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Query, Router, Schema

from billing.models import Invoice, InvoiceLine
from billing.money import plain_money, plain_rate
from billing.selectors import invoices
from billing.selectors.documents import with_lines
from billing.services.documents import document_to_show
from billing.views_invoices import pdf_response
from usage.api_auth import account_of, bearer, caller_of
from usage.api_types import decimal_text
from usage.clocks import system_clock
from usage.errors import InvalidInput, NotFound
from usage.periods import plain_instant
from usage.rounding import plain_quantity

router = Router(tags=["Billing"])
INVOICES: Final = "/accounts/{key}/invoices"


class InvoicePeriod(Schema):
    starts_at: str
    ends_at: str


class WorkspaceQuantity(Schema):
    workspace: str
    quantity: str


class InvoiceLineRow(Schema):
    """`period` is the start of the billing period whose usage the line bills, null for other lines. `unit_price` is
    null unless the price is per unit."""

    kind: str
    description: str
    metric: str | None
    period: str | None
    quantity: str | None
    included: str | None
    overage: str | None
    unit_price: str | None
    amount: str
    workspaces: list[WorkspaceQuantity]


class InvoiceRow(Schema):
    """`kind` is invoice or credit_note; `corrects` the number of the document that a credit or a new issue belongs
    to."""

    number: str
    kind: str
    reason: str
    corrects: str | None
    period: InvoicePeriod
    issued_at: str
    issued_on: str
    due_on: str
    currency: str
    lines: list[InvoiceLineRow]
    subtotal: str
    tax: str
    total: str
    paid_on: str | None
    pdf_url: str


class InvoicePage(Schema):
    items: list[InvoiceRow]
    next: str | None


@router.get(INVOICES, auth=bearer("read"), response=InvoicePage, summary="Invoices and credit notes, oldest first")
def list_invoices(
    request: HttpRequest,
    key: str,
    after: Annotated[str | None, Query(description="The `next` of the page before: a number.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Every issued document of the account, with its lines as printed."""
    account = account_of(caller_of(request), key)
    rows = invoices.invoices_of(account).order_by("issued_at", "sequence")
    if after is not None:
        try:
            rows = invoices.newer_than(rows, invoices.invoice_of(account, after))
        except NotFound as error:
            raise InvalidInput("after is the `next` of the page before.", field="after") from error
    found = list(with_lines(rows).select_related("payment")[: limit + 1])
    names = dict(account.workspaces.values_list("pk", "key"))
    return {
        "items": [_row(request, invoice, key, names) for invoice in found[:limit]],
        "next": found[limit - 1].number if len(found) > limit else None,
    }


@router.get(
    INVOICES + "/{number}.pdf",
    auth=bearer("read"),
    summary="The PDF as it was sent",
    url_name="invoice_pdf",
    openapi_extra={"responses": {200: {"description": "The document", "content": {"application/pdf": {}}}}},
)
def read_pdf(request: HttpRequest, key: str, number: str) -> HttpResponse:
    """The first rendering. While it cannot be made: 404 with the code `no_document`."""
    invoice = invoices.invoice_of(account_of(caller_of(request), key), number)
    return pdf_response(document_to_show(invoice=invoice, now=system_clock()), invoice)


def _row(request: HttpRequest, invoice: Invoice, account_key: str, names: dict[int, str]) -> dict[str, Any]:
    def money(amount: Decimal) -> str:
        return plain_money(amount, invoice.currency)

    payment = getattr(invoice, "payment", None)
    return {
        "number": invoice.number,
        "kind": invoice.document_type,
        "reason": invoice.reason,
        "corrects": invoice.corrects.number if invoice.corrects else None,
        "period": {"starts_at": plain_instant(invoice.period), "ends_at": plain_instant(invoice.period_ends_at)},
        "issued_at": plain_instant(invoice.issued_at),
        "issued_on": invoice.issued_on.isoformat(),
        "due_on": invoice.due_on.isoformat(),
        "currency": invoice.currency,
        "lines": [_line(line, invoice.currency, names) for line in invoice.lines.all()],
        "subtotal": money(invoice.subtotal),
        "tax": money(invoice.tax),
        "total": money(invoice.total),
        "paid_on": payment.paid_on.isoformat() if payment else None,
        "pdf_url": settings.BASE_URL + reverse("api:invoice_pdf", args=[account_key, invoice.number]),
    }


def _line(line: InvoiceLine, currency: str, names: dict[int, str]) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "description": line.description,
        "metric": line.metric.key if line.metric else None,
        "period": plain_instant(line.usage_period) if line.usage_period else None,
        "quantity": decimal_text(line.quantity),
        "included": decimal_text(line.included),
        "overage": decimal_text(line.overage),
        "unit_price": None if line.unit_price is None else plain_rate(line.unit_price, currency),
        "amount": plain_money(line.amount, currency),
        "workspaces": [
            {"workspace": names.get(each["id"], each["name"]), "quantity": plain_quantity(Decimal(each["quantity"]))}
            for each in line.detail.get("workspaces", ())
        ],
    }
