"""Terms in force: what charts, prices, alerts and invoices read (spec 5.3)."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from billing.models import PeriodTerms
from usage.models import Account


def last_rows(rows: QuerySet[PeriodTerms]) -> QuerySet[PeriodTerms]:
    """The last of `rows` (of one account) for each metric, with metric and plan, also inactive ones."""
    return rows.order_by("metric_id", "-from_period").distinct("metric_id").select_related("metric", "plan")


def terms_for(*, account: Account, period_start: datetime) -> dict[int, PeriodTerms]:
    """The account's terms in the period that starts at `period_start`, by metric id, in 1 query (spec 5.3).

    Also of a period that does not exist yet. A metric without terms is not in it: its usage is recorded, has no card
    and costs nothing.
    """
    rows = last_rows(PeriodTerms.objects.filter(account=account, from_period__lte=period_start))
    return {row.metric_id: row for row in rows if row.is_active}
