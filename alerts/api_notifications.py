"""`GET …/notifications`: what was told, oldest first (spec 10.5)."""

from __future__ import annotations

from typing import Annotated, Any

from django.db.models import Q
from django.http import HttpRequest
from ninja import Query, Router, Schema

from alerts.selectors.notifications import notifications_of
from alerts.services.messages import notification_data
from usage.api_auth import bearer, workspace_of
from usage.errors import InvalidInput
from usage.models import Workspace

router = Router(tags=["Alerts and limits"])


class NotificationRow(Schema):
    kind: str
    metric: str | None
    level: int | None
    threshold: str | None
    quantity: str | None
    period: str | None
    at: str


class NotificationPage(Schema):
    items: list[NotificationRow]
    next: str | None


@router.get(
    "/workspaces/{key}/notifications",
    auth=bearer("read"),
    response=NotificationPage,
    summary="What was told, oldest first",
)
def list_notifications(
    request: HttpRequest,
    key: str,
    after: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """Messages of the workspace and of its account as a whole. Quantities in display units, spend alerts in money."""
    workspace = Workspace.objects.select_related("account").get(pk=workspace_of(request).id)
    # By the moment they tell of: an invoice is told once its PDF exists, after alerts that were reached later.
    found = notifications_of(workspace=workspace).order_by("at", "id")
    if after is not None:
        last = found.filter(pk=int(after)).first() if after.isascii() and after.isdigit() and len(after) <= 18 else None
        if last is None:
            raise InvalidInput("after is the `next` of the page before.", field="after")
        found = found.filter(Q(at__gt=last.at) | Q(at=last.at, id__gt=last.pk))
    rows = list(found[: limit + 1])
    items = [
        notification_data(
            kind=row.kind,
            account=workspace.account,
            workspace=row.workspace,
            metric=row.metric,
            level=row.level,
            threshold=row.threshold,
            quantity=row.quantity,
            period=row.period,
            at=row.at,
        )
        for row in rows[:limit]
    ]
    return {"items": items, "next": str(rows[limit - 1].pk) if len(rows) > limit else None}
