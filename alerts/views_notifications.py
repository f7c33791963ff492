"""The notification centre: every alert and limit message, read state per teammate (spec 3.11)."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django.db.models import Max
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from alerts.models import Notification, NotificationRead
from alerts.selectors import notifications_for, notifications_of, unread_count
from config.web import page_or_partial
from usage import formats
from usage.access import shell_context, workspace_page
from usage.clocks import clock_of
from usage.models import Period, User, Workspace

PAGE = 30
FILTERS = {
    "all": ("All", None),
    "unread": ("Unread", None),
    "alerts": ("Alerts", ("usage_alert", "plan_alert", "spend_alert")),
    "limits": ("Limits", ("limit_reached", "limit_cleared")),
}
TONES = {
    Notification.Kind.USAGE_ALERT: ("alert", "alert"),
    Notification.Kind.PLAN_ALERT: ("alert", "alert"),
    Notification.Kind.SPEND_ALERT: ("alert", "alert"),
    Notification.Kind.LIMIT_REACHED: ("limit", "limit"),
    Notification.Kind.LIMIT_CLEARED: ("ok", "check"),
    Notification.Kind.INVOICE_ISSUED: ("", "invoice"),
}
PAGES = {Notification.Kind.INVOICE_ISSUED: "invoices", Notification.Kind.SPEND_ALERT: "billing"}


@require_GET
@workspace_page
def notifications(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The messages of the workspace and its account, newest first; `?show=`, `?before=` and `?after=` (ids) choose."""
    return page_or_partial(request, "alerts/notification_list.html", "list", _context(request, workspace))


@require_POST
@workspace_page
def notification_read(request: HttpRequest, workspace: Workspace, notification_id: int) -> HttpResponse:
    """Mark one message as read (`unread` in the form: as unread again)."""
    user = _user(request)
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
    user = _user(request)
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
    user = _user(request)
    asked = request.GET.get("show") or request.POST.get("show") or "all"
    show = asked if asked in FILTERS else "all"
    page, pager = _page(request, workspace, user, show)
    now = clock_of(workspace.account)()
    period = Period.objects.filter(account_id=workspace.account_id, starts_at__lte=now).order_by("-starts_at").first()
    zone = period.zone if period else "UTC"
    unread = unread_count(user=user, workspace=workspace)
    address = reverse("notifications", args=[workspace.key])
    return shell_context(request, workspace, "notifications") | {
        "days": _by_day(page, workspace, zone, now),
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
        "unread": unread,
        # “Mark all” is about what there was when the page was made, not about what arrives before the click.
        "newest": notifications_of(workspace=workspace).aggregate(newest=Max("pk"))["newest"] or 0,
    }


def _page(
    request: HttpRequest, workspace: Workspace, user: User, show: str
) -> tuple[list[Notification], dict[str, str | None] | None]:
    """A page of the list by keyset on (at, id), and the ways to the pages beside it."""
    rows = notifications_for(user=user, workspace=workspace)
    kinds = FILTERS[show][1]
    if kinds:
        rows = rows.filter(kind__in=kinds)
    if show == "unread":
        rows = rows.exclude(reads__user=user)
    older_than, newer_than = _cursor(request, workspace, "before"), _cursor(request, workspace, "after")
    if older_than is not None:
        found = list(rows.filter(at__lte=older_than.at).exclude(at=older_than.at, id__gte=older_than.pk)[: PAGE + 1])
        page, has_newer, has_older = found[:PAGE], True, len(found) > PAGE
    elif newer_than is not None:
        later = rows.filter(at__gte=newer_than.at).exclude(at=newer_than.at, id__lte=newer_than.pk).order_by("at", "id")
        found = list(later[: PAGE + 1])
        page, has_newer, has_older = found[:PAGE][::-1], len(found) > PAGE, True
    else:
        found = list(rows[: PAGE + 1])
        page, has_newer, has_older = found[:PAGE], False, len(found) > PAGE
    if not (has_newer or has_older):
        return page, None

    def way(name: str, message: Notification) -> str:
        return "?" + urlencode({**({"show": show} if show != "all" else {}), name: message.pk})

    newer = (way("after", page[0]) if page else "?") if has_newer else None
    return page, {"text": "", "newer": newer, "older": way("before", page[-1]) if has_older and page else None}


def _cursor(request: HttpRequest, workspace: Workspace, name: str) -> Notification | None:
    """The message that `?before=` or `?after=` names; nonsense and foreign ones are no cursor."""
    value = request.GET.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        return None
    return Notification.objects.filter(account_id=workspace.account_id, pk=int(value)).first()


def _by_day(page: list[Notification], workspace: Workspace, zone: str, now: datetime) -> list[dict[str, Any]]:
    """The messages under the days of the account's zone."""
    today = formats.local_day(now, zone)

    def heading(message: Notification) -> str:
        on = formats.local_day(message.at, zone)
        words = formats.day_and_month(on)
        near = {today: f"Today, {words}", today - timedelta(days=1): f"Yesterday, {words}"}
        return near.get(on) or (formats.weekday_date(on) if on.year == today.year else formats.short_date(on))

    return [
        {"heading": day, "messages": [_shown(message, workspace) for message in messages]}
        for day, messages in groupby(page, key=heading)
    ]


def _shown(message: Notification, workspace: Workspace) -> dict[str, Any]:
    tone, icon = TONES[Notification.Kind(message.kind)]
    page = PAGES.get(Notification.Kind(message.kind), "usage")
    try:
        url = reverse(page, args=[workspace.key])
    except NoReverseMatch:
        url = ""
    return {"message": message, "tone": tone, "icon": icon, "url": url, "is_read": message.is_read}  # type: ignore[attr-defined]


def _user(request: HttpRequest) -> User:
    if not isinstance(request.user, User):  # workspace_page let them in
        raise Http404
    return request.user
