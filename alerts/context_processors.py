"""The bell and the banner on every page of a workspace (spec 3.11, 4.3)."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from alerts.selectors import banners_for, unread_count
from usage.clocks import clock_of
from usage.errors import NotFound
from usage.models import User, Workspace
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
        page = reverse("usage", args=[found.key])
        return [
            {
                "tone": banner.tone,
                "title": banner.title,
                "text": banner.text,
                "url": f"{page}#{banner.metric}",
                "link": "Review the limit",
            }
            for banner in banners_for(workspace=found, now=clock_of(found.account)())
        ]

    return {"unread_count": SimpleLazyObject(count), "banners": SimpleLazyObject(banners)}
