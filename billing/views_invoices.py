"""Pages of documents: the list, one document, one line explained, PDF and CSV (spec 5.9, 5.10, 6.5). Everything here
belongs to the account; every teammate of its workspaces may read it (spec 1.2)."""

from __future__ import annotations

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.fields.json import KT
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET

from billing.charges import CONTRACTED, INCLUDED
from billing.invoice_words import equation_of
from billing.models import BillingContact, Invoice, InvoiceDispatch, InvoiceDocument, InvoiceLine
from billing.selectors import charges_so_far, explain, frame_of, invoices, plan_for
from billing.selectors.documents import counted_at
from billing.selectors.explain import Explanation
from billing.services.documents import document_to_show
from usage.access import shell_context, workspace_page
from usage.charts import DailyChart, daily_chart, level_chart
from usage.clocks import clock_of, system_clock
from usage.csv_text import csv_lines
from usage.errors import NotFound
from usage.formats import money, number, period_span, short_date
from usage.models import Account, Workspace
from usage.periods import local_day, plain_instant
from usage.rounding import shown_quantity
from usage.selectors.lookup import EventCursor, EventRow
from usage.written import Written

PAGE: Final = 20
EVENTS: Final = 50

_LINE: Final = Written(
    lambda invoice, position: InvoiceLine.objects.filter(invoice=invoice, position=position).select_related(
        "metric", "account"
    )
)
_LINES: Final = Written(
    lambda invoice: InvoiceLine.objects.filter(invoice=invoice).select_related("metric").order_by("position")
)
_PLAN_LINES: Final = Written(
    lambda invoice: InvoiceLine.objects.filter(invoice=invoice, kind=InvoiceLine.Kind.PLAN).values_list("pk", flat=True)
)
_DOCUMENT: Final = Written(
    lambda invoice: InvoiceDocument.objects.filter(invoice=invoice).defer("content").order_by("rendering")[:1]
)
_CORRECTIONS: Final = Written(
    lambda invoice: Invoice.objects.filter(corrects=invoice).order_by("issued_at", "sequence")
)
_NEWEST: Final = Written(lambda account: _listed(account)[: PAGE + 1])
_CONTACTS: Final = Written(lambda account: BillingContact.objects.filter(account=account).values_list("pk", flat=True))


