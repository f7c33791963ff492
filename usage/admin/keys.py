"""API keys: created with the secret shown once, rotated with an overlap, revoked (spec 1.6)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from usage.admin.actions import ActionForm, confirmed
from usage.admin.base import actor_of, back_to_first_steps
from usage.admin.by_service import ServiceAdmin, ServiceForm
from usage.admin.columns import chosen, filled, link
from usage.clocks import system_clock
from usage.models import ApiKey
from usage.services.api_keys import create_api_key, revoke_api_key, rotate_api_key
from usage.services.audit import Actor

OVERLAPS = [
    ("0", "none: the old key is refused at once"),
    ("3600", "an hour"),
    ("86400", "a day"),
    ("604800", "a week"),
]


class ApiKeyAddForm(ServiceForm):
    scopes = forms.MultipleChoiceField(choices=ApiKey.Scope, widget=forms.CheckboxSelectMultiple)
    plain: str = ""

    class Meta:
        model = ApiKey
        fields = ("account", "name", "scopes", "expires_at")
        field_classes = {"expires_at": forms.SplitDateTimeField}

    def apply(self, by: Actor) -> ApiKey:
        typed = self.cleaned_data
        key, self.plain = create_api_key(
            account=typed["account"],
            name=typed["name"],
            scopes=typed["scopes"],
            expires_at=typed["expires_at"],
            now=system_clock(),
            by=by,
        )
        return key


class RotationForm(ActionForm):
    overlap = forms.ChoiceField(
        choices=OVERLAPS, initial="86400", help_text="How long the old key stays valid beside the new one."
    )


def shown_once(modeladmin: Any, request: HttpRequest, key: ApiKey, plain: str) -> HttpResponse:
    """The only page that ever shows the key."""
    context = {
        **modeladmin.admin_site.each_context(request),
        "title": "Copy the key now",
        "opts": modeladmin.opts,
        "key": key,
        "plain": plain,
        "back": back_to_first_steps(request),
    }
    response = TemplateResponse(request, "admin/usage/apikey/shown_once.html", context)
    response.headers["Cache-Control"] = "no-store"
    return response


@confirmed(
    description="Rotate…",
    text="A new key with the same account, name and scopes is made and shown once.",
    form=RotationForm,
    one_only=True,
)
def rotate(modeladmin: Any, request: HttpRequest, key: ApiKey, typed: dict[str, Any]) -> HttpResponse:
    overlap = timedelta(seconds=int(typed["overlap"]))
    successor, plain = rotate_api_key(key=key, overlap=overlap, now=system_clock(), by=actor_of(request))
    return shown_once(modeladmin, request, successor, plain)


@confirmed(description="Revoke…", text="The key is refused from the next request on. This cannot be undone.")
def revoke(modeladmin: Any, request: HttpRequest, key: ApiKey, typed: dict[str, Any]) -> str:
    revoke_api_key(key=key, now=system_clock(), by=actor_of(request))
    return "revoked."


class ValidFilter(admin.SimpleListFilter):
    """Whether the key would be accepted now."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        return [("valid", "Valid"), ("expired", "Expired"), ("revoked", "Revoked")]

    def queryset(self, request: Any, queryset: Any) -> Any:
        now = system_clock()
        match self.value():
            case "valid":
                return queryset.filter(revoked_at=None).exclude(expires_at__lte=now)
            case "expired":
                return queryset.filter(revoked_at=None, expires_at__lte=now)
            case "revoked":
                return queryset.filter(revoked_at__isnull=False)
        return queryset


@admin.register(ApiKey)
class ApiKeyAdmin(ServiceAdmin):
    """Bearer keys of accounts, or of the operator for all accounts."""

    noun = "api_key"
    add_form = ApiKeyAddForm
    add_fields = ("account", "name", "scopes", "expires_at")
    list_display = ("prefix", "name", "holder", "scope_list", "state", "last_used_on", "expires_at", "created_at")
    list_filter = (
        ValidFilter,
        chosen("account"),
        filled("account", "holder", empty="All accounts", filled="One account"),
    )
    list_select_related = ("account",)
    search_fields = ("prefix", "name", "account__key", "account__name")
    autocomplete_fields = ("account",)
    fields = (
        "prefix",
        "name",
        "holder",
        "scope_list",
        "state",
        "created_at",
        "last_used_on",
        "expires_at",
        "revoked_at",
        "replaces",
    )
    actions = (rotate, revoke)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else ()

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: Any = None) -> HttpResponse:
        return shown_once(self, request, obj, request.__dict__["plain_key"])

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        request.__dict__["plain_key"] = form.plain

    @admin.display(description="account", ordering="account")
    def holder(self, key: ApiKey) -> Any:
        return link(key.account) if key.account else "all accounts"

    @admin.display(description="scopes")
    def scope_list(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "revoked"
        if key.expires_at is not None:
            return "expired" if key.expires_at <= system_clock() else "expires"
        return "valid"
