"""The pages of documents: list, detail, a line explained, downloads (spec 5.9, 5.10, 6.5, 1.5)."""

import csv
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO

import pytest
from django.urls import reverse

from billing.models import Invoice, RenderingTrouble
from billing.services.credits import cancel_and_reissue, credit_amount
from billing.services.documents import mark_paid, render_invoice
from billing.services.purchases import set_contract
from billing.services.subscriptions import change_plan
from tests.billing.books import AUGUST, DAY, JULY, JUNE, SEPTEMBER, at, close, line, plan, profile, subscribed
from tests.factories import BY, event, make_account, make_teammate, metric, use
from usage.models import Workspace
from usage.services.ingest import ingest_sent

pytestmark = pytest.mark.django_db


@pytest.fixture
def read(client):
    """A page's text as a person reads it, of a teammate without any permission."""

    def get(name: str, *args, expect: int = 200, **query) -> str:
        if not client.session.get("_auth_user_id"):
            client.force_login(make_teammate().user)
        answer = client.get(reverse(name, args=["atlas", *args]), query)
        assert answer.status_code == expect, answer.content[:2000]
        if expect != 200:
            return ""
        body = b"".join(answer) if answer.streaming else answer.content
        text = re.sub(r"<[^>]+>", " ", body.decode()) if "html" in answer["Content-Type"] else body.decode("latin-1")
        return re.sub(r"[ \n\t]+", " ", text) if "html" in answer["Content-Type"] else text

    return get


def test_an_account_without_documents_says_what_will_stand_here(read):
    make_account()
    assert "No invoice yet" in read("invoices")


def test_the_list_shows_documents_newest_first_and_the_next_one(read):
    account = subscribed("starter", is_sandbox=True, now=AUGUST + DAY)
    first = close(account)
    mark_paid(invoice=first, paid_on=date(2026, 7, 9), by=BY)
    close(account, JULY)
    credit_amount(invoice=first, amount=Decimal(5), reason="test", clock=at(AUGUST + DAY), by=BY)
    page = read("invoices")
    assert re.findall(r"(2026-000\d) 1 J", page) == ["2026-0003", "2026-0002", "2026-0001"]
    assert "Next invoice 1 Sep 2026" in page
    assert "$49.00 so far" in page
    assert "Credit note" in page
    assert "Paid" in page
    assert "−$5.00" in page


def test_a_long_list_turns_its_pages_both_ways(read, monkeypatch):
    from billing import views_invoices

    monkeypatch.setattr(views_invoices, "PAGE", 2)
    account = subscribed("starter")
    for month in (JUNE, JULY, AUGUST, SEPTEMBER, datetime(2026, 10, 1, tzinfo=UTC)):
        close(account, month)

    def numbers(**query) -> list[str]:
        return sorted(set(re.findall(r"2026-000\d", read("invoices", **query))))

    assert numbers() == ["2026-0004", "2026-0005"]
    assert numbers(before="2026-0004") == ["2026-0002", "2026-0003"]
    assert numbers(before="2026-0002") == ["2026-0001"]
    assert numbers(after="2026-0001") == ["2026-0002", "2026-0003"]
    read("invoices", before="2026-0009", expect=404)


def test_a_document_shows_its_lines_sums_and_who_got_it(read):
    account = subscribed("starter")
    profile(account, tax_rate=Decimal(19))
    use("conversations", 275)
    close(account)
    page = read("invoice_detail", "2026-0001")
    for words in ("Starter plan", "Conversations, Atlas", "$12.50", "Net total", "VAT 19%", "$73.19", "Not sent yet"):
        assert words in page
    assert "The PDF is being made" in page
    render_invoice(invoice_id=Invoice.objects.get().pk, now=JULY + DAY)
    assert "because this is missing: the buyer&#x27;s country" in read("invoice_detail", "2026-0001")


def test_a_cancelled_document_says_what_stands_in_its_place(read):
    account = subscribed("starter")
    invoice = close(account)
    cancel_and_reissue(invoice=invoice, reason="address", clock=at(JULY + DAY), by=BY)
    page = read("invoice_detail", invoice.number)
    assert "This document was cancelled" in page
    assert "2026-0003 replaces it" in page
    assert "2026-0001" in read("invoice_detail", "2026-0003")


def test_a_line_is_explained_by_an_equation_its_days_and_its_events(read):
    account = subscribed("starter", workspaces=("atlas", "birch"))
    use("conversations", 1049)
    use("conversations", 414, workspace_key="birch")
    change_plan(account=account, plan=plan("professional"), clock=at(datetime(2026, 6, 20, tzinfo=UTC)), by=BY)
    row = line(close(account), "conversations")
    page = read("invoice_line", "2026-0001", row.position)
    assert "How $208.35 came about" in page
    words = "Atlas 1,049 Birch + 414 included − 1,000 over included = 463 a unit × $0.45 on the document = $208.35"
    assert words in page
    assert "The plan changed during the period" in page
    assert "Day by day" in page
    assert page.count("urn:tests") == 50
    assert "More events" in page


