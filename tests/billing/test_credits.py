"""Credits of money, and documents that are cancelled and issued again (spec 5.8)."""

from datetime import datetime
from decimal import Decimal

import pytest

from billing.models import BilledUsage, Invoice
from billing.services.credits import cancel_and_reissue, credit_amount, credited, is_cancelled
from billing.services.documents import render_invoice
from tests.billing.books import (
    AUGUST,
    DAY,
    HOUR,
    JULY,
    JUNE,
    MID_JUNE,
    at,
    close,
    line,
    lines,
    profile,
    subscribed,
    unbilled,
)
from tests.factories import BY, event, use
from usage.errors import Conflict, InvalidInput
from usage.models import AuditEntry
from usage.services.corrections import void_event
from usage.services.ingest import ingest_sent

pytestmark = pytest.mark.django_db

LATER = JULY + 5 * DAY


def credit(invoice: Invoice, amount: str, *, reason: str = "Outage on 3 June") -> Invoice:
    return credit_amount(invoice=invoice, amount=Decimal(amount), reason=reason, clock=at(LATER), by=BY)


def reissue(invoice: Invoice, *, now: datetime = LATER):
    return cancel_and_reissue(invoice=invoice, reason="wrong address", clock=at(now), by=BY)


# --- Money only ---


def test_a_credit_of_money_is_a_credit_note_with_the_tax_of_the_invoice():
    account = subscribed("starter")
    profile(account, tax_rate=Decimal(19))
    invoice = close(account)
    note = credit(invoice, "10.00")
    assert (note.document_type, note.reason, note.corrects) == ("credit_note", "credit", invoice)
    assert (note.subtotal, note.tax, note.total) == (Decimal("-10.00"), Decimal("-1.90"), Decimal("-11.90"))
    assert note.sequence == invoice.sequence + 1
    assert lines(note) == [("credit", "Outage on 3 June", Decimal("-10.00"))]
    assert note.frozen["buyer"] == invoice.frozen["buyer"]


def test_a_credit_of_money_touches_no_units_and_is_not_billed_again():
    account = subscribed("starter")
    use("conversations", 275)
    credit(close(account), "12.50")
    use("conversations", 1, at=MID_JUNE, received_at=LATER)
    late = line(close(account, JULY), "conversations", "adjustment")
    assert late.amount == Decimal("0.50")
    assert unbilled(account) == {}


def test_credits_together_give_back_at_most_the_invoice_and_its_tax_to_the_cent():
    account = subscribed("starter")
    profile(account, tax_rate=Decimal("19.6"))
    invoice = close(account)
    for _ in range(3):
        credit(invoice, "16.33")
    assert credited(invoice) == Decimal("48.99")
    with pytest.raises(InvalidInput) as refused:
        credit(invoice, "0.02")
    assert refused.value.extra["left"] == "0.01"
    credit(invoice, "0.01")
    assert sum(each.total for each in Invoice.objects.all()) == 0


@pytest.mark.parametrize("amount", ["0", "-1", "1.001", "49.01", "NaN"])
def test_an_impossible_amount_is_refused(amount):
    invoice = close(subscribed("starter"))
    with pytest.raises(InvalidInput):
        credit(invoice, amount)
    assert Invoice.objects.count() == 1


def test_a_credit_says_why_and_a_credit_note_is_not_credited():
    invoice = close(subscribed("starter"))
    with pytest.raises(InvalidInput):
        credit(invoice, "1.00", reason=" ")
    note = credit(invoice, "1.00")
    with pytest.raises(Conflict):
        credit(note, "1.00")
    assert AuditEntry.objects.get(subject=note.number).reason == "Outage on 3 June"


# --- Cancel and issue again ---


def test_a_document_issued_again_has_the_new_address_and_the_same_amounts():
    account = subscribed("starter", workspaces=("atlas", "birch"))
    use("conversations", 275)
    use("conversations", 5, workspace_key="birch")
    use("seats", 3, at=JUNE)
    profile(account, legal_name="Old Ltd", tax_rate=Decimal(10))
    invoice = close(account)
    profile(account, legal_name="New Ltd")
    done = reissue(invoice)
    assert done.credit_note.total == -invoice.total
    assert done.credit_note.frozen["buyer"]["name"] == "Old Ltd"
    assert (done.invoice.total, done.invoice.reason, done.invoice.corrects) == (invoice.total, "reissue", invoice)
    assert done.invoice.frozen["buyer"]["name"] == "New Ltd"
    assert [each.sequence for each in (invoice, done.credit_note, done.invoice)] == [1, 2, 3]
    assert is_cancelled(invoice)
    assert unbilled(account) == {}


