"""What was told in-app, and who has read it (spec 3.11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from django.db.models import Exists, OuterRef, Q, QuerySet

from alerts.models import Notification, NotificationRead
from usage.models import User, Workspace
from usage.sql import prepared
from usage.written import Written


def notifications_of(*, workspace: Workspace) -> QuerySet[Notification]:
    """The messages of a workspace and those of its account as a whole, newest first (spec 3.11)."""
    return (
        Notification.objects.filter(account_id=workspace.account_id)
        .filter(Q(workspace=workspace) | Q(workspace=None))
        .select_related("metric", "workspace", "account")
        .order_by("-at", "-id")
    )


def notifications_for(*, user: User, workspace: Workspace) -> QuerySet[Notification]:
    """`notifications_of`, each with `is_read` for the user."""
    read = NotificationRead.objects.filter(notification=OuterRef("pk"), user=user)
    return notifications_of(workspace=workspace).annotate(is_read=Exists(read))


_LATEST: Final = Written(
    lambda user, account, workspace: (
        Notification.objects.filter(Q(workspace=workspace) | Q(workspace=None), account=account)
        .annotate(is_read=Exists(NotificationRead.objects.filter(notification=OuterRef("pk"), user=user)))
        .order_by("-at", "-id")[:20]
    )
)


def latest_notifications(*, user: User, workspace: Workspace, number: int) -> Sequence[Notification]:
    """The newest of `notifications_for`, up to 20."""
    return _LATEST(user=user.pk, account=workspace.account_id, workspace=workspace.pk)[:number]


_UNREAD = """
SELECT count(*)
  FROM (SELECT FROM alerts_notification n
         WHERE n.account_id = %(account)s AND (n.workspace_id = %(workspace)s OR n.workspace_id IS NULL)
           AND NOT EXISTS (SELECT FROM alerts_notificationread r
                            WHERE r.notification_id = n.id AND r.user_id = %(user)s)
         LIMIT 100) AS unread
"""


def unread_count(*, user: User, workspace: Workspace) -> int:
    """How many of them the user has not read, up to 100: the bell shows no more."""
    arguments = {"account": workspace.account_id, "workspace": workspace.pk, "user": user.pk}
    found: int = prepared(_UNREAD, arguments)[0][0]
    return found
