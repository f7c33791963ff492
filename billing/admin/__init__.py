"""Admin of this app. Owns: plans and prices, what accounts have bought, documents. Everything that a service writes is
written through it."""

from billing.admin import accounts, holdings, invoices, ledger, plans

__all__ = ["accounts", "holdings", "invoices", "ledger", "plans"]
