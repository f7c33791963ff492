"""The plans and the add-on that every installation starts with (spec 5.1). Data afterwards: admins make new versions.

The included amounts and overage rates of conversations and phone are the sources'; the other prices are demo values.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

UNLIMITED: dict[str, Any] = {"is_unlimited": True}


def _pay_as_you_go(unit_price: str) -> dict[str, Any]:
    return {"unit_price": Decimal(unit_price)}


def _included(quantity: int, unit_price: str) -> dict[str, Any]:
    return {"included": Decimal(quantity), "unit_price": Decimal(unit_price)}


_EVERY_PLAN: dict[str, dict[str, Any]] = {
    "sms": UNLIMITED,
    "whatsapp": _pay_as_you_go("0.08"),
    "chat": UNLIMITED,
    "emails": UNLIMITED,
    "ai_resolutions": _pay_as_you_go("0.99"),
    "voice_resolutions": _pay_as_you_go("1.20"),
    "seats": _pay_as_you_go("25"),
}

DEFAULT_PLANS: list[dict[str, Any]] = [
    {
        "key": "starter",
        "name": "Starter",
        "price": Decimal(49),
        "includes_workflows": False,
        "position": 10,
        "rates": {"conversations": _included(250, "0.50"), "phone": _included(100, "0.30"), **_EVERY_PLAN},
    },
    {
        "key": "professional",
        "name": "Professional",
        "price": Decimal(199),
        "includes_workflows": True,
        "position": 20,
        "rates": {"conversations": _included(1000, "0.45"), "phone": _included(500, "0.28"), **_EVERY_PLAN},
    },
    {
        "key": "business",
        "name": "Business",
        "price": Decimal(799),
        "includes_workflows": True,
        "position": 30,
        "rates": {"conversations": _included(5000, "0.40"), "phone": _included(2000, "0.25"), **_EVERY_PLAN},
    },
]

DEFAULT_ADD_ONS: list[dict[str, Any]] = [
    {
        "key": "proactive_support_plus",
        "name": "Proactive Support Plus",
        "price": Decimal(99),
        "rates": {"messages_sent": _included(500, "0.10")},
    }
]

# What the demo's contracts cost (spec 5.1): a contracted AI Agent resolution.
CONTRACTED_RESOLUTION_PRICE = Decimal("0.89")


def create_default_plans(*, plan_model: Any, add_on_model: Any, rate_model: Any, metric_model: Any) -> None:
    """Create those that are missing, by key, with their rates; never changes one that exists. In US dollars, by the
    month.

    Takes the models so that a migration can call it. A rate of a metric that does not exist is left out.
    """
    metrics = {metric.key: metric for metric in metric_model.objects.all()}
    for plan_fields in DEFAULT_PLANS:
        fields = {name: value for name, value in plan_fields.items() if name != "rates"}
        if not plan_model.objects.filter(key=fields["key"]).exists():
            plan = plan_model.objects.create(version=1, currency="USD", interval="month", **fields)
            _create_rates(rate_model, metrics, plan_fields["rates"], plan=plan)
    for add_on_fields in DEFAULT_ADD_ONS:
        fields = {name: value for name, value in add_on_fields.items() if name != "rates"}
        if not add_on_model.objects.filter(key=fields["key"]).exists():
            add_on = add_on_model.objects.create(currency="USD", **fields)
            _create_rates(rate_model, metrics, add_on_fields["rates"], add_on=add_on)


def _create_rates(rate_model: Any, metrics: dict[str, Any], rates: dict[str, dict[str, Any]], **owner: Any) -> None:
    rate_model.objects.bulk_create(
        rate_model(metric=metrics[key], **owner, **fields) for key, fields in rates.items() if key in metrics
    )
