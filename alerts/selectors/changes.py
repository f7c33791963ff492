"""Since when a setting holds and who changed it last, from the audit trail (spec 4.10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import F, Q, QuerySet

from usage.models import Account, AuditEntry, Workspace
from usage.written import Written, any_of


def _entries(account: Any, workspace: Any, subject: Any, actions: Any) -> QuerySet[AuditEntry]:
    """The last entry of each action; those of the account as a whole are everybody's."""
    return (
        AuditEntry.objects.filter(
            Q(workspace=workspace) | Q(workspace=None), any_of("action", actions), account=account, subject=subject
        )
        .order_by("action", "-at", "-id")
        .distinct("action")
    )


_LAST: Final = Written(
    lambda account, workspace, subject, actions: _entries(account, workspace, subject, actions).select_related("actor")
)
_MOVED: Final = Written(
    lambda account, workspace, subject, actions: (
        _entries(account, workspace, subject, actions)
        .exclude(after__in_force=F("before__in_force"))
        .values_list("action", "at")
    )
)


@dataclass(frozen=True, slots=True)
class SettingRecord:
    """`what` is set, in words; `since` when it holds (None = nothing does); the last change, also of its schedule."""

    what: str
    since: datetime | None
    changed: AuditEntry


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting as the audit trail knows it (“alert.changed”), and since which period what is in force holds."""

    action: str
    what: str
    from_period: datetime | None = None


def records_of(
    *, account: Account, workspace: Workspace | None, subject: str, settings: Sequence[Setting], now: datetime
) -> list[SettingRecord]:
    """The records of the settings that were ever changed, in their order; two queries. `subject` as in the audit trail.

    The trail's times are the database's: for an account whose clock (`now`, aware) stands before them, a setting holds
    since its period began.
    """
    asked = {
        "account": account.pk,
        "workspace": -1 if workspace is None else workspace.pk,
        "subject": subject,
        "actions": [setting.action for setting in settings],
    }
    last = {entry.action: entry for entry in _LAST(**asked)}
    moved = dict(_MOVED(**asked))
    records = []
    for setting in settings:
        if setting.action not in last:
            continue
        since = setting.from_period
        if since is not None and since < moved.get(setting.action, since) <= now:
            since = moved[setting.action]
        records.append(SettingRecord(setting.what, since, last[setting.action]))
    return records
