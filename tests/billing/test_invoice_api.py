"""GET /api/v1/accounts/{key}/invoices and the PDFs behind `pdf_url` (spec 10.5, 1.5)."""

from datetime import date
from urllib.parse import urlsplit

import pytest

from billing.models import InvoiceDocument, RenderingTrouble
from billing.services.credits import credit_amount
from billing.services.documents import mark_paid, render_invoice
from tests.billing.books import AUGUST, DAY, JULY, JUNE, at, close, subscribed
from tests.factories import BY, bearer, make_account, make_key, use

pytestmark = pytest.mark.django_db


@pytest.fixture
def ask(client):
    def get(path: str, key: str, *, expect: int = 200, **query):
        answer = client.get(path, query, headers=bearer(key))
        assert answer.status_code == expect, answer.content
        return answer if answer["Content-Type"] == "application/pdf" else answer.json()

    return get


def test_an_invoice_is_listed_with_its_lines_as_printed(ask):
    account = subscribed("starter", workspaces=("atlas", "birch"))
    use("conversations", 270)
    use("conversations", 5, workspace_key="birch")
    use("phone", 120)
    invoice = close(account)
    mark_paid(invoice=invoice, paid_on=date(2026, 7, 9), by=BY)
    body = ask("/api/v1/accounts/acme/invoices", make_key(account, "read"))
    assert body["next"] is None
    (item,) = body["items"]
    assert {name: item[name] for name in ("number", "kind", "reason", "corrects", "currency", "paid_on")} == {
        "number": "2026-0001",
        "kind": "invoice",
        "reason": "regular",
        "corrects": None,
        "currency": "USD",
        "paid_on": "2026-07-09",
    }
    assert item["period"] == {"starts_at": "2026-06-01T00:00:00Z", "ends_at": "2026-07-01T00:00:00Z"}
    assert (item["subtotal"], item["tax"], item["total"]) == ("67.50", "0.00", "67.50")
    assert next(line for line in item["lines"] if line["metric"] == "conversations") == {
        "kind": "usage",
        "description": "Conversations",
        "metric": "conversations",
        "period": "2026-06-01T00:00:00Z",
        "quantity": "275",
        "included": "250",
        "overage": "25",
        "unit_price": "0.50",
        "amount": "12.50",
        "workspaces": [{"workspace": "atlas", "quantity": "270"}, {"workspace": "birch", "quantity": "5"}],
    }


def test_pages_go_on_after_a_number_oldest_first(ask):
    account = subscribed("starter")
    first, second = close(account), close(account, JULY)
    credit_amount(invoice=first, amount=1, reason="test", clock=at(AUGUST + DAY), by=BY)
    key = make_key(account, "read")
    seen, after = [], {}
    while True:
        page = ask("/api/v1/accounts/acme/invoices", key, limit=1, **after)
        seen += [(item["number"], item["kind"], item["corrects"]) for item in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert seen == [
        (first.number, "invoice", None),
        (second.number, "invoice", None),
        ("2026-0003", "credit_note", first.number),
    ]


def test_a_line_of_seats_has_seat_days_below_it_without_padding(ask):
    account = subscribed("starter")
    use("seats", 3, at=JUNE)
    close(account)
    (item,) = ask("/api/v1/accounts/acme/invoices", make_key(account, "read"))["items"]
    seats = next(line for line in item["lines"] if line["metric"] == "seats")
    assert (seats["quantity"], seats["unit_price"], seats["amount"]) == ("3", "25.00", "75.00")
    assert seats["workspaces"] == [{"workspace": "atlas", "quantity": "90"}]


def test_the_list_costs_as_many_queries_for_many_documents_as_for_one(ask, django_assert_max_num_queries):
    account = subscribed("starter")
    for month in (JUNE, JULY, AUGUST):
        close(account, month)
    key = make_key(account, "read")
    ask("/api/v1/accounts/acme/invoices", key)  # the first use of a day is noted on the key
    with django_assert_max_num_queries(5):
        assert len(ask("/api/v1/accounts/acme/invoices", key)["items"]) == 3


def test_the_pdf_is_got_with_the_same_key(ask):
    account = subscribed("starter")
    invoice = close(account)
    key = make_key(account, "read")
    path = urlsplit(ask("/api/v1/accounts/acme/invoices", key)["items"][0]["pdf_url"]).path
    # Whoever asks before the queue has come to it gets the first rendering too: it is made once.
    answer = ask(path, key)
    stored = InvoiceDocument.objects.get(invoice=invoice)
    assert answer.content == bytes(stored.content)
    assert render_invoice(invoice_id=invoice.pk, now=JULY + DAY) == stored
    assert ask(path, key).content == answer.content
    assert answer["Content-Disposition"] == 'inline; filename="2026-0001.pdf"'


def test_a_pdf_that_could_not_be_made_is_not_there_yet(ask):
    account = subscribed("starter")
    invoice = close(account)
    RenderingTrouble.objects.create(invoice=invoice, attempts=1, next_attempt_at=JULY + DAY, error="no fonts")
    key = make_key(account, "read")
    assert ask(f"/api/v1/accounts/acme/invoices/{invoice.number}.pdf", key, expect=404)["code"] == "no_document"


def test_invoices_of_others_answer_like_missing_ones(ask):
    account = subscribed("starter")
    invoice = close(account)
    render_invoice(invoice_id=invoice.pk, now=JULY + DAY)
    stranger = make_key(make_account("other", workspaces=("cedar",)), "read")
    missing = ask("/api/v1/accounts/nobody/invoices", stranger, expect=404)
    assert ask("/api/v1/accounts/acme/invoices", stranger, expect=404) == missing
    assert ask("/api/v1/accounts/acme/invoices/2026-0001.pdf", stranger, expect=404) == missing
    # By its own account's address the number of another account is unknown too.
    assert ask("/api/v1/accounts/other/invoices/2026-0001.pdf", stranger, expect=404)["code"] == "not_found"
    operator = make_key(None, "read")
    assert len(ask("/api/v1/accounts/acme/invoices", operator)["items"]) == 1


@pytest.mark.parametrize(
    ("query", "status"),
    [({"after": "x"}, 422), ({"after": "2026-9999"}, 422), ({"limit": "0"}, 422), ({"limit": "x"}, 422)],
)
def test_impossible_pages_are_refused(ask, query, status):
    account = subscribed("starter")
    ask("/api/v1/accounts/acme/invoices", make_key(account, "read"), expect=status, **query)


def test_a_key_without_the_scope_is_refused(ask, client):
    account = subscribed("starter")
    ask("/api/v1/accounts/acme/invoices", make_key(account, "ingest"), expect=403)
    assert client.get("/api/v1/accounts/acme/invoices").status_code == 401
