"""Giving money back: a credit of an amount, or cancelling a document and issuing it again (spec 5.8).

A credit of money touches no units: nothing is billed again for it. Cancelling books the units of the document back in
the ledger, and the document issued again bills them at what is known now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Sum

from billing.charges import ZERO, ChargeLine
from billing.models import BilledUsage, Invoice, InvoiceLine
from billing.money import round_money
from billing.selectors.closing import read_closings
from billing.services.adjustments import adjustments_in
from billing.services.closing import cut_for, draft_of, freeze, of_period, period_lines, remember_cuts
from billing.services.issuing import CREDIT, Draft, DraftLine, issue_documents, subtotal_of
from usage.clocks import Clock
from usage.errors import Conflict, InvalidInput
from usage.faultpoints import reach
from usage.models import Account, Period
from usage.rounding import plain
from usage.services.audit import Actor
from usage.services.locks import cut_at, lock_account


@dataclass(frozen=True, slots=True)
class Reissued:
    """The credit note that takes a document back, and the document that stands in its place; None when there is
    nothing left to bill."""

    credit_note: Invoice
    invoice: Invoice | None


@transaction.atomic
def credit_amount(*, invoice: Invoice, amount: Decimal, reason: str, clock: Clock, by: Actor) -> Invoice:
    """A credit note over `amount` (net, > 0, in the invoice's currency), with the tax of the invoice (spec 5.8).

    `reason` is printed. Units stay billed. All credits of an invoice together give back at most what it charged. Raises
    InvalidInput, Conflict for a credit note and for an invoice that was cancelled.
    """
    account = _locked(invoice)
    if invoice.document_type == Invoice.DocumentType.CREDIT_NOTE:
        raise Conflict("A credit note cannot be credited.", code="is_credit_note")
    _check_stands(invoice)
    if not reason.strip():
        raise InvalidInput("Say why; it is printed on the credit note.", field="reason")
    try:
        net = round_money(amount, invoice.currency)
    except ValueError as error:
        raise InvalidInput(f"This is no amount: {error}.", field="amount") from error
    if net != amount or net <= 0:
        raise InvalidInput(f"The amount must be more than 0, in whole units of {invoice.currency}.", field="amount")
    left = round_money(invoice.subtotal - credited(invoice), invoice.currency)
    if net > left:
        raise InvalidInput(f"At most {left} can be credited.", field="amount", left=str(left))
    line = ChargeLine(kind=CREDIT, description=reason.strip()[:300], amount=-net)
    # The last credit takes the tax that is left, so that the parts give back the whole to the cent.
    tax = -_sum_of_credits(invoice, "tax") - invoice.tax if net == left else -_share_of_tax(invoice, net)
    draft = _credit_draft(invoice, account, [DraftLine(line)], tax=tax, now=cut_at(account.pk, clock), note=reason)
    return issue_documents([draft], by=by)[0]


@transaction.atomic
def cancel_and_reissue(*, invoice: Invoice, reason: str, clock: Clock, by: Actor) -> Reissued:
    """Take the whole document back by a credit note with its units, and issue the period's document again from what is
    known now: usage and corrections, buyer, address and tax (spec 5.8).

    Later documents that adjusted the same usage must be cancelled first, and credits of money make it impossible:
    Conflict says so. Prices stay: the terms of a billed period never change.
    """
    account = _locked(invoice)
    if invoice.reason == Invoice.Reason.CREDIT:
        raise Conflict("A credit cannot be cancelled; issue an invoice instead.", code="is_credit_note")
    _check_stands(invoice)
    _check_nothing_later(invoice)
    if invoice.corrections.filter(reason=Invoice.Reason.CREDIT).exists():
        raise Conflict("Part of this invoice was credited already.", code="partly_credited")
    if not reason.strip():
        raise InvalidInput("Say why; it is printed on the credit note.", field="reason")
    closing = read_closings([(account.pk, invoice.period)])[0]
    now = max(cut_at(account.pk, clock), invoice.issued_at)
    mirrored = _mirrored(invoice)
    cancelling = _credit_draft(invoice, account, mirrored, tax=-invoice.tax, now=now, note=reason, cancels=True)
    credit_note = issue_documents([cancelling], by=by)[0]
    reach("credits.after_credit_note")
    cut = cut_for(closing.profile, account.last_cut_at, now)
    adjusted = invoice.lines.filter(kind=InvoiceLine.Kind.ADJUSTMENT).values_list("usage_period", flat=True)
    periods = {start for start in adjusted if start is not None}
    lines = of_period(period_lines(closing, cut), closing.period, cut)
    lines += adjustments_in(account=account, periods=periods, cut=cut)
    if not lines:
        return Reissued(credit_note, None)
    draft = draft_of(closing, now=now, cut=cut, lines=lines, reason=Invoice.Reason.REISSUE)
    draft.corrects, draft.note = invoice, reason
    freeze([(closing, draft)])
    draft.frozen["notes"] = [f"Replaces {invoice.number}, which was cancelled by {credit_note.number}."]
    issued = issue_documents([draft], by=by)[0]
    remember_cuts([draft])
    reach("credits.before_commit")
    return Reissued(credit_note, issued)


def credited(invoice: Invoice) -> Decimal:
    """What was given back of the invoice so far, net, as a positive amount."""
    return -_sum_of_credits(invoice, "subtotal")


def is_cancelled(invoice: Invoice) -> bool:
    """True when a credit note took the whole document back with its units."""
    return invoice.corrections.filter(frozen__cancels=True).exists()


def _sum_of_credits(invoice: Invoice, column: str) -> Decimal:
    credits = invoice.corrections.filter(reason=Invoice.Reason.CREDIT)
    total: Decimal | None = credits.aggregate(total=Sum(column))["total"]
    return round_money(total or ZERO, invoice.currency)


def _locked(invoice: Invoice) -> Account:
    lock_account(invoice.account_id)
    return Account.objects.get(pk=invoice.account_id)


def _check_stands(invoice: Invoice) -> None:
    if is_cancelled(invoice):
        raise Conflict(f"{invoice.number} was cancelled already.", code="already_cancelled")


def _check_nothing_later(invoice: Invoice) -> None:
    """The usage that this document bills must not have been adjusted by a later one that still stands."""
    mine = set(invoice.lines.exclude(usage_period=None).values_list("metric_id", "usage_period"))
    later = (
        InvoiceLine.objects.filter(
            account=invoice.account_id, cut_at__gt=invoice.cut_at, usage_period__in={period for _, period in mine}
        )
        .exclude(invoice=invoice)
        .exclude(invoice__reason=Invoice.Reason.CREDIT)
        .exclude(invoice__corrections__frozen__cancels=True)
        .select_related("invoice")
        .order_by("cut_at")
    )
    for line in later:
        if (line.metric_id, line.usage_period) in mine:
            raise Conflict(
                f"{line.invoice.number} bills later usage of the same period; cancel that one first.",
                code="adjusted_later",
            )


def _mirrored(invoice: Invoice) -> list[DraftLine]:
    """The lines that take every line of the invoice back, with their units."""
    ledger: dict[int, list[tuple[int, Decimal]]] = {}
    for row in BilledUsage.objects.filter(line__invoice=invoice).order_by("workspace"):
        ledger.setdefault(row.line_id, []).append((row.workspace_id, -row.quantity))
    return [
        DraftLine(
            line=ChargeLine(
                kind=CREDIT,
                description=line.description,
                amount=round_money(-line.amount, invoice.currency),
                metric_id=line.metric_id,
                quantity=_given_back(line),
                unit_price=line.unit_price,
                ledger=tuple(ledger.get(line.pk, ())),
                detail={"credits": line.kind, "position": line.position},
            ),
            usage_period=line.usage_period,
            previous_cut_at=line.previous_cut_at,
            cut_at=line.cut_at,
        )
        for line in invoice.lines.order_by("position")
    ]


def _given_back(line: InvoiceLine) -> Decimal | None:
    """What was charged for, as a negative number: of usage at a price per unit only what was above included."""
    charged = line.overage if line.unit_price is not None and line.overage is not None else line.quantity
    return None if charged is None else plain(-charged)


def _share_of_tax(invoice: Invoice, net: Decimal) -> Decimal:
    return round_money(net * Decimal(invoice.frozen["tax_lines"][0]["rate"]) / 100, invoice.currency)


def _credit_draft(
    invoice: Invoice,
    account: Account,
    lines: Sequence[DraftLine],
    *,
    tax: Decimal,
    now: datetime,
    note: str,
    cancels: bool = False,
) -> Draft:
    """A document that gives back what `lines` say: issuer, buyer and tax category are those of the invoice."""
    period = Period.objects.get(account=account, starts_at=invoice.period)
    subtotal, tax = subtotal_of(lines, invoice.currency), round_money(tax, invoice.currency)
    tax_line = {**invoice.frozen["tax_lines"][0], "base": str(subtotal), "amount": str(tax)}
    said = f"Cancels {invoice.number}." if cancels else f"Credit for {invoice.number}."
    return Draft(
        account=account,
        period=period,
        issued_at=now,
        issued_on=now.astimezone(ZoneInfo(period.zone)).date(),
        cut_at=invoice.cut_at,
        previous_cut_at=invoice.previous_cut_at,
        lines=lines,
        names=dict(account.workspaces.values_list("pk", "name")),
        subtotal=subtotal,
        tax=tax,
        payment_days=0,
        frozen={
            **invoice.frozen,
            "tax_lines": [tax_line],
            "payment_days": 0,
            "chart": [],
            "cancels": cancels,
            "notes": [f"{said} {note.strip()}".strip()] if cancels else [said],
        },
        reason=Invoice.Reason.CREDIT,
        corrects=invoice,
        # To take back a document that gave money back is to charge it again.
        is_credit_note=subtotal + tax <= 0,
        note=note,
    )
