"""Accounts, their clocks, periods and workspaces."""

from __future__ import annotations

from functools import cache
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin
from django.contrib.admin import widgets
from django.db.models import OuterRef, Prefetch, Subquery
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join

from usage import formats
from usage.admin import registry
from usage.admin.actions import ActionForm, confirmed
from usage.admin.base import ReadOnlyAdmin, ReadOnlyInline, actor_of, is_list
from usage.admin.by_service import AddedByService, ServiceForm
from usage.admin.columns import chosen, filled, in_a_row, linked, list_link
from usage.admin.people import TeammateInline, save_teammates
from usage.clocks import clock_of, system_clock
from usage.errors import InvalidInput
from usage.models import Account, AccountClock, Period, Workspace
from usage.services.accounts import add_workspace, change_clock, create_account, end_account
from usage.services.audit import Actor


@cache
def _zones() -> list[tuple[str, str]]:
    return [(zone, zone) for zone in sorted(available_timezones())]


@cache
def _suggestions() -> str:
    options = format_html_join("", '<option value="{}">', ((zone,) for zone, _ in _zones()))
    return format_html('<datalist id="zones">{}</datalist>', options)


class ZoneInput(forms.TextInput):
    """Six hundred time zones are found faster by typing than in a list."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> Any:
        field = super().render(name, value, {**(attrs or {}), "list": "zones"}, renderer)
        return format_html("{}{}", field, _suggestions())


class ZoneField(forms.ChoiceField):
    """The IANA name of a time zone, typed with suggestions."""

    widget = ZoneInput
    default_error_messages = {"invalid_choice": "“%(value)s” is no time zone. They are named as Europe/Berlin."}

    def __init__(self, **options: Any) -> None:
        super().__init__(label="Time zone", choices=_zones, **options)


class AccountAddForm(ServiceForm):
    """Everything that an account needs from its first moment on."""

    zone = ZoneField(help_text="Days, periods and invoices are counted in it. Type a city, as Berlin.")
    started_on = forms.DateField(
        widget=widgets.AdminDateWidget,
        help_text="First day of the first billing period, and its anchor. Periods that are over are billed at once.",
    )
    interval = forms.ChoiceField(choices=AccountClock.Interval, initial=AccountClock.Interval.MONTH)
    workspace_lines = forms.CharField(
        label="Workspaces",
        widget=forms.Textarea(attrs={"rows": 3, "cols": 40}),
        help_text="One a line: its key, or “key = Name”. Keys are for ever.",
    )

    class Meta:
        model = Account
        fields = ("key", "name", "currency", "is_sandbox")

    def apply(self, by: Actor) -> Account:
        typed = self.cleaned_data
        pairs = []
        for line in typed["workspace_lines"].splitlines():
            key, _, name = (part.strip() for part in line.partition("="))
            if key:
                pairs.append((key, name or key))
        try:
            return create_account(
                key=typed["key"],
                name=typed["name"],
                currency=typed["currency"],
                zone=typed["zone"],
                started_on=typed["started_on"],
                interval=typed["interval"],
                workspaces=pairs,
                is_sandbox=typed["is_sandbox"],
                now=system_clock(),
                by=by,
            )
        except InvalidInput as refusal:
            if refusal.field == "workspaces":
                refusal.field = "workspace_lines"
            raise


class ClockForm(ActionForm):
    zone = ZoneField(required=False, help_text="Empty: as it is.")
    interval = forms.ChoiceField(
        choices=[("", "as it is"), *AccountClock.Interval.choices],
        required=False,
        help_text="Must be the interval of the plan from then on.",
    )


class EndForm(ActionForm):
    at = forms.SplitDateTimeField(
        label="Ends at", widget=widgets.AdminSplitDateTime, help_text="In UTC. Usage from then on is refused."
    )


@confirmed(
    description="Change time zone or interval…",
    text="The new clock begins at the end of the running billing period, which stays as it is.",
    form=ClockForm,
)
def change_account_clock(modeladmin: Any, request: HttpRequest, account: Account, typed: dict[str, Any]) -> str:
    clock = change_clock(
        account=account,
        zone=typed["zone"] or None,
        interval=typed["interval"] or None,
        now=clock_of(account)(),
        by=actor_of(request),
    )
    return f"{clock.get_interval_display().lower()} in {clock.zone} from {clock.starts_on}."


@confirmed(
    description="End the account…",
    text="Usage that happens at or after that instant is refused; earlier usage is still accepted and billed. "
    "To end the subscription with the billing period, cancel the subscription instead.",
    form=EndForm,
)
def end_accounts(modeladmin: Any, request: HttpRequest, account: Account, typed: dict[str, Any]) -> str:
    end_account(account=account, at=typed["at"], by=actor_of(request))
    return f"ends at {typed['at']:%Y-%m-%d %H:%M} UTC."


registry.ACCOUNT.lists[:0] = [
    ("Workspaces", "usage_workspace"),
    ("API keys", "usage_apikey"),
    ("Hard limits", "usage_usagelimit"),
    ("Billing periods", "usage_period"),
]
registry.ACCOUNT.actions[:0] = [change_account_clock, end_accounts]
registry.WORKSPACE.lists[:0] = [("Teammates", "usage_teammate"), ("Hard limits", "usage_usagelimit")]


class WorkspaceInline(ReadOnlyInline):
    model = Workspace
    fields = ("key", "name", "created_at")


class ClockInline(ReadOnlyInline):
    model = AccountClock
    show_change_link = False
    fields = ("starts_at", "starts_on", "zone", "interval")
    ordering = ("-starts_at",)


@admin.register(Account)
class AccountAdmin(AddedByService):
    """The customer that pays, with links to all that belongs to it."""

    noun = "account"
    add_form = AccountAddForm
    add_fields = ("key", "name", "currency", "zone", "started_on", "interval", "workspace_lines", "is_sandbox")
    list_display = ("name", "key", "currency", "zone", "workspace_links", "usage", "ended_at", "is_sandbox")
    list_filter = (filled("ended_at", "state", empty="Running", filled="Ended"), "is_sandbox", "currency")
    search_fields = ("key", "name", "workspaces__key", "workspaces__name")
    search_help_text = "Key or name of the account or of one of its workspaces"
    readonly_fields = ("key", "currency", "ended_at", "is_sandbox", "sandbox_now", "last_cut_at", "created_at", "pages")
    fieldsets = (
        (None, {"fields": ("name", "key", "currency", "pages")}),
        ("State", {"fields": ("ended_at", "last_cut_at", "is_sandbox", "sandbox_now", "created_at")}),
    )
    inlines = (WorkspaceInline, ClockInline)
    actions = registry.ACCOUNT.actions

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def get_list_display(self, request: HttpRequest) -> Any:
        return (*self.list_display[:2], *registry.ACCOUNT.columns, *self.list_display[2:])

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        if not is_list(request):
            return rows
        clock = AccountClock.objects.filter(account=OuterRef("pk")).order_by("-starts_at")
        workspaces = Prefetch("workspaces", Workspace.objects.order_by("name", "key"))
        return rows.prefetch_related(workspaces).annotate(
            clock_zone=Subquery(clock.values("zone")[:1]), **registry.ACCOUNT.annotations
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="time zone", ordering="clock_zone")
    def zone(self, account: Account) -> str:
        return getattr(account, "clock_zone", "") or "–"

    @admin.display(description="workspaces")
    def workspace_links(self, account: Account) -> Any:
        shown = list(account.workspaces.all())
        links = [list_link("usage_workspace", each.name, id__exact=each.pk) for each in shown[:3]]
        if len(shown) > 3:
            links.append(list_link("usage_workspace", f"{len(shown) - 3} more", account__id__exact=account.pk))
        return in_a_row(links)

    @admin.display(description="usage")
    def usage(self, account: Account) -> Any:
        return list_link("admin:usage_lookup", "Look up", account=account.key)

    @admin.display(description="belongs to it")
    def pages(self, account: Account) -> Any:
        links = [list_link(view, label, account__id__exact=account.pk) for label, view in registry.ACCOUNT.lists]
        return in_a_row([*links, list_link("admin:usage_lookup", "Usage", account=account.key)])


@admin.register(AccountClock)
class AccountClockAdmin(ReadOnlyAdmin):
    """Which clock holds from when. Changed by an action of the account."""

    list_display = (linked("account"), "starts_on", "zone", "interval", "starts_at")
    list_filter = (chosen("account"), "interval")
    list_select_related = ("account",)
    search_fields = ("account__key", "account__name", "zone")


@admin.register(Period)
class PeriodAdmin(ReadOnlyAdmin):
    """Billing periods that were opened so far."""

    list_display = ("period", linked("account"), "starts_at", "ends_at", "zone", "days", "usage")
    fields = (linked("account"), "first_day", "last_day", "days", "zone", "starts_at", "ends_at", "usage")
    list_filter = (chosen("account"),)
    list_select_related = ("account",)
    search_fields = ("account__key", "account__name")
    ordering = ("-pk",)

    @admin.display(description="period", ordering="starts_at")
    def period(self, period: Period) -> str:
        return formats.date_span(period.first_day, period.last_day)

    @admin.display(description="usage")
    def usage(self, period: Period) -> Any:
        return list_link(
            "admin:usage_lookup", "Look up", account=period.account.key, period=period.starts_at.isoformat()
        )


class WorkspaceAddForm(ServiceForm):
    class Meta:
        model = Workspace
        fields = ("account", "key", "name")

    def apply(self, by: Actor) -> Workspace:
        typed = self.cleaned_data
        return add_workspace(account=typed["account"], key=typed["key"], name=typed["name"], by=by)


@admin.register(Workspace)
class WorkspaceAdmin(AddedByService):
    """A part of an account with its own usage, alerts, limits and teammates."""

    noun = "workspace"
    add_form = WorkspaceAddForm
    add_fields = ("account", "key", "name")
    list_display = ("name", "key", linked("account"), "teammates", "usage", "created_at")
    list_filter = (chosen("account"),)
    list_select_related = ("account",)
    search_fields = ("key", "name", "account__key", "account__name")
    autocomplete_fields = ("account",)
    readonly_fields = ("account", "key", "created_at", "pages")
    fields = ("name", "key", "account", "pages", "created_at")
    inlines = (TeammateInline,)
    actions = registry.WORKSPACE.actions

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        save_teammates(request, formset)

    @admin.display(description="teammates")
    def teammates(self, workspace: Workspace) -> Any:
        return list_link("usage_teammate", "Permissions", workspace__id__exact=workspace.pk)

    @admin.display(description="usage")
    def usage(self, workspace: Workspace) -> Any:
        return list_link("admin:usage_lookup", "Look up", account=workspace.account.key, workspace=workspace.key)

    @admin.display(description="belongs to it")
    def pages(self, workspace: Workspace) -> Any:
        links = [list_link(view, label, workspace__id__exact=workspace.pk) for label, view in registry.WORKSPACE.lists]
        usage = list_link("admin:usage_lookup", "Usage", account=workspace.account.key, workspace=workspace.key)
        return in_a_row([*links, usage])
