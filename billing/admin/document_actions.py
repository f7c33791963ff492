"""What can be done about an issued document: all of it stands beside the document, which never changes."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import widgets
from django.http import HttpRequest

from billing.models import Contract, Invoice
from billing.pdf import RenderingFailed
from billing.services.credits import cancel_and_reissue, credit_amount
from billing.services.documents import mark_paid, render_again, render_invoice, resend_invoice, unmark_paid
from billing.services.purchases import end_contract
from usage import formats
from usage.admin.actions import ActionForm, confirmed
from usage.admin.base import actor_of
from usage.clocks import clock_of, system_clock
from usage.errors import Conflict
from usage.services.periods import next_period_of, open_period


class PaidForm(ActionForm):
    paid_on = forms.DateField(label="Paid on", widget=widgets.AdminDateWidget)
    note = forms.CharField(max_length=200, required=False)


class CreditForm(ActionForm):
    amount = forms.DecimalField(
        max_digits=20, decimal_places=3, help_text="Net, in the invoice's currency; its tax is added."
    )
    reason = forms.CharField(max_length=300, help_text="Printed on the credit note.")


class ReasonPrintedForm(ActionForm):
    reason = forms.CharField(max_length=300, help_text="Printed on the credit note.")


@confirmed(
    description="Send again…",
    text="The latest rendering is e-mailed to all billing contacts of the account again.",
)
def resend(modeladmin: Any, request: HttpRequest, invoice: Invoice, typed: dict[str, Any]) -> str:
    resend_invoice(invoice=invoice, by=actor_of(request))
    return "is being sent."


@confirmed(
    description="New rendering…",
    text="A new PDF is made by today's templates from what was frozen then, and kept beside the first, which stays "
    "what was sent.",
    one_only=True,
)
def new_rendering(modeladmin: Any, request: HttpRequest, invoice: Invoice, typed: dict[str, Any]) -> str:
    try:
        if not invoice.documents.exists():
            document = render_invoice(invoice_id=invoice.pk, now=system_clock())
        else:
            document = render_again(invoice=invoice, now=system_clock(), by=actor_of(request))
    except RenderingFailed as error:
        raise Conflict(f"The PDF could not be made: {error}") from error
    return f"rendering {document.rendering}, {document.pages} pages."


@confirmed(
    description="Mark as paid…",
    text="The mark stands beside the invoice; a second one replaces the first.",
    form=PaidForm,
)
def paid(modeladmin: Any, request: HttpRequest, invoice: Invoice, typed: dict[str, Any]) -> str:
    mark_paid(invoice=invoice, paid_on=typed["paid_on"], note=typed["note"], by=actor_of(request))
    return f"paid on {formats.short_date(typed['paid_on'])}."


@confirmed(description="Take the paid mark away…", text="The invoice counts as open again.")
def unpaid(modeladmin: Any, request: HttpRequest, invoice: Invoice, typed: dict[str, Any]) -> str:
    unmark_paid(invoice=invoice, by=actor_of(request))
    return "is open."


@confirmed(
    description="Credit an amount…",
    text="Issues a credit note over money alone: the units stay billed and are not billed again.",
    form=CreditForm,
    one_only=True,
)
def credit(modeladmin: Any, request: HttpRequest, invoice: Invoice, typed: dict[str, Any]) -> str:
    note = credit_amount(
        invoice=invoice,
        amount=typed["amount"],
        reason=typed["reason"],
        clock=clock_of(invoice.account),
        by=actor_of(request),
    )
    return f"credit note {note.number} over {formats.money(abs(note.total), note.currency)}."


@confirmed(
    description="Cancel and issue again…",
    text="Issues a credit note that takes the whole document back with its units, and the document again from what is "
    "known now: usage and corrections, buyer, address and tax.",
    form=ReasonPrintedForm,
    one_only=True,
)
def reissue(modeladmin: Any, request: HttpRequest, invoice: Invoice, typed: dict[str, Any]) -> str:
    done = cancel_and_reissue(
        invoice=invoice, reason=typed["reason"], clock=clock_of(invoice.account), by=actor_of(request)
    )
    issued = f"and invoice {done.invoice.number}" if done.invoice else "and nothing left to bill"
    return f"credit note {done.credit_note.number} {issued}."


@confirmed(
    description="End the contract…",
    text="It ends with the running billing period. The metric is then billed by the plan's rate.",
)
def end_contracts(modeladmin: Any, request: HttpRequest, contract: Contract, typed: dict[str, Any]) -> str:
    account = contract.account
    period = open_period(account_id=account.pk, at=clock_of(account)())
    until = next_period_of(period)[0]
    end_contract(account=account, metric=contract.metric, until_period=until, by=actor_of(request))
    return f"ends at {until:%Y-%m-%d %H:%M} UTC."
