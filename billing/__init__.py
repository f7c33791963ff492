"""billing turns facts into money.

Owns: plans, contracts, terms in force, the ledger of billed quantities, invoices and their documents, billing contacts.
Does not own: counting (usage) and sending (alerts). Imports usage only.
"""
