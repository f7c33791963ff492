"""Usage tables in admin: account first, a page at a time, never counted, the same cost at any size (spec 7.1)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from usage import formats
from usage.models import Account, Metric, Period, Reservation, UsageDay, UsageTotal, Workspace
from usage.rounding import shown_quantity
from usage.selectors.lookup import (
    EventRow,
    events_of_line,
    find_event,
    iterate_events,
    list_days,
    list_reservations,
    list_totals,
)
from usage.services.transfer import export_events

PAGE: Final = 100
PERIODS: Final = 120  # offered to choose from; older ones by their address
TABLES: Final = (("totals", "Totals"), ("days", "Days"), ("events", "Events"), ("reservations", "Reservations"))
_LONGEST: Final = 1000


@dataclass(slots=True)
class Table:
    """What the page shows: headings, rows of cells, and where the next page goes on (text, or None)."""

    heads: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    next: str | None = None


class LookupForm(forms.Form):
    """What to look for. The lists offer what the account has."""

    account = forms.CharField(
        max_length=63, widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"})
    )
    table = forms.ChoiceField(choices=TABLES, required=False)
    workspace = forms.ChoiceField(required=False)
    metric = forms.ChoiceField(required=False)
    period = forms.ChoiceField(label="Billing period", required=False)
    source = forms.CharField(max_length=_LONGEST, required=False, help_text="For one event: its source …")
    event_id = forms.CharField(label="Id", max_length=_LONGEST, required=False, help_text="… and id")

    def __init__(self, *args: Any, scope: Scope | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if scope is None:
            for name in [name for name in self.fields if name != "account"]:
                del self.fields[name]
            return
        for name, choices in scope.choices().items():
            self.fields[name].choices = choices  # type: ignore[attr-defined]


class Scope:
    """The account that is looked at, and what of it."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.workspaces = {row.pk: row for row in Workspace.objects.filter(account=account).order_by("name", "key")}
        self.metrics = {row.pk: row for row in Metric.objects.order_by("position", "key")}
        self.periods = list(Period.objects.filter(account=account).order_by("-starts_at")[:PERIODS])
        self.zone = self.periods[0].zone if self.periods else "UTC"

    def choices(self) -> dict[str, list[tuple[str, str]]]:
        return {
            "workspace": [("", "all"), *((row.key, row.name) for row in self.workspaces.values())],
            "metric": [("", "all"), *((row.key, row.name) for row in self.metrics.values())],
            "period": [("", "all"), *((row.starts_at.isoformat(), str(row)) for row in self.periods)],
        }

    def shown(self, quantity: Decimal | None, metric_id: int) -> str:
        """Stored units -> `1,043.5 minutes`."""
        if quantity is None:
            return "–"
        metric = self.metrics[metric_id]
        shown = shown_quantity(quantity, unit_size=metric.unit_size)
        return f"{formats.number(shown)} {metric.unit_of(shown)}"

    def at(self, moment: datetime | None) -> str:
        return "–" if moment is None else formats.local_second(moment, self.zone)

    def period(self, starts_at: datetime) -> str:
        return next((str(row) for row in self.periods if row.starts_at == starts_at), f"from {self.at(starts_at)}")

    def place(self, workspace_id: int) -> str:
        return self.workspaces[workspace_id].name if workspace_id in self.workspaces else str(workspace_id)


