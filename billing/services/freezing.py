"""What a document says beside its lines, taken down when it is issued: later changes of names or addresses do not reach it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from usage.selectors import account_usage

from billing.charges import CONTRACTED, SEATS, USAGE, ChargeLine
from billing.models import BillingProfile
from usage.models import Account, Metric, Period
from usage.rounding import shown_quantity

CHARTED = 2  # metrics drawn on the document: the costliest ones with an included amount, then the most used


def frozen_facts(
    *,
    account: Account,
    profile: BillingProfile,
    period: Period,
    lines: Sequence[ChargeLine],
    subtotal: Decimal,
    tax: Decimal,
    now: datetime,
    cut: datetime,
) -> dict[str, Any]:
    """Issuer, buyer, tax category, payment terms and chart of a document, as JSON-able values; amounts as strings."""
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
        "counted_at": (cut if profile.system == BillingProfile.System.PREVIOUS else now).isoformat(),
        "tax_lines": [tax_facts(profile, subtotal, tax)],
        "payment_days": profile.payment_days,
        "paper": profile.paper,
        "chart": chart_facts(account=account, period=period, lines=lines),
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


def tax_facts(profile: BillingProfile, subtotal: Decimal, tax: Decimal) -> dict[str, Any]:
    """The one tax category of a document, by its EN 16931 letter: S standard, Z zero, AE reverse charge."""
    rate = Decimal(0) if profile.reverse_charge else profile.tax_rate
    category = "AE" if profile.reverse_charge else ("S" if rate > 0 else "Z")
    return {
        "category": category,
        "name": profile.tax_name,
        "rate": f"{rate.normalize():f}",
        "base": str(subtotal),
        "amount": str(tax),
    }


def chart_facts(*, account: Account, period: Period, lines: Sequence[ChargeLine]) -> list[dict[str, Any]]:
    """Daily quantities of the account's pool for the metrics that are drawn, in display units."""
    candidates = [line for line in lines if line.kind == USAGE and line.metric_id is not None and line.quantity]
    candidates.sort(key=lambda line: (line.included is None, -line.amount, -(line.quantity or 0)))
    chosen = [line for line in candidates[:CHARTED] if line.metric_id is not None]
    metrics = list(Metric.objects.filter(pk__in=[line.metric_id for line in chosen]))
    if not metrics:
        return []
    usage = account_usage(account=account, period=period, metrics=metrics)
    contracted = {line.metric_id for line in lines if line.kind == CONTRACTED}
    return [
        {
            "metric": used.metric.key,
            "name": used.metric.name,
            "unit": used.metric.unit,
            "included": None if line.included is None else f"{line.included:f}",
            "terms": "contracted" if line.metric_id in contracted else "included",
            "days": [
                [day.isoformat(), f"{shown_quantity(quantity, unit_size=used.metric.unit_size):f}"]
                for day, quantity in used.pool_days
            ],
        }
        for line in chosen
        if (used := usage[line.metric_id or 0]) and line.kind != SEATS
    ]
