"""What every page of the admin shares: bounded lists, read-only tables, the actor, an audit entry for each change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import models, transaction
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.choices import BaseChoiceIterator
from django.utils.functional import cached_property
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.text import capfirst

from usage.admin.columns import zones
from usage.admin.inputs import TypedInputs
from usage.admin.lists import SharedRows, all_rows
from usage.models import Account, AuditEntry, User, Workspace
from usage.services.audit import Actor, record
from usage.sql import prepared

if TYPE_CHECKING:
    PlainAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    PlainForm = forms.ModelForm[Any]
    InlineFormSet = forms.BaseInlineFormSet[Any, Any, Any]
    _Paginator = Paginator[Any]
else:
    PlainAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline
    PlainForm = forms.ModelForm
    InlineFormSet = forms.BaseInlineFormSet
    _Paginator = Paginator

COUNTED_ROWS: Final = 10_000
KEY_HELP: Final = "Small letters, digits, “-” and “_”; for ever. Events and the API name it."


def actor_of(request: HttpRequest) -> Actor:
    """The admin who acts, for the audit trail."""
    user = request.user
    if not isinstance(user, User):
        raise TypeError("only people who are logged in act in admin")
    return Actor.of_user(user, how=AuditEntry.How.ADMIN)


def back_to_first_steps(request: HttpRequest) -> str:
    """The checklist's address for the account it was about, when its link led here (`?first_steps=KEY`); else empty."""
    key = request.GET.get("first_steps")
    return "" if key is None else f"{reverse('admin:first_steps')}?{urlencode({'account': key})}"


def is_list(request: HttpRequest) -> bool:
    """Whether a model's list is asked for, or an action of it."""
    match = request.resolver_match
    return match is not None and (match.url_name or "").endswith("_changelist")


def _counted(model: type[models.Model]) -> int:
    rows = f'SELECT 1 FROM "{model._meta.db_table}" LIMIT {COUNTED_ROWS}'  # noqa: S608  # a table's own name
    ((found,),) = prepared(f"SELECT count(*) FROM ({rows}) counted", ())  # noqa: S608
    return int(found)


def _is_key(column: Any, value: str) -> bool:
    try:
        column.to_python(value)
    except ValidationError:
        return False
    return "\x00" not in value


