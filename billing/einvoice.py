"""The e-invoice inside the PDF: EN 16931 in the syntax CII, as Factur-X demands (spec 5.9). Pure: a document in, XML
or the list of what it lacks out.

Only generated here, never parsed. `billing.services.documents` checks it against the schema before it is attached.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final
from xml.etree import ElementTree

from billing.money import round_money
from usage.currencies import decimals

PROFILE: Final = "EN 16931"

_RSM: Final = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
_RAM: Final = "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"
_UDT: Final = "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100"
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INVOICE, _CREDIT_NOTE = "380", "381"
_TRANSFER, _SEPA_TRANSFER = "30", "58"
_PIECE: Final = "C62"


@dataclass(frozen=True, slots=True)
class EInvoice:
    """`xml` is empty when something is `missing`; the sentences name what, for people."""

    xml: str
    missing: tuple[str, ...] = ()


def e_invoice(document: Mapping[str, Any]) -> EInvoice:
    """The document (as `billing.selectors.documents.document_of` gives it) as EN 16931, or what it lacks."""
    missing = what_is_missing(document)
    if missing:
        return EInvoice(xml="", missing=tuple(missing))
    root = ElementTree.Element(f"{{{_RSM}}}CrossIndustryInvoice")
    _context(root)
    _head(root, document)
    # A credit note is positive: its type says that the money goes the other way.
    sign = -1 if document["document_type"] == "credit_note" else 1
    transaction = _child(root, "SupplyChainTradeTransaction", space=_RSM)
    for number, line in enumerate(document["lines"], start=1):
        _line(transaction, document, line, number, sign)
    _agreement(transaction, document)
    delivery = _child(transaction, "ApplicableHeaderTradeDelivery")
    event = _child(delivery, "ActualDeliverySupplyChainEvent")
    _date(event, "OccurrenceDateTime", document["period"]["last_day"])
    _settlement(transaction, document, sign)
    for prefix, space in (("rsm", _RSM), ("ram", _RAM), ("udt", _UDT)):
        ElementTree.register_namespace(prefix, space)
    text = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    return EInvoice(xml=f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')


def what_is_missing(document: Mapping[str, Any]) -> list[str]:
    """What the standard demands and the document does not have, as sentences for the operator."""
    issuer, buyer, tax = document["issuer"], document["buyer"], document["tax_lines"][0]
    demands = [
        (bool(issuer["name"].strip()), "the issuer's name (ISSUER_NAME)"),
        (_is_country(issuer["country"]), "the issuer's country (ISSUER_COUNTRY)"),
        (_is_vat_id(issuer["vat_id"]), "the issuer's VAT id, beginning with its country (ISSUER_VAT_ID)"),
        (bool(buyer["name"].strip()), "the buyer's name"),
        (_is_country(buyer["country"]), "the buyer's country"),
        (not buyer["vat_id"] or _is_vat_id(buyer["vat_id"]), "a buyer's VAT id that begins with its country"),
        (tax["category"] != "AE" or _is_vat_id(buyer["vat_id"]), "the buyer's VAT id, which a reverse charge needs"),
        (decimals(document["currency"]) <= 2, "a currency with at most two decimals"),
        (bool(document["lines"]), "at least one line"),
    ]
    return [sentence for is_there, sentence in demands if not is_there]


def _is_country(text: str) -> bool:
    return re.fullmatch("[A-Z]{2}", text or "") is not None


def _is_vat_id(text: str) -> bool:
    return re.fullmatch("[A-Z]{2}[0-9A-Z+*.]{2,18}", (text or "").replace(" ", "")) is not None


def _context(root: ElementTree.Element) -> None:
    context = _child(root, "ExchangedDocumentContext", space=_RSM)
    guideline = _child(context, "GuidelineSpecifiedDocumentContextParameter")
    _child(guideline, "ID", "urn:cen.eu:en16931:2017")


def _head(root: ElementTree.Element, document: Mapping[str, Any]) -> None:
    head = _child(root, "ExchangedDocument", space=_RSM)
    _child(head, "ID", document["number"])
    _child(head, "TypeCode", _CREDIT_NOTE if document["document_type"] == "credit_note" else _INVOICE)
    _date(head, "IssueDateTime", document["issued_on"])
    for note in document["notes"]:
        _child(_child(head, "IncludedNote"), "Content", note)


def _line(
    transaction: ElementTree.Element, document: Mapping[str, Any], line: Mapping[str, Any], number: int, sign: int
) -> None:
    currency = document["currency"]
    amount = sign * Decimal(line["amount"])
    quantity, unit_price = _priced(line, amount, sign, currency)
    item = _child(transaction, "IncludedSupplyChainTradeLineItem")
    _child(_child(item, "AssociatedDocumentLineDocument"), "LineID", str(number))
    product = _child(item, "SpecifiedTradeProduct")
    _child(product, "Name", line["description"] or "–")
    said = "; ".join(f"{each['name']}: {each['quantity']}" for each in line["detail"].get("workspaces", ())[:20])
    if said:
        _child(product, "Description", said)
    price = _child(_child(item, "SpecifiedLineTradeAgreement"), "NetPriceProductTradePrice")
    _child(price, "ChargeAmount", _plain(unit_price))
    _child(_child(item, "SpecifiedLineTradeDelivery"), "BilledQuantity", _plain(quantity), unitCode=_PIECE)
    settlement = _child(item, "SpecifiedLineTradeSettlement")
    tax = document["tax_lines"][0]
    applied = _child(settlement, "ApplicableTradeTax")
    _child(applied, "TypeCode", "VAT")
    _child(applied, "CategoryCode", tax["category"])
    _child(applied, "RateApplicablePercent", tax["rate"])
    sums = _child(settlement, "SpecifiedTradeSettlementLineMonetarySummation")
    _child(sums, "LineTotalAmount", _money(amount, currency))


def _priced(line: Mapping[str, Any], amount: Decimal, sign: int, currency: str) -> tuple[Decimal, Decimal]:
    """Quantity and price of a unit that give the amount: those of the line where they do, else one piece of it. The
    price is never negative."""
    billed = line["overage"] if line["kind"] == "usage" else line["quantity"]
    if billed is not None and line["unit_price"] is not None:
        quantity, unit_price = sign * Decimal(billed), Decimal(line["unit_price"])
        if unit_price >= 0 and round_money(quantity * unit_price, currency) == amount:
            return quantity, unit_price
    return Decimal(-1 if amount < 0 else 1), abs(amount)


def _agreement(transaction: ElementTree.Element, document: Mapping[str, Any]) -> None:
    issuer, buyer = document["issuer"], document["buyer"]
    agreement = _child(transaction, "ApplicableHeaderTradeAgreement")
    if buyer["reference"]:
        _child(agreement, "BuyerReference", buyer["reference"])
    _party(_child(agreement, "SellerTradeParty"), issuer)
    _party(_child(agreement, "BuyerTradeParty"), buyer)


def _party(party: ElementTree.Element, facts: Mapping[str, Any]) -> None:
    _child(party, "Name", facts["name"])
    address = _child(party, "PostalTradeAddress")
    if facts["postal_code"]:
        _child(address, "PostcodeCode", facts["postal_code"])
    lines: Sequence[str] = facts["address_lines"]
    # The standard has three lines; what is beyond them stands in the third.
    parts = [*lines[:2], ", ".join(lines[2:])]
    for name, text in zip(("LineOne", "LineTwo", "LineThree"), parts, strict=False):
        if text:
            _child(address, name, text)
    if facts["city"]:
        _child(address, "CityName", facts["city"])
    _child(address, "CountryID", facts["country"])
    if facts.get("email"):
        _child(_child(party, "URIUniversalCommunication"), "URIID", facts["email"], schemeID="EM")
    if facts["vat_id"]:
        _child(_child(party, "SpecifiedTaxRegistration"), "ID", facts["vat_id"].replace(" ", ""), schemeID="VA")


def _settlement(transaction: ElementTree.Element, document: Mapping[str, Any], sign: int) -> None:
    currency, issuer = document["currency"], document["issuer"]
    settlement = _child(transaction, "ApplicableHeaderTradeSettlement")
    _child(settlement, "PaymentReference", document["number"])
    _child(settlement, "InvoiceCurrencyCode", currency)
    if issuer.get("iban"):
        means = _child(settlement, "SpecifiedTradeSettlementPaymentMeans")
        _child(means, "TypeCode", _SEPA_TRANSFER if currency == "EUR" else _TRANSFER)
        _child(_child(means, "PayeePartyCreditorFinancialAccount"), "IBANID", issuer["iban"].replace(" ", ""))
        if issuer.get("bic"):
            _child(_child(means, "PayeeSpecifiedCreditorFinancialInstitution"), "BICID", issuer["bic"])
    for tax in document["tax_lines"]:
        applied = _child(settlement, "ApplicableTradeTax")
        _child(applied, "CalculatedAmount", _money(sign * Decimal(tax["amount"]), currency))
        _child(applied, "TypeCode", "VAT")
        if tax["category"] == "AE":
            _child(applied, "ExemptionReason", "Reverse charge")
        _child(applied, "BasisAmount", _money(sign * Decimal(tax["base"]), currency))
        _child(applied, "CategoryCode", tax["category"])
        if tax["category"] == "AE":
            _child(applied, "ExemptionReasonCode", "VATEX-EU-AE")
        _child(applied, "RateApplicablePercent", tax["rate"])
    period = _child(settlement, "BillingSpecifiedPeriod")
    _date(period, "StartDateTime", document["period"]["first_day"])
    _date(period, "EndDateTime", document["period"]["last_day"])
    terms = _child(settlement, "SpecifiedTradePaymentTerms")
    _child(terms, "Description", f"Payable within {document['payment_days']} days")
    _date(terms, "DueDateDateTime", document["due_on"])
    sums = _child(settlement, "SpecifiedTradeSettlementHeaderMonetarySummation")
    subtotal, total = (_money(sign * Decimal(document[name]), currency) for name in ("subtotal", "total"))
    _child(sums, "LineTotalAmount", subtotal)
    _child(sums, "TaxBasisTotalAmount", subtotal)
    _child(sums, "TaxTotalAmount", _money(sign * Decimal(document["tax"]), currency), currencyID=currency)
    _child(sums, "GrandTotalAmount", total)
    _child(sums, "DuePayableAmount", total)
    if document["corrects"]:
        _child(_child(settlement, "InvoiceReferencedDocument"), "IssuerAssignedID", document["corrects"])


def _child(
    parent: ElementTree.Element, name: str, text: str | None = None, *, space: str = _RAM, **attributes: str
) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, f"{{{space}}}{name}", attributes)
    if text is not None:
        # Characters that XML cannot hold would make the whole document unreadable.
        element.text = _NOT_XML.sub("", text)
    return element


def _date(parent: ElementTree.Element, name: str, on: str) -> None:
    day = date.fromisoformat(str(on)[:10])
    _child(_child(parent, name), "DateTimeString", f"{day:%Y%m%d}", space=_UDT, format="102")


def _money(amount: Decimal, currency: str) -> str:
    return f"{round_money(amount, currency):f}"


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}" if value else "0"