def usage_lookup(request: HttpRequest) -> HttpResponseBase:
    """The page, and with `csv` the events of a line as CSV."""
    if not request.user.has_perm("usage.view_usageevent"):
        raise PermissionDenied
    key = request.GET.get("account", "")
    account = Account.objects.filter(key=key).first() if "\x00" not in key else None
    scope = Scope(account) if account else None
    asked = request.GET.dict()
    if scope is not None and scope.periods and "period" not in asked:
        asked["period"] = scope.periods[0].starts_at.isoformat()
    if scope is not None and asked.get("table") == "events" and not asked.get("event_id"):
        # Events are read by metric and period: the form says which.
        asked["metric"] = asked.get("metric") or next((row.key for row in scope.metrics.values()), "")
        asked["period"] = asked.get("period") or next((row.starts_at.isoformat() for row in scope.periods), "")
    form = LookupForm(asked if key else None, scope=scope)
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": "Usage",
        "form": form,
        "account": account,
        "zone": scope.zone if scope else "",
    }
    if scope is None and key:
        form.add_error("account", "There is no account with this key.")
        context["similar"] = _similar(key)
    elif scope is None:
        context["accounts"] = Account.objects.order_by("name", "key")[:20]
    elif scope is not None and form.is_valid():
        if "csv" in request.GET:
            return _csv(scope, form.cleaned_data, request)
        table = _table(scope, form.cleaned_data, request)
        context |= {"table": table, "chosen": form.cleaned_data["table"] or "totals", "next": _next(asked, table)}
        if context["chosen"] == "events" and not form.cleaned_data["event_id"]:
            context["csv"] = f"?{urlencode({**asked, 'csv': '1'})}"
    return TemplateResponse(request, "admin/usage_lookup.html", context, status=422 if form.errors else 200)


def _similar(key: str) -> list[Account]:
    text = key.replace("\x00", "")
    return list(Account.objects.filter(Q(key__icontains=text) | Q(name__icontains=text))[:20])


def _table(scope: Scope, wanted: dict[str, Any], request: HttpRequest) -> Table:
    if wanted["source"] and wanted["event_id"]:
        rows = []
        if "\x00" not in wanted["source"] + wanted["event_id"]:
            rows = find_event(account_id=scope.account.pk, source=wanted["source"], event_id=wanted["event_id"])
        return _events(scope, rows, None)
    match wanted["table"]:
        case "events":
            page = events_of_line(**line_of(scope, wanted, request), cursor=_event_cursor(request), limit=PAGE)
            return _events(scope, page.items, page.next)
        case "days":
            days = list_days(**_where(scope, wanted), cursor=_cursor(request, int, int, _moment, date.fromisoformat))
            return _days(scope, days.items, days.next)
        case "reservations":
            held = list_reservations(**_where(scope, wanted), cursor=_cursor(request, UUID))
            return _reservations(scope, held.items, held.next)
    totals = list_totals(**_where(scope, wanted), cursor=_cursor(request, int, int, _moment))
    return _totals(scope, totals.items, totals.next)


def _where(scope: Scope, wanted: dict[str, Any]) -> dict[str, Any]:
    where: dict[str, Any] = {"account_id": scope.account.pk, "limit": PAGE}
    if wanted["workspace"]:
        where["workspace_id"] = _id_of(scope.workspaces, wanted["workspace"])
    if wanted["metric"]:
        where["metric_id"] = _id_of(scope.metrics, wanted["metric"])
    if wanted["period"]:
        where["period"] = datetime.fromisoformat(wanted["period"])
    return where


