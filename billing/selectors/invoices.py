"""Lists of documents, a page at a time (spec 6.5, 10.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from django.db.models import Q, QuerySet

from billing.models import Invoice
from billing.selectors.documents import with_lines
from usage.errors import NotFound
from usage.models import Account
from usage.written import Written

COLUMNS: Final = (
    *("number", "kind", "issued_on", "due_on", "period_start", "period_end", "line", "line_kind", "description"),
    *("metric", "usage_period", "quantity", "included", "overage", "unit_price", "amount", "currency"),
    *("document_subtotal", "document_tax", "document_total"),
)


_NUMBERED: Final = Written(
    lambda account, number: Invoice.objects.filter(account=account, number=number).select_related("corrects", "payment")
)


def invoice_of(account: Account, number: str) -> Invoice:
    """The account's document with that number. Raises NotFound for missing and foreign ones alike (spec 1.5)."""
    found = [] if "\x00" in number else _NUMBERED(account=account.pk, number=number)
    if not found:
        raise NotFound("There is no such invoice.")
    return found[0]


def invoices_of(account: Account | int) -> QuerySet[Invoice]:
    """All documents of an account (or of the id), newest first."""
    return (
        Invoice.objects.filter(account=account)
        .select_related("corrects", "payment")
        .order_by("-issued_at", "-sequence")
    )


def newer_than(rows: QuerySet[Invoice], invoice: Invoice) -> QuerySet[Invoice]:
    """Those issued after `invoice`, oldest first."""
    later = Q(issued_at__gt=invoice.issued_at) | Q(issued_at=invoice.issued_at, sequence__gt=invoice.sequence)
    return rows.filter(later).order_by("issued_at", "sequence")


def older_than(rows: QuerySet[Invoice], invoice: Invoice) -> QuerySet[Invoice]:
    """Those issued before `invoice`, newest first."""
    earlier = Q(issued_at__lt=invoice.issued_at) | Q(issued_at=invoice.issued_at, sequence__lt=invoice.sequence)
    return rows.filter(earlier).order_by("-issued_at", "-sequence")


def csv_rows(account: Account) -> Iterator[tuple[Any, ...]]:
    """A row of `COLUMNS` for each line of each document, oldest first, read some documents at a time."""
    rows = with_lines(invoices_of(account).order_by("issued_at", "sequence"))
    for invoice in rows.iterator(chunk_size=200):
        for line in invoice.lines.all():
            yield (
                *(invoice.number, invoice.document_type, invoice.issued_on, invoice.due_on, invoice.period),
                *(invoice.period_ends_at, line.position, line.kind, line.description),
                *(line.metric.key if line.metric else None, line.usage_period, line.quantity, line.included),
                *(line.overage, line.unit_price, line.amount, invoice.currency, invoice.subtotal, invoice.tax),
                invoice.total,
            )
