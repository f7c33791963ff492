from billing.models.invoices import (
    BilledUsage,
    Invoice,
    InvoiceDispatch,
    InvoiceDocument,
    InvoiceLine,
    InvoicePayment,
    NumberSeries,
    RenderingTrouble,
)
from billing.models.plans import AddOn, Plan, Rate
from billing.models.profiles import BillingContact, BillingProfile
from billing.models.subscriptions import AddOnSubscription, Contract, Subscription
from billing.models.terms import PeriodTerms

__all__ = [
    "AddOn",
    "AddOnSubscription",
    "BilledUsage",
    "BillingContact",
    "BillingProfile",
    "Contract",
    "Invoice",
    "InvoiceDispatch",
    "InvoiceDocument",
    "InvoiceLine",
    "InvoicePayment",
    "NumberSeries",
    "PeriodTerms",
    "Plan",
    "Rate",
    "RenderingTrouble",
    "Subscription",
]