@require_GET
@workspace_page
def invoice_list(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The account's documents, newest first; `?before=` and `?after=` (numbers) turn the pages."""
    account = workspace.account
    rows, pager = _page(request, account, reverse("invoices", args=[workspace.key]))
    contacts = len(_CONTACTS(account=account.pk))
    people = "Nobody gets them by e-mail yet" if not contacts else f"E-mailed to {_count(contacts, 'billing contact')}"
    context = shell_context(request, workspace, "invoices") | {
        "page_meta": {"facts": [account.name, people]},
        "upcoming": _upcoming(account),
        "rows": [(row, period_span(row.period, row.period_ends_at, row.zone)) for row in rows],
        "pager": pager,
    }
    return render(request, "billing/invoice_list.html", context)


@require_GET
@workspace_page
def invoice_detail(request: HttpRequest, workspace: Workspace, number: str) -> HttpResponse:
    """A document with its lines, its PDF, and who got it."""
    invoice = invoices.invoice_of(workspace.account, number)
    dispatches = InvoiceDispatch.objects.filter(invoice=invoice).order_by("id").prefetch_related("deliveries")
    corrections = _CORRECTIONS(invoice=invoice.pk)
    context = shell_context(request, workspace, "invoices") | {
        "crumbs": [("Invoices", reverse("invoices", args=[workspace.key]))],
        "page_meta": {"period": _span(invoice), "facts": _facts(invoice)},
        "invoice": invoice,
        "lines": [(line, equation_of(line, currency=invoice.currency)) for line in _LINES(invoice=invoice.pk)],
        "tax_lines": invoice.frozen["tax_lines"],
        "document": next(iter(_DOCUMENT(invoice=invoice.pk)), None),
        "sent": [
            (delivery, dispatch.reason == InvoiceDispatch.Reason.RESEND)
            for dispatch in dispatches
            for delivery in dispatch.deliveries.all()
            if delivery.channel == "email"
        ],
        "corrections": corrections,
        "is_cancelled": any(each.frozen.get("cancels") is True for each in corrections),
        "zone": invoice.frozen["period"]["zone"],
    }
    return render(request, "billing/invoice_detail.html", context)


@require_GET
@workspace_page
def invoice_line(request: HttpRequest, workspace: Workspace, number: str, position: int) -> HttpResponse:
    """Explain this line: the equation, the days, the events; `?after=` goes on with the events."""
    invoice = invoices.invoice_of(workspace.account, number)
    line = _line(invoice, position)
    told = explain.explanation_of(line)
    address = reverse("invoice_line", args=[workspace.key, number, position])
    events = explain.events_behind(told, cursor=_cursor(request), limit=EVENTS) if told else None
    counted = counted_at(invoice)
    zone = invoice.frozen["period"]["zone"]
    context = shell_context(request, workspace, "invoices") | {
        "crumbs": [
            ("Invoices", reverse("invoices", args=[workspace.key])),
            (invoice.number, reverse("invoice_detail", args=[workspace.key, invoice.number])),
        ],
        "page_meta": {"period": _span(invoice)},
        "invoice": invoice,
        "line": line,
        "counted": counted,
        "zone": told.period.zone if told else zone,
        "steps": equation_of(line, currency=invoice.currency),
        "told": told,
        "chart": _chart(told, workspace) if told and told.is_whole_period else None,
        "usage_span": _usage_span(told) if told else "",
        "events": [_shown(told, row) for row in events.items] if told and events else [],
        "next_url": f"{address}?after={_cursor_text(events.next)}" if events and events.next else "",
        "first_url": address if request.GET.get("after") else "",
        "csv_url": reverse("invoice_line_csv", args=[workspace.key, number, position]) if told else "",
        "was_upgraded": len(_PLAN_LINES(invoice=invoice.pk)) > 1,
    }
    return render(request, "billing/invoice_line.html", context)


@require_GET
@workspace_page
def invoice_line_csv(request: HttpRequest, workspace: Workspace, number: str, position: int) -> HttpResponseBase:
    """Every event behind a line, as CSV."""
    told = explain.explanation_of(_line(invoices.invoice_of(workspace.account, number), position))
    if told is None:
        raise Http404
    lines = csv_lines(explain.COLUMNS, explain.csv_rows(told))
    return _csv(lines, f"{number}-line-{position}.csv")


@require_GET
@workspace_page
def invoices_csv(request: HttpRequest, workspace: Workspace) -> HttpResponseBase:
    """Every line of every document of the account, as CSV."""
    account = workspace.account
    return _csv(csv_lines(invoices.COLUMNS, invoices.csv_rows(account)), f"invoices-{account.key}.csv")


@require_GET
@workspace_page
def invoice_pdf(request: HttpRequest, workspace: Workspace, number: str) -> HttpResponse:
    """The PDF as it was sent; while it cannot be made, the document's page."""
    invoice = invoices.invoice_of(workspace.account, number)
    try:
        return pdf_response(document_to_show(invoice=invoice, now=system_clock()), invoice)
    except NotFound:
        return redirect("invoice_detail", workspace_key=workspace.key, number=number)


def pdf_response(document: InvoiceDocument, invoice: Invoice) -> HttpResponse:
    """The bytes as a download."""
    return HttpResponse(
        bytes(document.content),
        content_type="application/pdf",
        headers={
            "Content-Disposition": content_disposition_header(False, _file_name(f"{invoice.number}.pdf")) or "inline",
            "ETag": f'"{document.sha256}"',
        },
    )


def _csv(lines: Any, name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = content_disposition_header(True, _file_name(name)) or "attachment"
    return response


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _line(invoice: Invoice, position: int) -> InvoiceLine:
    for line in _LINE(invoice=invoice.pk, position=position if position < 2**31 else 0):
        line.invoice = invoice
        return line
    raise Http404


def _listed(account: Any) -> QuerySet[Any]:
    """All documents of an account (its id), newest first, each with its `zone` instead of all that is frozen in it."""
    rows = invoices.invoices_of(account).annotate(zone=KT("frozen__period__zone"))
    return rows.defer("frozen", "corrects__frozen")


def _page(request: HttpRequest, account: Account, address: str) -> tuple[list[Any], dict[str, str | None] | None]:
    """A page of documents by keyset, newest first, and the ways to the pages beside it."""
    before, after = request.GET.get("before", ""), request.GET.get("after", "")
    if after:
        found = list(invoices.newer_than(_listed(account.pk), invoices.invoice_of(account, after))[: PAGE + 1])
        shown = list(reversed(found[:PAGE]))
        has_newer, has_older = len(found) > PAGE, True
    else:
        if before:
            found = list(invoices.older_than(_listed(account.pk), invoices.invoice_of(account, before))[: PAGE + 1])
        else:
            found = _NEWEST(account=account.pk)
        shown = found[:PAGE]
        has_newer, has_older = bool(before), len(found) > PAGE
    if not shown or not (has_newer or has_older):
        return shown, None
    return shown, {
        "text": "",
        "newer": f"{address}?after={shown[0].number}" if has_newer else None,
        "older": f"{address}?before={shown[-1].number}" if has_older else None,
    }


def _upcoming(account: Account) -> dict[str, Any] | None:
    """The invoice of the running period; None when there will be none."""
    now = clock_of(account)()
    if account.ended_at is not None and now >= account.ended_at:
        return None
    frame = frame_of(account=account, now=now)
    period = frame.period
    if plan_for(account=account, period_start=period.starts_at) is None:
        return None
    charges = charges_so_far(account=account, period=period, now=now)
    projected = charges.projected_total
    return {
        "on": short_date(local_day(period.ends_at, period.zone)),
        "span": period_span(period.starts_at, period.ends_at, period.zone),
        "so_far": money(charges.so_far, account.currency),
        "projected": None if projected is None else money(projected, account.currency),
        "is_exact": not frame.is_previous_system,
    }


def _span(invoice: Invoice) -> str:
    return period_span(invoice.period, invoice.period_ends_at, invoice.frozen["period"]["zone"])


def _usage_span(told: Explanation) -> str:
    return period_span(told.period.starts_at, told.period.ends_at, told.period.zone)


def _facts(invoice: Invoice) -> list[str]:
    facts = [f"Issued {short_date(invoice.issued_on)}"]
    payment = getattr(invoice, "payment", None)
    if payment is not None:
        facts.append(f"Paid {short_date(payment.paid_on)}")
    elif invoice.document_type == Invoice.DocumentType.INVOICE and invoice.total > 0:
        facts.append(f"Due {short_date(invoice.due_on)}")
    return facts


def _chart(told: Explanation, workspace: Workspace) -> DailyChart | None:
    """The days of the period as known at the line's cut: the page's workspace beside all of them."""
    days = explain.days_behind(told)
    if not days:
        return None
    shown = {
        place: {day: shown_quantity(quantity, unit_size=told.unit_size) for day, quantity in counts.items()}
        for place, counts in days.items()
    }
    pool: dict[date, Decimal] = {}
    for counts in shown.values():
        for day, quantity in counts.items():
            pool[day] = pool.get(day, Decimal(0)) + quantity
    period, metric, terms = told.period, told.metric, told.line.detail.get("terms")
    frame: dict[str, Any] = {
        "id": "line-chart",
        "name": metric.name,
        "unit": metric.unit,
        "starts_at": period.starts_at,
        "ends_at": period.ends_at,
        "as_of": period.ends_at,
        "zone": period.zone,
        "whole": metric.unit_size == 1,
    }
    if told.is_level:
        return level_chart(**frame, days=pool, size="wide")
    return daily_chart(
        **frame,
        workspace=workspace.name,
        own=shown.get(workspace.pk, {}),
        pool=pool if len(told.workspaces) > 1 else None,
        included=told.line.included if terms in (INCLUDED, CONTRACTED) else None,
        included_word="Contracted" if terms == CONTRACTED else "Included",
    )


def _shown(told: Explanation, row: EventRow) -> dict[str, Any]:
    """An event as the table shows it; of a credit line, what it gives back."""
    return {
        "occurred_at": row.occurred_at,
        "received_at": row.received_at,
        "workspace": told.workspaces[row.workspace_id].name,
        "id": f"{row.source} {row.event_id}",
        "state": {"event": "Counted", "void": "Voided", "amendment": "Amended"}[row.kind],
        "is_correction": row.corrects is not None,
        "quantity": number(shown_quantity(row.quantity, unit_size=told.metric.unit_size)),
    }


def _cursor(request: HttpRequest) -> EventCursor | None:
    """Where the events go on; Http404 for what no page ever linked to."""
    asked = request.GET.get("after", "")
    if not asked:
        return None
    received_at, _, key = asked.replace(" ", "+").partition("~")
    try:
        instant = datetime.fromisoformat(received_at)
        if instant.utcoffset() is None:
            raise ValueError("an instant has an offset")
        return instant, UUID(key)
    except (ValueError, OverflowError) as error:
        raise Http404 from error


def _cursor_text(cursor: EventCursor) -> str:
    return f"{plain_instant(cursor[0])}~{cursor[1]}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