@pytest.mark.parametrize("kind", ["usage", "seats", "contracted", "adjustment", "plan", "add_on", "credit"])
def test_every_kind_of_line_can_be_explained(read, kind):
    account = subscribed("starter", add_ons=("proactive_support_plus",))
    set_contract(
        account=account,
        metric=metric(),
        quantity=Decimal(5),
        unit_price=Decimal(1),
        overage_price=None,
        from_period=JUNE,
        by=BY,
    )
    use("seats", 3, at=JUNE + DAY)
    use("phone", 130)
    close(account)
    use("seats", 5, at=JUNE + 2 * DAY, received_at=JULY + DAY)
    use("phone", 130, received_at=JULY + DAY)
    second = close(account, JULY)
    cancel_and_reissue(invoice=second, reason="test", clock=at(AUGUST), by=BY)
    found = 0
    for invoice in Invoice.objects.all():
        for row in invoice.lines.filter(kind=kind):
            read("invoice_line", invoice.number, row.position)
            found += 1
    assert found


def test_the_events_of_a_line_go_on_from_page_to_page(client):
    account = subscribed("starter")
    use("conversations", 120)
    row = line(close(account), "conversations")
    client.force_login(make_teammate().user)
    address, seen = reverse("invoice_line", args=["atlas", "2026-0001", row.position]), []
    while address:
        body = client.get(address).content.decode()
        seen += re.findall(r"urn:tests (event-\d+)", body)
        more = re.search(r'href="([^"]+)" rel="next"', body)
        address = more.group(1).replace("&amp;", "&") if more else ""
    assert len(seen) == len(set(seen)) == 120


@pytest.mark.parametrize("after", ["x", "2026-06-01~x", "2026-06-01T00:00:00~" + "0" * 32, "~", "\x00", "9" * 400])
def test_addresses_that_no_page_linked_to_are_not_found(read, after):
    account = subscribed("starter")
    row = line(close(account), "conversations")
    read("invoice_line", "2026-0001", row.position, after=after, expect=404)
    read("invoice_line", "2026-0001", 99999999999, expect=404)
    read("invoice_line_csv", "2026-0001", 1, expect=404)


def test_csv_of_a_line_and_of_all_lines_cannot_be_taken_for_formulas(read):
    account = subscribed("starter")
    sent = [event("conversation.created", id_="=1+1", source="@cmd", time=JUNE + DAY)]
    ingest_sent(account_id=account.pk, sent=sent, clock=at(JUNE + DAY))
    Workspace.objects.update(name="=cmd")
    invoice = close(account)
    rows = list(
        csv.DictReader(StringIO(read("invoice_line_csv", "2026-0001", line(invoice, "conversations").position)))
    )
    assert [(each["source"], each["id"], each["quantity"]) for each in rows] == [("'@cmd", "'=1+1", "1")]
    everything = list(csv.DictReader(StringIO(read("invoices_csv"))))
    assert len(everything) == invoice.lines.count()
    assert everything[0] | {"amount": "49", "number": "2026-0001"} == everything[0]


def test_the_pdf_is_downloaded_as_it_was_sent(client):
    account = subscribed("starter")
    invoice = close(account)
    client.force_login(make_teammate().user)
    address = reverse("invoice_pdf", args=["atlas", invoice.number])
    trouble = RenderingTrouble.objects.create(invoice=invoice, next_attempt_at=JULY + DAY, error="no fonts")
    assert client.get(address).status_code == 302
    trouble.delete()
    # The queue has not come to it: it is made for whoever asks first.
    answer = client.get(address)
    stored = render_invoice(invoice_id=invoice.pk, now=JULY + DAY)
    assert answer.content == bytes(stored.content)
    assert answer["Content-Type"] == "application/pdf"


@pytest.mark.parametrize("name", ["invoice_detail", "invoice_pdf", "invoice_line", "invoice_line_csv"])
def test_documents_of_another_account_answer_like_missing_ones(client, name):
    close(subscribed("starter"))
    subscribed("starter", key="other", workspaces=("cedar",))
    client.force_login(make_teammate("cedar", "mallory@example.com").user)
    rest = [1] if "line" in name else []
    foreign = client.get(reverse(name, args=["cedar", "2026-0001", *rest]))
    missing = client.get(reverse(name, args=["cedar", "2026-0999", *rest]))
    elsewhere = client.get(reverse(name, args=["atlas", "2026-0001", *rest]))
    assert (foreign.status_code, missing.status_code, elsewhere.status_code) == (404, 404, 404)
