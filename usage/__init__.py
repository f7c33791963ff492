"""usage keeps the facts: who used what, when.

Owns: people and keys, metrics, periods, events, days, totals, limits on the totals, reservations, the audit trail.
Does not own: prices, invoices, messages. Imports no other app.
"""
