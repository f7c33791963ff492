"""The notification centre: every alert and limit message, read state per teammate (spec 3.11)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import cache
from itertools import groupby
from typing import Any, Final
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from alerts.models import Notification, NotificationRead
from alerts.selectors.notifications import notifications_for, notifications_of, unread_count
from config.web import page_or_partial
from usage import formats
from usage.access import shell_context, user_of, workspace_page
from usage.clocks import clock_of
from usage.models import Period, User, Workspace
from usage.periods import local_day
from usage.written import Written

PAGE = 30
FILTERS = {
    "all": ("All", None),
    "unread": ("Unread", None),
    "alerts": ("Alerts", ("usage_alert", "plan_alert", "spend_alert")),
    "limits": ("Limits", ("limit_reached", "limit_cleared")),
}
TONES: Final[Mapping[str, tuple[str, str]]] = {
    Notification.Kind.USAGE_ALERT: ("alert", "alert"),
    Notification.Kind.PLAN_ALERT: ("alert", "alert"),
    Notification.Kind.SPEND_ALERT: ("alert", "alert"),
    Notification.Kind.LIMIT_REACHED: ("limit", "limit"),
    Notification.Kind.LIMIT_CLEARED: ("ok", "check"),
    Notification.Kind.INVOICE_ISSUED: ("", "invoice"),
}
PAGES: Final[Mapping[str, str]] = {
    Notification.Kind.INVOICE_ISSUED: "invoices",
    Notification.Kind.SPEND_ALERT: "billing",
}


@require_GET
@workspace_page
def notifications(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The messages of the workspace and its account, newest first; `?show=`, `?before=` and `?after=` (ids) choose."""
    return page_or_partial(request, "alerts/notification_list.html", "list", _context(request, workspace))


@require_POST
@workspace_page
def notification_read(request: HttpRequest, workspace: Workspace, notification_id: int) -> HttpResponse:
    """Mark one message as read (`unread` in the form: as unread again)."""
    user = user_of(request)
    message = notifications_for(user=user, workspace=workspace).filter(pk=notification_id).first()
    if message is None:
        raise Http404
    if "unread" in request.POST:
        NotificationRead.objects.filter(notification=message, user=user).delete()
    else:
        _mark(user, [message.pk], now=timezone.now())
    return _shown_again(request, workspace)


@require_POST
@workspace_page
def notifications_read(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """Mark all messages as read that were there when the page was shown (`up_to`, an id)."""
    user = user_of(request)
    unread = notifications_of(workspace=workspace).exclude(reads__user=user)
    up_to = request.POST.get("up_to", "")
    if up_to.isascii() and up_to.isdigit() and len(up_to) < 19:
        unread = unread.filter(pk__lte=int(up_to))
    _mark(user, list(unread.values_list("pk", flat=True)), now=timezone.now())
    return _shown_again(request, workspace)


def _mark(user: User, ids: list[int], *, now: datetime) -> None:
    rows = [NotificationRead(notification_id=each, user=user, read_at=now) for each in ids]
    NotificationRead.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)