def line_of(scope: Scope, wanted: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """Which events: those of one metric and period (the first metric and the last period unless chosen), of one
    workspace or all, and where a link says so, only those received after one cut and up to another."""
    where = _where(scope, wanted)
    last = scope.periods[0].starts_at if scope.periods else scope.account.created_at
    return {
        "account_id": scope.account.pk,
        "workspace_ids": [where["workspace_id"]] if "workspace_id" in where else list(scope.workspaces),
        "metric_id": where.get("metric_id", next(iter(scope.metrics), 0)),
        "period": where.get("period", last),
        "received_after": _moment_or_none(request.GET.get("received_after")),
        "received_until": _moment_or_none(request.GET.get("received_until")),
    }


def _csv(scope: Scope, wanted: dict[str, Any], request: HttpRequest) -> StreamingHttpResponse:
    rows = iterate_events(**line_of(scope, wanted, request))
    places = {pk: row.key for pk, row in scope.workspaces.items()}
    answer = StreamingHttpResponse(
        export_events(rows, workspaces=places, metrics=scope.metrics), content_type="text/csv; charset=utf-8"
    )
    answer.headers["Content-Disposition"] = f'attachment; filename="usage-{scope.account.key}.csv"'
    return answer


def _events(scope: Scope, rows: list[EventRow], cursor: Any) -> Table:
    heads = ("Received", "Happened", "Workspace", "Metric", "Quantity", "Day", "Event", "Kind", "")
    cells = []
    for row in rows:
        query = urlencode({"account": scope.account.key, "source": row.source, "id": row.event_id})
        link = format_html('<a href="{}?{}">Correct…</a>', reverse("admin:usage_correct"), query)
        name = format_html('{}<br><small class="lookup-meta">{}</small>', row.event_id, row.source)
        cells.append(
            (
                *(scope.at(row.received_at), scope.at(row.occurred_at), scope.place(row.workspace_id)),
                *(scope.metrics[row.metric_id].name, scope.shown(row.quantity, row.metric_id)),
                *(formats.short_date(row.day), name, row.kind),
                link if row.corrects is None else "",
            )
        )
    return Table(heads, cells, _text(cursor))


def _totals(scope: Scope, rows: list[UsageTotal], cursor: Any) -> Table:
    heads = (
        *("Workspace", "Metric", "Billing period", "Quantity", "In time", "Reserved", "Limit", "Over limit"),
        *("Last received", ""),
    )
    cells = []
    for row in rows:
        over = max(row.quantity - row.hard_limit, Decimal(0)) if row.hard_limit is not None else None
        reached = row.hard_limit is not None and row.quantity >= row.hard_limit
        limit = scope.shown(row.hard_limit, row.metric_id)
        query = {
            "account": scope.account.key,
            "table": "events",
            "workspace": scope.workspaces[row.workspace_id].key,
            "metric": scope.metrics[row.metric_id].key,
            "period": row.period.isoformat(),
        }
        cells.append(
            (
                *(scope.place(row.workspace_id), scope.metrics[row.metric_id].name, scope.period(row.period)),
                *(scope.shown(row.quantity, row.metric_id), scope.shown(row.quantity_in_time, row.metric_id)),
                *(scope.shown(row.reserved or None, row.metric_id), f"{limit}, reached" if reached else limit),
                *(scope.shown(over or None, row.metric_id), scope.at(row.last_received_at)),
                format_html('<a href="?{}">Events</a>', urlencode(query)),
            )
        )
    return Table(heads, cells, _text(cursor))


def _days(scope: Scope, rows: list[UsageDay], cursor: Any) -> Table:
    heads = ("Workspace", "Metric", "Billing period", "Day", "Quantity", "Level at the day's end")
    cells = [
        (
            *(scope.place(row.workspace_id), scope.metrics[row.metric_id].name, scope.period(row.period)),
            *(formats.short_date(row.day), scope.shown(row.quantity, row.metric_id)),
            scope.shown(row.level, row.metric_id),
        )
        for row in rows
    ]
    return Table(heads, cells, _text(cursor))


def _reservations(scope: Scope, rows: list[Reservation], cursor: Any) -> Table:
    heads = ("Id", "Workspace", "Metric", "Billing period", "Quantity", "State", "Settled", "Created", "Expires")
    cells = [
        (
            *(row.reservation_id, scope.place(row.workspace_id), scope.metrics[row.metric_id].name),
            *(scope.period(row.period), scope.shown(row.quantity, row.metric_id), row.get_state_display()),
            scope.shown(row.settled_quantity, row.metric_id),
            *(scope.at(row.created_at), scope.at(row.expires_at)),
        )
        for row in rows
    ]
    return Table(heads, cells, _text(cursor))


def _id_of(rows: dict[int, Any], key: str) -> int:
    return next(pk for pk, row in rows.items() if row.key == key)


def _next(asked: dict[str, str], table: Table) -> str | None:
    return None if table.next is None else f"?{urlencode({**asked, 'after': table.next})}"


def _text(cursor: Any) -> str | None:
    if cursor is None:
        return None
    return json.dumps([part if isinstance(part, int) else str(part) for part in cursor])


def _cursor(request: HttpRequest, *kinds: Any) -> tuple[Any, ...] | None:
    """Where the page begins; None (the beginning) for whatever is no such place."""
    try:
        parts = json.loads(request.GET.get("after", ""))
        return tuple(kind(part) for kind, part in zip(kinds, parts, strict=True))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None


def _event_cursor(request: HttpRequest) -> Any:
    return _cursor(request, _moment, UUID)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no time zone")
    return moment


def _moment_or_none(text: str | None) -> datetime | None:
    try:
        return _moment(text) if text else None
    except ValueError:
        return None
