"""Writing documents: lines, ledger, audit and dispatch first, the number last, all in the caller's transaction (spec
5.6, 5.8; Data 9). Many documents are written with as many statements as one."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import connection
from django_q.tasks import async_task

from billing import signals
from billing.charges import SEATS, USAGE, ZERO, ChargeLine
from billing.models import BilledUsage, Invoice, InvoiceDispatch, InvoiceLine
from billing.money import round_money
from billing.services.numbers import document_number, take_numbers
from usage.faultpoints import reach
from usage.models import Account, AuditEntry, Period
from usage.services.audit import Actor

ADJUSTMENT = str(InvoiceLine.Kind.ADJUSTMENT)
CREDIT = str(InvoiceLine.Kind.CREDIT)

RENDERED_TOGETHER: Final = 20  # a job of a few seconds: a worker is soon free for what is more urgent
_LINE: Final = (
    *("id", "invoice", "account", "position", "kind", "description", "metric", "usage_period", "quantity", "included"),
    *("overage", "unit_price", "amount", "previous_cut_at", "cut_at", "detail"),
)


@dataclass(frozen=True, slots=True)
class DraftLine:
    """A line and the usage it bills: of the period `usage_period`, received in (`previous_cut_at`, `cut_at`]."""

    line: ChargeLine
    usage_period: datetime | None = None
    previous_cut_at: datetime | None = None
    cut_at: datetime | None = None


@dataclass(slots=True)
class Draft:
    """A document that is about to be issued. `issued_on` is a local day; `frozen` holds what is printed beside the
    lines; `subtotal` and `tax` are rounded and belong to the lines."""

    account: Account
    period: Period
    issued_at: datetime
    issued_on: date
    cut_at: datetime
    previous_cut_at: datetime | None
    lines: Sequence[DraftLine]
    names: dict[int, str]
    subtotal: Decimal
    tax: Decimal
    payment_days: int
    frozen: dict[str, Any] = field(default_factory=dict)
    reason: str = Invoice.Reason.REGULAR
    corrects: Invoice | None = None
    is_credit_note: bool = False
    note: str = ""  # why, for the audit trail


def subtotal_of(lines: Iterable[DraftLine], currency: str) -> Decimal:
    """The sum of the lines, with the currency's decimals."""
    return sum((each.line.amount for each in lines), start=round_money(ZERO, currency))


def issue_documents(drafts: Sequence[Draft], *, by: Actor) -> list[Invoice]:
    """Issue documents and the wish to send them; the invoices in the order given, numbered in that order.

    A constant number of statements. Must run inside the transaction that holds the accounts' locks.
    """
    if not drafts:
        return []
    ids = [uuid.uuid4() for _ in drafts]
    _write_lines(drafts, ids)
    reach("closing.after_lines")
    invoices = _numbered(drafts, ids)
    reach("closing.after_number")
    _write_invoices(invoices)
    _write_dispatches(invoices)
    _write_audit(drafts, invoices, by)
    for invoice in invoices:
        signals.invoice_issued.send(Invoice, invoice_id=invoice.pk)
    queue_rendering([invoice.pk for invoice in invoices])
    return invoices


def queue_rendering(invoice_ids: Sequence[uuid.UUID]) -> None:
    """Queue rows for the first renderings, behind every other job; they commit with the documents."""
    for start in range(0, len(invoice_ids), RENDERED_TOGETHER):
        together = [str(pk) for pk in invoice_ids[start : start + RENDERED_TOGETHER]]
        async_task("billing.jobs.render_documents", together, cluster=settings.DOCUMENT_JOBS)


def _write_lines(drafts: Sequence[Draft], ids: Sequence[uuid.UUID]) -> None:
    line_ids = iter(_take_ids(InvoiceLine, sum(len(draft.lines) for draft in drafts)))
    lines: list[list[Any]] = []
    ledger: list[list[Any]] = []
    for draft, invoice_id in zip(drafts, ids, strict=True):
        account_id = draft.account.pk
        for position, each in enumerate(draft.lines, start=1):
            line, line_id = each.line, next(line_ids)
            lines.append(_line_values(line_id, invoice_id, account_id, position, each, draft.names))
            ledger += [
                [line_id, account_id, workspace_id, line.metric_id, each.usage_period, quantity]
                for workspace_id, quantity in line.ledger
                if quantity != 0
            ]
    _copy(InvoiceLine, _LINE, lines)
    _copy(BilledUsage, ("line", "account", "workspace", "metric", "period", "quantity"), ledger)


