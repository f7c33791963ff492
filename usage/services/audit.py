"""The audit trail: who changed what, from what to what, and how (spec 4.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from usage.models import Account, AuditEntry, User, Workspace

How = AuditEntry.How


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a user, an API key, a command, or Headroom itself; `how` is one of `AuditEntry.How`."""

    user: User | None
    name: str
    how: str

    @classmethod
    def of_user(cls, user: User, how: str = How.SCREEN) -> Actor:
        """A person on a page (or, with `How.ADMIN`, in admin), under the e-mail address they have now."""
        return cls(user=user, name=user.email, how=how)

    @classmethod
    def of_command(cls, name: str) -> Actor:
        """An operator at the command line."""
        return cls(user=None, name=f"manage.py {name}", how=How.COMMAND)

    @classmethod
    def of_system(cls, name: str = "Headroom") -> Actor:
        """A job of Headroom's own."""
        return cls(user=None, name=name, how=How.SYSTEM)


def record(
    *,
    by: Actor,
    action: str,
    subject: str,
    account: Account | int | None = None,
    workspace: Workspace | int | None = None,
    before: Any = None,
    after: Any = None,
    reason: str = "",
) -> AuditEntry:
    """Write one entry, in the caller's transaction: it stands exactly when the change does.

    `action` as “limit.changed”, `subject` what it happened to; `before` and `after` are JSON-able (Decimal, dates and
    UUIDs too). Account and workspace may be given as ids.
    """
    return AuditEntry.objects.create(
        actor=by.user,
        actor_name=by.name[:254],
        how=by.how,
        account_id=account.pk if isinstance(account, Account) else account,
        workspace_id=workspace.pk if isinstance(workspace, Workspace) else workspace,
        action=action,
        subject=subject[:200],
        before=before,
        after=after,
        reason=reason,
    )