def test_cancelling_books_the_units_back_and_the_new_document_bills_what_is_known_now():
    account = subscribed("starter")
    ingest_sent(
        account_id=account.pk,
        sent=[event("conversation.created", id_=f"x{n}", time=MID_JUNE) for n in range(300)],
        clock=at(MID_JUNE),
    )
    invoice = close(account)
    for number in range(60):
        void_event(account=account, source="urn:tests", event_id=f"x{number}", reason="bot", clock=at(LATER), by=BY)
    done = reissue(invoice, now=LATER + HOUR)
    assert BilledUsage.objects.get(line__invoice=done.credit_note).quantity == -300
    assert BilledUsage.objects.get(line__invoice=done.invoice).quantity == 240
    assert line(done.invoice, "conversations").amount == 0
    # Nothing is left for the next invoice.
    assert not close(account, JULY).lines.filter(kind="adjustment").exists()
    assert unbilled(account) == {}


def test_what_arrives_after_a_document_was_issued_again_is_adjusted_from_there():
    account = subscribed("starter")
    use("conversations", 260)
    invoice = close(account)
    done = reissue(invoice)
    use("conversations", 2, at=MID_JUNE, received_at=LATER + HOUR)
    late = line(close(account, JULY), "conversations", "adjustment")
    assert (late.quantity, late.amount) == (2, 1)
    assert late.previous_cut_at == done.invoice.cut_at == LATER


def test_usage_of_other_periods_stays_for_the_next_invoice():
    account = subscribed("starter")
    close(account)
    second = close(account, JULY)
    use("conversations", 251, at=MID_JUNE, received_at=AUGUST + DAY)
    reissue(second, now=AUGUST + 2 * DAY)
    assert unbilled(account) == {("atlas", "conversations", JUNE): 251}
    assert line(close(account, AUGUST), "conversations", "adjustment").amount == Decimal("0.50")


def test_the_adjustments_of_a_cancelled_document_are_on_the_new_one():
    account = subscribed("starter")
    use("conversations", 250)
    close(account)
    use("conversations", 4, at=MID_JUNE, received_at=JULY + DAY)
    second = close(account, JULY)
    use("conversations", 1, at=MID_JUNE, received_at=AUGUST + DAY)
    done = reissue(second, now=AUGUST + 2 * DAY)
    late = line(done.invoice, "conversations", "adjustment")
    assert (late.quantity, late.amount) == (5, Decimal("2.50"))
    assert late.previous_cut_at == JULY + HOUR
    assert unbilled(account) == {}


def test_a_document_whose_usage_was_adjusted_later_is_cancelled_last():
    account = subscribed("starter")
    use("conversations", 250)
    first = close(account)
    use("conversations", 4, at=MID_JUNE, received_at=JULY + DAY)
    second = close(account, JULY)
    with pytest.raises(Conflict, match=second.number):
        reissue(first, now=AUGUST + DAY)
    assert Invoice.objects.count() == 2


def test_a_document_is_cancelled_once_and_the_new_one_can_be_cancelled_again():
    account = subscribed("starter")
    use("conversations", 275)
    invoice = close(account)
    done = reissue(invoice)
    for attempt in (lambda: reissue(invoice), lambda: credit(invoice, "1.00"), lambda: reissue(done.credit_note)):
        with pytest.raises(Conflict):
            attempt()
    third = reissue(done.invoice).invoice
    assert third.total == invoice.total
    assert unbilled(account) == {}
    assert sum(each.total for each in Invoice.objects.all()) == invoice.total


def test_a_partly_credited_document_is_not_cancelled():
    invoice = close(subscribed("starter"))
    credit(invoice, "1.00")
    with pytest.raises(Conflict):
        reissue(invoice)


def test_the_sweep_goes_on_after_the_regular_invoice_whatever_was_issued_again():
    account = subscribed("starter")
    reissue(close(account))
    assert close(account, JULY).reason == "regular"


def test_credit_notes_and_new_documents_have_pdfs():
    account = subscribed("starter")
    use("conversations", 275)
    use("seats", 3, at=JUNE)
    profile(account, country="DE", legal_name="Acme GmbH", tax_rate=Decimal(19))
    invoice = close(account)
    done = reissue(invoice)
    note = credit(done.invoice, "5.00")
    for each in (done.credit_note, done.invoice, note):
        assert render_invoice(invoice_id=each.pk, now=LATER).e_invoice == "EN 16931"
