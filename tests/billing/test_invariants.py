"""The invariants of money are silent when all is well, and name what is wrong (spec 9 d-h, l)."""

import pytest
from django.db import connection

from billing import invariants
from billing.models import Invoice
from billing.services.credits import cancel_and_reissue, credit_amount
from billing.services.documents import render_invoice
from tests.billing.books import AUGUST, DAY, JULY, JUNE, at, close, line, profile, subscribed
from tests.factories import BY, event, use
from usage.services.corrections import void_event
from usage.services.ingest import ingest_sent

pytestmark = pytest.mark.django_db


def violations() -> list[str]:
    return [said for check in invariants.CHECKS for said in check()]


def run(statement: str, *arguments: object) -> None:
    """Change what nobody may change, past the triggers."""
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(statement, arguments)
        cursor.execute("SET session_replication_role = DEFAULT")


@pytest.fixture
def books() -> Invoice:
    """An account with late, voided, credited and reissued documents on both systems; its first invoice."""
    account = subscribed("starter", workspaces=("atlas", "birch"))
    use("conversations", 251)
    use("seats", 3, at=JUNE)
    sent = [event("conversation.created", id_="x", time=JUNE + DAY, subject="birch")]
    ingest_sent(account_id=account.pk, sent=sent, clock=at(JUNE + DAY))
    first = close(account)
    profile(account, system="previous")
    void_event(account=account, source="urn:tests", event_id="x", reason="test", clock=at(JULY + DAY), by=BY)
    use("seats", 5, at=JUNE + 9 * DAY, received_at=JULY + DAY)
    use("phone", 700, at=JULY + 30 * DAY, received_at=AUGUST)
    second = close(account, JULY)
    cancel_and_reissue(invoice=second, reason="address", clock=at(AUGUST + DAY), by=BY)
    credit_amount(invoice=first, amount=1, reason="test", clock=at(AUGUST + DAY), by=BY)
    # Received since the last close, and not billed yet.
    use("conversations", 5, at=JUNE + DAY, received_at=AUGUST + 2 * DAY)
    use("seats", 9, at=JUNE + 19 * DAY, received_at=AUGUST + 2 * DAY)
    render_invoice(invoice_id=first.pk, now=JULY + DAY)
    return first


def test_they_are_silent_when_all_is_well(books):
    assert violations() == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE billing_billedusage SET quantity = quantity + 1 WHERE line_id = {usage}", "251 known"),
        ("DELETE FROM billing_billedusage WHERE line_id = {seats}", "seat-days known"),
        ("UPDATE billing_invoiceline SET amount = amount + 0.01 WHERE id = {usage}", "2026-0001: net"),
        ("UPDATE billing_numberseries SET last_number = last_number + 1", "last number 6, but 5 documents"),
        ("UPDATE billing_invoicedocument SET content = 'x'", "rendering 1 is not what was stored"),
        ("ALTER TABLE billing_invoice DISABLE TRIGGER billing_invoice_append_only", "billing_invoice can be changed"),
        (
            "UPDATE billing_billedusage SET period = period + '1 day'::interval WHERE line_id = {usage}",
            "something else",
        ),
        ("UPDATE billing_invoice SET total = total - 1, tax = tax - 1 WHERE reason = 'credit'", "does not take back"),
    ],
)
def test_they_name_what_is_wrong(books, statement, said):
    ids = {"usage": line(books, "conversations").pk, "seats": line(books, "seats", "seats").pk}
    # Nothing may wait for the end of the transaction when a table is altered.
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    run(statement.format(**ids))
    assert any(said in each for each in violations()), violations()
