"""An issued document as plain values: what the printed page, the e-invoice and the API are made of. Everything was
frozen when it was issued (spec 5.8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from django.db.models import Prefetch

from billing.models import Invoice, InvoiceLine


def document_of(invoice: Invoice) -> dict[str, Any]:
    """The context of templates/documents/invoice.html: numbers as strings, days and instants in ISO. At most 2
    queries."""
    frozen: Mapping[str, Any] = invoice.frozen
    return {
        **frozen,
        "document_type": invoice.document_type,
        "number": invoice.number,
        "issued_on": invoice.issued_on.isoformat(),
        "due_on": invoice.due_on.isoformat(),
        "currency": invoice.currency,
        "subtotal": f"{invoice.subtotal:f}",
        "tax": f"{invoice.tax:f}",
        "total": f"{invoice.total:f}",
        "corrects": invoice.corrects.number if invoice.corrects else "",
        "notes": frozen.get("notes", []),
        "lines": [line_values(line) for line in invoice.lines.all()],
        "chart": _whole_charts(frozen),
    }


def line_values(line: InvoiceLine) -> dict[str, Any]:
    """A line as printed."""
    return {
        "kind": line.kind,
        "description": line.description,
        "quantity": _text(line.quantity),
        "included": _text(line.included),
        "overage": _text(line.overage),
        "unit_price": _text(line.unit_price),
        "amount": f"{line.amount:f}",
        "detail": line.detail,
    }


def with_lines(invoices: Any) -> Any:
    """The query with everything that `document_of` reads, in a constant number of queries."""
    lines = InvoiceLine.objects.select_related("metric").order_by("position")
    return invoices.select_related("account", "corrects").prefetch_related(Prefetch("lines", queryset=lines))


def _text(value: Any) -> str | None:
    return None if value is None else f"{value:f}"


def _whole_charts(frozen: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The charts with every day of the period; only days with usage are kept."""
    days = list(_days(frozen["period"]["first_day"], frozen["period"]["last_day"]))
    charts = []
    for chart in frozen.get("chart", ()):
        used = dict(chart["days"])
        charts.append({**chart, "days": [[day, used.get(day, "0")] for day in days]})
    return charts


def _days(first: str, last: str) -> Iterable[str]:
    day, end = date.fromisoformat(first), date.fromisoformat(last)
    while day <= end:
        yield day.isoformat()
        day = date.fromordinal(day.toordinal() + 1)


def counted_at(invoice: Invoice) -> datetime:
    """Up to when usage is on the document, as it is shown."""
    return datetime.fromisoformat(invoice.frozen["counted_at"])
