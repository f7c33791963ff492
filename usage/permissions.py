"""What teammates may change, who holds which permission, and the refusal that says so (spec 1.2, 1.3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from django.conf import settings

from usage.errors import Forbidden
from usage.models import Teammate, User, Workspace
from usage.written import Written

PERMISSIONS: Final = {
    "can_manage_alerts": "Can manage usage alerts",
    "can_manage_limits": "Can manage hard limits",
    "can_manage_billing": "Can manage billing",
}
_DOING: Final = {
    "can_manage_alerts": "change usage alerts",
    "can_manage_limits": "change hard limits",
    "can_manage_billing": "change billing",
}


_MEMBERSHIPS: Final = Written(
    lambda user, account: Teammate.objects.filter(user=user, user__is_active=True, workspace__account=account)
)


class Restricted(Forbidden):
    """A permission is missing: names it, who holds it in the workspace, and whom to ask (spec 1.3). `page` is the page
    of the workspace that the refused control stands on; the pop-up leads back to it."""

    title = "This feature is restricted"

    def __init__(
        self,
        *,
        doing: str,
        permissions: Sequence[str],
        holders: Sequence[User],
        workspace: Workspace,
        support_email: str,
        page: str,
    ) -> None:
        super().__init__(f"To {doing} you need the permission {' and '.join(permissions)}.", code="restricted")
        self.doing = doing
        self.permissions = tuple(permissions)
        self.holders = tuple(holders)
        self.workspace = workspace
        self.support_email = support_email
        self.page = page


def restricted(
    *, workspace: Workspace, flags: Sequence[str], doing: str | None = None, page: str = "usage"
) -> Restricted:
    """The refusal “This feature is restricted” for missing permissions in a workspace; `doing` as “change limits”."""
    return Restricted(
        doing=doing or " and ".join(_DOING[flag] for flag in flags),
        permissions=[PERMISSIONS[flag] for flag in flags],
        holders=holders_of(workspace=workspace, flags=flags),
        workspace=workspace,
        support_email=settings.SUPPORT_EMAIL,
        page=page,
    )


def holders_of(*, workspace: Workspace, flags: Iterable[str]) -> list[User]:
    """The active teammates of the workspace who hold all `flags` (spec 1.3)."""
    wanted = {f"memberships__{flag}": True for flag in flags}
    return list(
        User.objects.filter(is_active=True, memberships__workspace=workspace, **wanted).order_by("name", "email")
    )


@dataclass(frozen=True, slots=True)
class Rights:
    """The memberships of a person in a workspace and in the others of its account."""

    workspace: Workspace
    memberships: Sequence[Teammate]

    def here(self, flag: str) -> bool:
        """Whether the person holds the permission in the workspace."""
        return any(getattr(row, flag) for row in self.memberships if row.workspace_id == self.workspace.pk)

    def anywhere(self, flag: str) -> bool:
        """Whether the person holds it in any workspace of the account: for account-wide settings."""
        return any(getattr(row, flag) for row in self.memberships)


def rights_of(*, user: User, workspace: Workspace) -> Rights:
    """What an active user may do in the workspace and its account, in 1 query (spec 1.2)."""
    return Rights(workspace, _MEMBERSHIPS(user=user.pk, account=workspace.account_id))


def has_flag(*, user: User, workspace: Workspace, flag: str, anywhere_in_account: bool = False) -> bool:
    """Whether the user holds the permission in the workspace, or for account-wide settings in any workspace of its
    account (spec 1.2)."""
    rights = rights_of(user=user, workspace=workspace)
    return rights.anywhere(flag) if anywhere_in_account else rights.here(flag)
