"""Which workspaces a person sees (spec 1.5). Keys of the API: `usage.api_auth`."""

from __future__ import annotations

from django.db.models import QuerySet

from usage.errors import NotFound
from usage.models import User, Workspace


def workspaces_of(user: User) -> QuerySet[Workspace]:
    """The workspaces that a teammate sees, with their accounts, by name."""
    return Workspace.objects.filter(teammates__user=user).select_related("account").order_by("name", "key")


def workspace_for(user: User, workspace_key: str) -> Workspace:
    """The workspace with that key, with its account. Raises NotFound for missing and foreign ones alike (spec 1.5)."""
    found = workspaces_of(user).filter(key=workspace_key).first() if "\x00" not in workspace_key else None
    if found is None:
        raise NotFound("There is no such workspace.")
    return found
