"""Since when a setting holds and who changed it last, from the audit trail (spec 4.10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, Q

from usage.models import Account, AuditEntry, Workspace


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
    entries = (
        AuditEntry.objects.filter(
            Q(workspace=workspace) | Q(workspace=None),
            account=account,
            subject=subject,
            action__in=[setting.action for setting in settings],
        )
        .select_related("actor")
        .order_by("action", "-at", "-id")
        .distinct("action")
    )
    last = {entry.action: entry for entry in entries}
    moved = {entry.action: entry.at for entry in entries.exclude(after__in_force=F("before__in_force"))}
    records = []
    for setting in settings:
        if setting.action not in last:
            continue
        since = setting.from_period
        if since is not None and since < moved.get(setting.action, since) <= now:
            since = moved[setting.action]
        records.append(SettingRecord(setting.what, since, last[setting.action]))
    return records
