"""People: users, and teammates with the permissions that admins give them (spec 1.2)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import cache
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.contrib.auth.admin import UserAdmin as PlainUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group, Permission
from django.http import HttpRequest

from usage.admin.base import (
    Choices,
    EditableInline,
    HeadroomAdmin,
    PlainForm,
    ReadOnlyAdmin,
    actor_of,
    choices_of,
    is_list,
)
from usage.admin.by_service import ServiceAdmin, ServiceForm
from usage.admin.columns import chosen, in_a_row, link, linked
from usage.models import Teammate, UsageEvent, User
from usage.services.accounts import FLAGS, remove_teammate, set_teammate_flags
from usage.services.audit import Actor
from usage.written import Written


def save_teammates(request: HttpRequest, formset: Any) -> None:
    """Store what was typed into a list of teammates, each through its service."""
    by = actor_of(request)
    teammates = formset.save(commit=False)
    for teammate in formset.deleted_objects:
        remove_teammate(teammate=teammate, by=by)
    for teammate in teammates:
        _store(teammate, by)
    formset.save_m2m()


def _store(teammate: Teammate, by: Actor) -> Teammate:
    flags = {flag: getattr(teammate, flag) for flag in FLAGS}
    return set_teammate_flags(workspace=teammate.workspace, user=teammate.user, by=by, **flags)


class NamedRow(forms.Widget):
    """The row that a field holds, as a link, where it cannot be changed."""

    def __init__(self, row: Any) -> None:
        super().__init__()
        self.row = row

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> Any:
        return link(self.row)


class TeammateInlineForm(PlainForm):
    """Who works where is chosen once; what they may do can change."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in {"workspace", "user"} & self.fields.keys() if self.instance.pk else ():
            field = self.fields[name] = copy(self.fields[name])
            field.disabled = True
            field.widget = NamedRow(getattr(self.instance, name))


class TeammateInline(EditableInline):
    """Permissions on the page of a workspace or of a user."""

    model = Teammate
    form = TeammateInlineForm
    fields = ("workspace", "user", *FLAGS)
    autocomplete_fields = ("workspace", "user")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user", "workspace")


class TeammateForm(ServiceForm):
    class Meta:
        model = Teammate
        fields = ("workspace", "user", *FLAGS)

    def apply(self, by: Actor) -> Teammate:
        return _store(self.instance, by)


class TeammateRow(PlainForm):
    """A row of the list: each box says whose permission it is to those who do not see the table."""

    class Meta:
        model = Teammate
        fields = FLAGS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.widget.attrs["aria-label"] = f"{self.instance}: {field.label}" if self.instance.pk else field.label


@admin.register(Teammate)
class TeammateAdmin(ServiceAdmin):
    """Who may do what. Flags work from the next request on."""

    form = TeammateForm
    add_form = TeammateForm
    add_fields = ("workspace", "user", *FLAGS)
    fields = ("workspace", "user", *FLAGS)
    list_display = ("user", linked("workspace"), linked("workspace.account", "account"), *FLAGS)
    list_editable = FLAGS
    list_filter = (chosen("workspace"), chosen("user"), *FLAGS)
    list_select_related = ("user", "workspace__account")
    search_fields = (
        "user__email",
        "user__name",
        "workspace__key",
        "workspace__name",
        "workspace__account__key",
        "workspace__account__name",
    )
    search_help_text = "Person, workspace or account"
    ordering = ("workspace__account__name", "workspace__name", "user__email")
    autocomplete_fields = ("workspace", "user")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("workspace", "user") if obj else ()

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return TeammateRow

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        return form.saved if isinstance(form, ServiceForm) else form.save(commit=False)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not isinstance(form, ServiceForm):  # a row edited in the list
            _store(obj, actor_of(request))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        remove_teammate(teammate=obj, by=actor_of(request))


