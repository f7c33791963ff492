"""What a document says beside its lines, taken down when it is issued: later changes of names or addresses do not
reach it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.conf import settings

from billing.charges import CONTRACTED, USAGE, ZERO, ChargeLine
from billing.models import BillingProfile
from billing.money import round_money
from usage.models import Account, Period
from usage.rounding import plain_quantity

CHARTED: Final = 2  # metrics drawn on the document: those with an included amount first, by cost, then by quantity


def frozen_facts(
    *,
    account: Account,
    profile: BillingProfile,
    period: Period,
    counted_at: datetime,
    subtotal: Decimal,
    tax: Decimal,
    charts: Sequence[Mapping[str, Any]] = (),
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Issuer, buyer, tax category, payment terms and charts of a document, as JSON-able values; amounts as strings."""
    return {
        "issuer": dict(settings.ISSUER),
        "buyer": buyer_facts(account, profile),
        "period": {
            "first_day": period.first_day.isoformat(),
            "last_day": period.last_day.isoformat(),
            "days": period.days,
            "zone": period.zone,
        },
        "system": profile.system,
        "counted_at": counted_at.isoformat(),
        "tax_lines": [tax_facts(profile, subtotal, tax)],
        "payment_days": profile.payment_days,
        "paper": profile.paper,
        "notes": list(notes),
        "chart": list(charts),
    }


def buyer_facts(account: Account, profile: BillingProfile) -> dict[str, Any]:
    """The buyer as printed; the account's name stands in for a legal name that was never given."""
    return {
        "name": profile.legal_name or account.name,
        "address_lines": [line.strip() for line in profile.address.splitlines() if line.strip()],
        "postal_code": profile.postal_code,
        "city": profile.city,
        "country": profile.country,
        "vat_id": profile.vat_id,
        "reference": profile.reference,
        "account_key": account.key,
    }


def tax_on(subtotal: Decimal, profile: BillingProfile, currency: str) -> Decimal:
    """Tax of the document's one category: its whole base × rate, rounded once, as EN 16931 BR-CO-17 demands."""
    rate = ZERO if profile.reverse_charge else profile.tax_rate
    return round_money(subtotal * rate / 100, currency)


def tax_facts(profile: BillingProfile, subtotal: Decimal, tax: Decimal) -> dict[str, Any]:
    """The one tax category of a document, by its EN 16931 letter: S standard, Z zero, AE reverse charge."""
    rate = ZERO if profile.reverse_charge else profile.tax_rate
    category = "AE" if profile.reverse_charge else ("S" if rate > 0 else "Z")
    return {
        "category": category,
        "name": profile.tax_name,
        "rate": f"{rate.normalize():f}",
        "base": str(subtotal),
        "amount": str(tax),
    }


def charted_lines(lines: Sequence[ChargeLine]) -> list[ChargeLine]:
    """The usage lines that are drawn, most telling first."""
    candidates = [line for line in lines if line.kind == USAGE and line.quantity]
    candidates.sort(key=lambda line: (line.included is None, -line.amount, -(line.quantity or 0)))
    return candidates[:CHARTED]


def chart_facts(line: ChargeLine, lines: Sequence[ChargeLine], days: Sequence[Sequence[str]]) -> dict[str, Any]:
    """A chart as frozen; `days` are [ISO date, quantity] of the account's pool in display units, those without usage
    may be missing."""
    is_contracted = any(other.kind == CONTRACTED and other.metric_id == line.metric_id for other in lines)
    return {
        "name": line.description,
        "total": plain_quantity(line.quantity or ZERO),
        "included": None if line.included is None else plain_quantity(line.included),
        "terms": "contracted" if is_contracted else "included",
        "days": [list(day) for day in days],
    }
