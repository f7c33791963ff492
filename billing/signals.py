"""News of billing, sent inside the transaction that makes it true; the arguments are ids (architecture: news goes
up)."""

from django.dispatch import Signal

terms_changed = Signal()  # account_id, from_period: included amounts or rates differ from that period on
invoice_issued = Signal()  # invoice_id
dispatch_created = Signal()  # dispatch_id: a dispatch whose PDF exists waits to be sent