class UserForm(UserChangeForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = "__all__"


class UserAddForm(AdminUserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = User
        fields = ("email", "name")


class GrantingAdmin(HeadroomAdmin):
    """Rows that grant permissions by `filter_horizontal`: what is granted is part of the audit trail."""

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        field.choices = Choices(_permissions()) if db_field.related_model is Permission else choices_of(field)
        return field

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        before = self._granted(form.instance)
        super().save_related(request, form, formsets, change)
        self.audit(request, form.instance, before=before, after=self._granted(form.instance))

    def _granted(self, obj: Any) -> dict[str, list[str]]:
        return {name: sorted(map(str, getattr(obj, name).all())) for name in self.filter_horizontal}


def _permissions() -> list[tuple[int, str]]:
    """Those that open something in admin, in words; a model's name costs no query here, as it would as a row's text."""
    titles = _titles()
    return [
        (pk, f"{titles[app, code]} | {name}") for pk, name, app, code in _ALL_PERMISSIONS() if (app, code) in titles
    ]


_ALL_PERMISSIONS = Written(
    lambda: Permission.objects.order_by("content_type__app_label", "content_type__model", "codename").values_list(
        "pk", "name", "content_type__app_label", "codename"
    )
)


@cache
def _titles() -> dict[tuple[str, str], str]:
    """Of each permission that opens something, what it opens."""
    titles: dict[tuple[str, str], str] = {}
    for about, actions in _opening():
        title = f"{about.app_config.verbose_name} | {about.verbose_name}"
        titles |= {(about.app_label, get_permission_codename(action, about)): title for action in actions}
    return titles


def _opening() -> Iterator[tuple[Any, Sequence[str]]]:
    """Models, and what of them somebody may be allowed to do. Rows that nobody edits can only be seen; actions
    on them need the permission to change them."""
    pages = admin.site._registry
    edited = {each.model for page in pages.values() for each in page.inlines if issubclass(each, EditableInline)}
    for model, page in pages.items():
        if isinstance(page, ReadOnlyAdmin) and model not in edited:
            yield model._meta, ("view", "change") if page.actions else ("view",)
        else:
            yield model._meta, model._meta.default_permissions
    yield UsageEvent._meta, ("view", "change")  # the lookup of usage, and its corrections


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(GrantingAdmin):
    """Permissions with a name, for several users."""

    search_fields = ("name",)
    ordering = ("name",)
    filter_horizontal = ("permissions",)


@admin.register(User)
class UserAdmin(GrantingAdmin, PlainUserAdmin):  # type: ignore[type-arg]
    """People who log in: teammates, admins, or both. Switch somebody off instead of deleting them."""

    noun = "user"
    form = UserForm
    add_form = UserAddForm
    add_fieldsets = ((None, {"fields": ("email", "name", "usable_password", "password1", "password2")}),)
    fieldsets = (
        (None, {"fields": ("email", "name", "password")}),
        ("May log in", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Times", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("last_login", "date_joined")
    list_display = ("email", "name", "member_of", "is_staff", "is_active", "last_login")
    list_filter = ("is_staff", "is_superuser", "is_active")
    search_fields = ("email", "name", "memberships__workspace__key", "memberships__workspace__account__key")
    ordering = ("email",)
    filter_horizontal = ("groups", "user_permissions")
    inlines = (TeammateInline,)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else ()

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        return rows.prefetch_related("memberships__workspace") if is_list(request) else rows

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = tuple(super().get_readonly_fields(request, obj))
        if getattr(request.user, "is_superuser", False):
            return fields
        # Only somebody who may do everything can hand out permissions.
        return (*fields, "is_staff", "is_superuser", "groups", "user_permissions")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        save_teammates(request, formset)

    @admin.display(description="workspaces")
    def member_of(self, user: User) -> Any:
        memberships = list(user.memberships.all())
        links = [link(each, each.workspace.name) for each in memberships[:4]]
        return in_a_row([*links, f"{len(memberships) - 4} more"] if len(memberships) > 4 else links)
