"""Hard limits as rows and on the totals that they check (spec 4.2, Data 3). Whether one may be set, alerts decides."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F

from usage.models import Metric, UsageLimit, UsageTotal, Workspace


@transaction.atomic
def write_limit(*, workspace: Workspace, metric: Metric, from_period: datetime, quantity: Decimal | None) -> UsageLimit:
    """Let `quantity` (stored units; None = no limit) hold from the period that starts at `from_period` on.

    Later rows go: the last edit wins. Totals that stand already, of that period and later ones, check it from now on,
    and their levels are worked out anew. The caller holds the account's lock, so no count runs between row and totals.
    """
    line: dict[str, Any] = {"account_id": workspace.account_id, "workspace": workspace, "metric": metric}
    UsageLimit.objects.filter(**line, from_period__gt=from_period).delete()
    row, _ = UsageLimit.objects.update_or_create(**line, from_period=from_period, defaults={"quantity": quantity})
    UsageTotal.objects.filter(**line, period__gte=from_period).update(
        hard_limit=quantity, next_level=Decimal(0), seq=F("seq") + 1
    )
    return row


def limit_in_force(*, workspace: Workspace, metric: Metric, period: datetime) -> UsageLimit | None:
    """The row that holds in the period starting at `period`: the last one at or before it, None when there is none."""
    line: dict[str, Any] = {"account_id": workspace.account_id, "workspace": workspace, "metric": metric}
    return UsageLimit.objects.filter(**line, from_period__lte=period).order_by("-from_period").first()
