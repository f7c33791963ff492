"""Admin of this app. Owns: plans and prices, what accounts have bought, documents. Everything that a service writes is
written through it."""

from billing.admin import account_actions, accounts, holdings, invoices, ledger, plans

__all__ = ["account_actions", "accounts", "holdings", "invoices", "ledger", "plans"]