def _shown_again(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    if request.htmx:  # type: ignore[attr-defined]
        return page_or_partial(request, "alerts/notification_list.html", "list", _context(request, workspace))
    return redirect("notifications", workspace_key=workspace.key)


def _context(request: HttpRequest, workspace: Workspace) -> dict[str, Any]:
    user = user_of(request)
    asked = request.GET.get("show") or request.POST.get("show") or "all"
    show = asked if asked in FILTERS else "all"
    page, pager = _page(request, workspace, user, show)
    now = clock_of(workspace.account)()
    zone = next(iter(_ZONE(account=workspace.account_id, now=now)), "UTC")
    unread = unread_count(user=user, workspace=workspace)
    frame = shell_context(request, workspace, "notifications")
    address = frame["urls"]["notifications"]
    return frame | {
        "days": _by_day(page, frame["urls"], zone, now),
        "pager": pager,
        "zone": zone,
        "show": show,
        "tabs": [
            {
                "label": label,
                "url": address if key == "all" else f"{address}?show={key}",
                "is_current": key == show,
                "count": unread if key == "unread" else 0,
            }
            for key, (label, _) in FILTERS.items()
        ],
        "unread_count": unread,
        # “Mark all” is about what there was when the page was made, not about what arrives before the click.
        "newest": next(iter(_NEWEST(account=workspace.account_id, workspace=workspace.pk)), 0),
    }


_ZONE: Final = Written(
    lambda account, now: (
        Period.objects.filter(account=account, starts_at__lte=now)
        .order_by("-starts_at")
        .values_list("zone", flat=True)[:1]
    )
)
_NEWEST: Final = Written(
    lambda account, workspace: (
        Notification.objects.filter(Q(workspace=workspace) | Q(workspace=None), account=account)
        .order_by("-pk")
        .values_list("pk", flat=True)[:1]
    )
)


@cache
def _rows(show: str, way: str) -> Written[Notification]:
    """A page of a list and one message more, each with `is_read` for the user: from the newest on, or by keyset from
    (`at`, `pk`) on to what is older (`before`) or newer (`after`)."""

    def rows(user: Any, account: Any, workspace: Any, at: Any, pk: Any) -> QuerySet[Notification]:
        read = NotificationRead.objects.filter(notification=OuterRef("pk"), user=user)
        found = Notification.objects.filter(Q(workspace=workspace) | Q(workspace=None), account=account)
        found = found.annotate(is_read=Exists(read)).only("kind", "at", "title", "body").order_by("-at", "-id")
        kinds = FILTERS[show][1]
        if kinds:
            found = found.filter(kind__in=kinds)
        if show == "unread":
            found = found.filter(is_read=False)
        if way == "before":
            found = found.filter(at__lte=at).exclude(at=at, id__gte=pk)
        if way == "after":
            found = found.filter(at__gte=at).exclude(at=at, id__lte=pk).order_by("at", "id")
        return found[: PAGE + 1]

    return Written(rows)


def _page(
    request: HttpRequest, workspace: Workspace, user: User, show: str
) -> tuple[list[Notification], dict[str, str | None] | None]:
    """A page of the list by keyset on (at, id), and the ways to the pages beside it."""
    cursors = ((way, _cursor(request, workspace, way)) for way in ("before", "after"))
    way, cursor = next(((way, found) for way, found in cursors if found is not None), ("", None))
    start = {"at": cursor.at, "pk": cursor.pk} if cursor is not None else {}
    found = _rows(show, way)(user=user.pk, account=workspace.account_id, workspace=workspace.pk, **start)
    page, has_more = found[:PAGE], len(found) > PAGE
    if way == "after":
        page.reverse()
    has_newer = has_more if way == "after" else way == "before"
    has_older = has_more or way == "after"
    if not (has_newer or has_older):
        return page, None

    def link(name: str, message: Notification) -> str:
        return "?" + urlencode({**({"show": show} if show != "all" else {}), name: message.pk})

    newer = (link("after", page[0]) if page else "?") if has_newer else None
    return page, {"text": "", "newer": newer, "older": link("before", page[-1]) if has_older and page else None}


def _cursor(request: HttpRequest, workspace: Workspace, name: str) -> Notification | None:
    """The message that `?before=` or `?after=` names; nonsense and foreign ones are no cursor."""
    value = request.GET.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        return None
    return Notification.objects.filter(account_id=workspace.account_id, pk=int(value)).first()


def _by_day(page: list[Notification], urls: Mapping[str, str], zone: str, now: datetime) -> list[dict[str, Any]]:
    """The messages under the days of the account's zone."""
    today = local_day(now, zone)
    near = {today: "Today", today - timedelta(days=1): "Yesterday"}

    def heading(on: date) -> str:
        if on in near:
            return f"{near[on]}, {formats.day_and_month(on)}"
        return formats.weekday_date(on) if on.year == today.year else formats.short_date(on)

    return [
        {"heading": heading(on), "messages": [_shown(message, urls) for message in messages]}
        for on, messages in groupby(page, key=lambda message: local_day(message.at, zone))
    ]


def _shown(message: Notification, urls: Mapping[str, str]) -> dict[str, Any]:
    tone, icon = TONES[message.kind]
    return {
        "id": message.pk,
        "title": message.title,
        "body": message.body,
        "at": message.at,
        "tone": tone,
        "icon": icon,
        "url": urls[PAGES.get(message.kind, "usage")],
        "is_read": message.is_read,  # type: ignore[attr-defined]
    }