def _line_values(
    line_id: int, invoice_id: uuid.UUID, account_id: int, position: int, each: DraftLine, names: dict[int, str]
) -> list[Any]:
    """In the order of `_LINE`."""
    line = each.line
    detail = line.detail
    if line.workspaces:
        workspaces = [
            {"id": workspace_id, "name": names.get(workspace_id, ""), "quantity": f"{quantity:f}"}
            for workspace_id, quantity in line.workspaces
        ]
        detail = {**detail, "workspaces": workspaces}
    return [
        *(line_id, invoice_id, account_id, position, line.kind, line.description[:300], line.metric_id),
        *(each.usage_period, line.quantity, line.included, line.overage, line.unit_price, line.amount),
        *(each.previous_cut_at, each.cut_at, _json(detail)),
    ]


def _numbered(drafts: Sequence[Draft], ids: Sequence[uuid.UUID]) -> list[Invoice]:
    """The invoices with their numbers: of one series a year of issue, in the order of the drafts."""
    issuer, prefix = settings.ISSUER["key"], settings.ISSUER["number_prefix"]
    count: dict[int, int] = defaultdict(int)
    for draft in drafts:
        count[draft.issued_on.year] += 1
    # Years in order, so that two who issue over a new year's night never wait for each other.
    sequences = {year: iter(take_numbers(issuer=issuer, year=year, count=count[year])) for year in sorted(count)}
    invoices = []
    for draft, invoice_id in zip(drafts, ids, strict=True):
        year = draft.issued_on.year
        sequence = next(sequences[year])
        invoice = Invoice(
            id=invoice_id,
            account_id=draft.account.pk,
            document_type=Invoice.DocumentType.CREDIT_NOTE if draft.is_credit_note else Invoice.DocumentType.INVOICE,
            reason=draft.reason,
            corrects=draft.corrects,
            issuer=issuer,
            year=year,
            sequence=sequence,
            number=document_number(prefix=prefix, year=year, sequence=sequence),
            period=draft.period.starts_at,
            period_ends_at=draft.period.ends_at,
            issued_at=draft.issued_at,
            issued_on=draft.issued_on,
            due_on=draft.issued_on + timedelta(days=draft.payment_days),
            cut_at=draft.cut_at,
            previous_cut_at=draft.previous_cut_at,
            currency=draft.account.currency,
            subtotal=draft.subtotal,
            tax=draft.tax,
            total=draft.subtotal + draft.tax,
            frozen=draft.frozen,
        )
        invoices.append(invoice)
    return invoices


def _write_invoices(invoices: Sequence[Invoice]) -> None:
    columns = [field for field in Invoice._meta.concrete_fields if field.name != "frozen"]
    values = attrgetter(*(field.attname for field in columns))
    names = [*(field.name for field in columns), "frozen"]
    _copy(Invoice, names, [(*values(invoice), _json(invoice.frozen)) for invoice in invoices])


def _write_dispatches(invoices: Sequence[Invoice]) -> None:
    ids = [invoice.pk for invoice in invoices]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO billing_invoicedispatch (invoice_id, reason)"
            " SELECT x.id, %s FROM unnest(%s::uuid[]) WITH ORDINALITY AS x(id, n) ORDER BY x.n",
            [str(InvoiceDispatch.Reason.ISSUED), ids],
        )


def _write_audit(drafts: Sequence[Draft], invoices: Sequence[Invoice], by: Actor) -> None:
    """As `usage.services.audit.record`, for all documents at once."""
    actor_id = None if by.user is None else by.user.pk
    _copy(
        AuditEntry,
        ("actor", "actor_name", "how", "account", "action", "subject", "after", "reason"),
        [
            (
                *(actor_id, by.name[:254], by.how, invoice.account_id, "invoice.issued", invoice.number),
                _json(_audited(draft, invoice)),
                draft.note,
            )
            for draft, invoice in zip(drafts, invoices, strict=True)
        ],
    )


def _audited(draft: Draft, invoice: Invoice) -> dict[str, Any]:
    facts = {
        "reason": invoice.reason,
        "period": invoice.period,
        "total": str(invoice.total),
        "currency": invoice.currency,
    }
    return {**facts, "corrects": draft.corrects.number} if draft.corrects else facts


def bills_usage(line: ChargeLine) -> bool:
    """True for lines that have ledger rows, and so a period whose usage they bill."""
    return line.kind in (USAGE, SEATS, ADJUSTMENT)


def _take_ids(model: Any, count: int) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(s.name) FROM (SELECT pg_get_serial_sequence(%s, 'id')::regclass AS name OFFSET 0) AS s"
            " CROSS JOIN generate_series(1, %s)",
            [model._meta.db_table, count],
        )
        return [row[0] for row in cursor.fetchall()]


def _copy(model: Any, names: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Store rows of values of these fields; JSON as text."""
    columns = ", ".join(model._meta.get_field(name).column for name in names)
    with connection.cursor() as cursor, cursor.copy(f"COPY {model._meta.db_table} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


_json: Final = DjangoJSONEncoder().encode
