"""News of this app. Sent inside the transaction with ids alone; receivers may only insert a queue row, so that the news
commits with the facts or not at all (architecture: calls go down, news goes up)."""

from django.dispatch import Signal

totals_passed_level = Signal()  # account_id: a total reached the quantity at which somebody must be told (Data 7)
usage_corrected = Signal()  # account_id: usage was voided or amended (spec 2.6)
account_changed = Signal()  # account_id: clock, end, workspaces or teammates changed
