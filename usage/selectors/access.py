"""Which workspaces a person sees (spec 1.5). Keys of the API: `usage.api_auth`."""

from __future__ import annotations

from typing import Final

from usage.errors import NotFound
from usage.models import User, Workspace
from usage.written import Written

_SEEN: Final = Written(
    lambda user: Workspace.objects.filter(teammates__user=user).select_related("account").order_by("name", "key")
)


def workspaces_of(user: User) -> list[Workspace]:
    """The workspaces that a teammate sees, with their accounts, by name; 1 query."""
    return _SEEN(user=user.pk)


def workspace_for(user: User, workspace_key: str) -> Workspace:
    """The workspace with that key, with its account. Raises NotFound for missing and foreign ones alike (spec 1.5)."""
    found = next((each for each in workspaces_of(user) if each.key == workspace_key), None)
    if found is None:
        raise NotFound("There is no such workspace.")
    return found