class BoundedPaginator(_Paginator):
    """Counts no further than 10 000 rows: a list opens as fast on a table of any size; search leads to the rest."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if isinstance(rows, models.QuerySet):
            if not rows.query.where:  # what most lists open with
                return _counted(rows.model)
            return min(rows.order_by().values("pk")[: COUNTED_ROWS + 1].count(), COUNTED_ROWS)
        return super().count


class Choices(BaseChoiceIterator):
    """Choices as a field shows them: Django walks through a list of them with each copy of the field."""

    def __init__(self, pairs: Iterable[tuple[Any, Any]]) -> None:
        self.pairs = tuple(pairs)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self.pairs)

    def __deepcopy__(self, memo: Any) -> Choices:
        return self


def choices_of(field: Any) -> Choices:
    """The rows that a field offers, read in one statement; Django counts them first and opens a cursor for them."""
    query = field.queryset.query
    rows = field.queryset if query.where else all_rows(field.queryset.model, tuple(query.order_by))()
    empty = [] if field.empty_label is None else [("", field.empty_label)]
    return Choices([*empty, *((field.prepare_value(row), field.label_from_instance(row)) for row in rows)])


class HeadroomAdmin(TypedInputs, PlainAdmin):
    """A model that admins may change by itself. Each change leaves an audit entry `<noun>.created`, `.changed` or
    `.deleted` in the same transaction."""

    paginator = BoundedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each is a count of the whole table
    list_per_page = 25
    noun = ""
    has_trail = True  # whether its page leads to what was done to it
    unlisted: tuple[str, ...] = ()  # long columns, here or of related rows, that the list does not show

    @property
    def media(self) -> forms.Media:
        """What lists need. Django adds jQuery and what fills slugs, for which no page here has a use."""
        return forms.Media(js=["admin/js/core.js", "admin/js/actions.js"])

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request).annotate(**zones((*self.list_display, *(self.fields or ()))))
        return rows.defer(*self.unlisted) if is_list(request) else rows

    def action_checkbox(self, obj: Any) -> Any:
        """As Django draws it, without a template for each row."""
        return SafeString(
            f'<input type="checkbox" name="{ACTION_CHECKBOX_NAME}" value="{escape(str(obj.pk))}" class="action-select"'
            f' aria-label="Select this object for an action - {escape(str(obj))}">'
        )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        nothing = any("\x00" in value for values in request.GET.lists() for value in values[1])
        if nothing or len(request.GET.get(f"{self.date_hierarchy}__year", "")) > 4:
            return redirect(request.path)  # no column holds it, and neither Django nor the database can ask for it
        title = str(capfirst(self.opts.verbose_name_plural))
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """A record's page is called as the record. Labels stand beside their fields, without a colon."""
        context["adminform"].form.label_suffix = ""
        if name := str(context["original"] or ""):
            context |= {"title": name, "subtitle": capfirst(str(self.opts.verbose_name))}
        return super().render_change_form(request, context, *args, **kwargs)

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        return None if "\x00" in object_id else super().get_object(request, object_id, from_field)

    def response_action(self, request: HttpRequest, queryset: Any, *args: Any, **kwargs: Any) -> Any:
        """Nothing, with the list again, when a selected row cannot be one."""
        if not all(_is_key(self.opts.pk, each) for each in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            messages.error(request, "One of the selected rows does not exist.")
            return None
        return super().response_action(request, queryset, *args, **kwargs)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[SharedRows]:
        return SharedRows

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Actions need the permission to change the model, also where its rows cannot be edited."""
        return bool(request.user.has_perm(f"{self.opts.app_label}.change_{self.opts.model_name}"))

    def get_list_display_links(self, request: HttpRequest, list_display: Any) -> Any:
        """The first column that is no link to another row leads to the row's page."""
        if self.list_display_links:
            return self.list_display_links
        return [each for each in list_display if not getattr(each, "is_link", False)][:1]

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "key" and field is not None and not field.help_text:
            field.help_text = KEY_HELP
        return field

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        """What was done to a row stands in the audit trail, also what was not done in admin."""
        obj = self.get_object(request, unquote(object_id))
        if obj is None or not request.user.has_perm("usage.view_auditentry"):
            return super().history_view(request, object_id, extra_context)
        return redirect(f"{reverse('admin:usage_auditentry_changelist')}?{urlencode(_trail_of(obj))}")

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> HttpResponseRedirect:
        """Whom the checklist sent here goes back to it."""
        back = back_to_first_steps(request)
        return redirect(back) if back else super().response_post_save_add(request, obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        before = type(obj)._default_manager.filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        self.audit(request, obj, before=_values(before, form.changed_data), after=_values(obj, form.changed_data))

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            self.audit(request, obj, before=_values(obj), after=None)
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        for obj in queryset:
            self.delete_model(request, obj)

    def audit(self, request: HttpRequest, obj: Any, *, before: Any, after: Any) -> None:
        """One entry; nothing when nothing changed."""
        if before == after:
            return
        done = "deleted" if after is None else "created" if before is None else "changed"
        record(
            by=actor_of(request),
            action=f"{self.noun or self.opts.model_name}.{done}",
            subject=_subject_of(obj),
            account=obj if isinstance(obj, Account) else getattr(obj, "account", None),
            workspace=obj if isinstance(obj, Workspace) else getattr(obj, "workspace", None),
            before=before,
            after=after,
        )


class ReadOnlyAdmin(HeadroomAdmin):
    """Rows that the product writes and nobody edits: everything it shows is read-only, functions of the row too."""

    has_trail = False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if self.fields is None and self.fieldsets is None:
            return super().get_readonly_fields(request, obj)
        return flatten_fieldsets(self.get_fieldsets(request, obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SharedFields(dict[str, Any]):
    """The fields of a table's rows. A form copies its class's fields for itself, widget by widget; these it shares with
    the other rows, so a form that wants one to be different puts a copy in its place."""

    def __deepcopy__(self, memo: Any) -> dict[str, Any]:
        return dict(self)


class RowForms(InlineFormSet):
    """The form that new rows copy is made once for a page: Django makes it each time it is asked for."""

    @cached_property
    def empty_form(self) -> Any:
        return super().empty_form


class EditableInline(TypedInputs, TabularInline):
    """Rows of another table that are changed on the page of the row they belong to."""

    formset = RowForms
    extra = 0

    @property
    def media(self) -> forms.Media:
        return forms.Media(js=[forms.Script("js/rows.js", type="module")])  # type: ignore[list-item]

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset: Any = super().get_formset(request, obj, **kwargs)
        form = formset.form  # a class of this request alone
        form.base_fields = SharedFields(form.base_fields)
        form.media = sum((field.widget.media for field in form.base_fields.values()), forms.Media())
        return formset


class NoForms(InlineFormSet):
    """Rows to read need no forms: they are drawn as in a list (`usage.admin.rows`)."""

    media = forms.Media()
    forms = ()  # type: ignore[assignment]

    def is_multipart(self) -> bool:
        return False


class ReadOnlyInline(TabularInline):
    """Rows of another table on the page of the row they belong to."""

    media = forms.Media()
    formset = NoForms
    template = "admin/edit_inline/read_only.html"
    extra = 0
    can_delete = False
    show_change_link = True

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields or super().get_readonly_fields(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _subject_of(obj: Any) -> str:
    """What the audit trail calls a row."""
    return getattr(obj, "key", "") or getattr(obj, "email", "") or str(obj)


def _trail_of(obj: Any) -> dict[str, Any]:
    """The filter of the audit trail that finds what was done to a row; all of its account where rows have no name."""
    if isinstance(obj, Account):
        return {"account__id__exact": obj.pk}
    if isinstance(obj, Workspace):
        return {"workspace__id__exact": obj.pk}
    name = (
        getattr(obj, "email", "") or getattr(obj, "number", "") or getattr(obj, "prefix", "") or getattr(obj, "url", "")
    )
    for relation in ("workspace", "account"):
        place = getattr(obj, f"{relation}_id", None)
        if place is not None:
            return {f"{relation}__id__exact": place} | ({"q": name} if name else {})
    return {"q": name or _subject_of(obj)}


def _values(obj: Any, names: Any = None) -> dict[str, Any] | None:
    """What the audit trail keeps of a row: its columns of these names, or all; never a password or a secret."""
    if obj is None:
        return None
    kept: dict[str, Any] = {}
    for column in obj._meta.concrete_fields:
        if column.name in {"password", "secret", "secret_hash", "previous_secret"} or column.primary_key:
            continue
        if names is None or column.name in names:
            value = getattr(obj, column.attname)
            kept[column.name] = format(value.normalize(), "f") if isinstance(value, Decimal) else value
    return kept
