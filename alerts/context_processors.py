"""The bell and the banner on every page of a workspace (spec 3.11, 4.3)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from alerts.selectors.banners import banners_for
from alerts.selectors.notifications import unread_count
from usage.clocks import clock_of
from usage.errors import NotFound
from usage.formats import short_date
from usage.models import User, Workspace
from usage.periods import local_day
from usage.selectors import workspace_for


def bell_and_banner(request: HttpRequest) -> dict[str, Any]:
    """`unread_count` and `banners` of the workspace in the page's path; nothing is read before the page shows it."""
    match = request.resolver_match
    key = match.kwargs.get("workspace_key") if match is not None else None
    user = request.user if hasattr(request, "user") else None
    if key is None or not isinstance(user, User):
        return {}

    def workspace() -> Workspace | None:
        known: Workspace | None = getattr(request, "workspace", None)
        if known is not None and known.key == key:
            return known
        try:
            return workspace_for(user, key)
        except NotFound:
            return None

    def count() -> int:
        found = workspace()
        return unread_count(user=user, workspace=found) if found else 0

    def banners() -> list[dict[str, Any]]:
        found = workspace()
        if found is None:
            return []
        now = clock_of(found.account)()
        page = reverse("usage", args=[found.key])
        return ending(found, now) + [
            {
                "tone": banner.tone,
                "title": banner.title,
                "text": banner.text,
                "url": f"{page}#{banner.metric}",
                "link": "Review the limit",
            }
            for banner in banners_for(workspace=found, now=now)
        ]

    return {"unread_count": SimpleLazyObject(count), "banners": SimpleLazyObject(banners)}


def ending(workspace: Workspace, now: datetime) -> list[dict[str, Any]]:
    """The banner of an account that has ended: what that means, and where its invoices are. Nothing without an end, and
    no query; 1 query for the zone with one."""
    ended_at = workspace.account.ended_at
    if ended_at is None or ended_at > now:
        return []
    on = local_day(ended_at, workspace.account.clocks.latest("starts_at").zone)
    return [
        {
            "tone": "info",
            "title": f"{workspace.account.name} ended on {short_date(on)}.",
            "text": "Usage from then on is refused; usage until then is billed.",
            "url": reverse("invoices", args=[workspace.key]),
            "link": "See invoices",
        }
    ]
