"""Actions that ask first: a page that says what will happen to which rows, with the fields that are needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Final

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse

from usage.errors import HeadroomError

AT_ONCE: Final = 100
_PREFIX: Final = "confirm"
_LOCATIONS: Final = (admin.ActionLocation.CHANGE_LIST, admin.ActionLocation.CHANGE_FORM)

# (the admin, the request, one row, what was typed) -> what to say about it, None for nothing, or a page to show.
type Doing = Callable[[Any, HttpRequest, Any, dict[str, Any]], str | HttpResponseBase | None]


class ActionForm(forms.Form):
    """The fields of a confirmation page; `objects` are the rows it is about."""

    def __init__(self, *args: Any, objects: Sequence[Any] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.objects = objects


class ReasonForm(ActionForm):
    reason = forms.CharField(max_length=500, help_text="Kept in the audit trail.")


def confirmed(
    *,
    description: str,
    text: str,
    form: type[ActionForm] = ActionForm,
    one_only: bool = False,
    permission: str = "operate",
) -> Callable[[Doing], Any]:
    """Make an admin action of a function that does it to one row. It runs after a page that shows `text`, the rows and
    `form`, for each row in its own transaction; what a service refuses is shown beside the row's name.

    `one_only`: not for several rows at once (they would need different answers).
    """

    def decorator(doing: Doing) -> Any:
        @admin.action(description=description, permissions=[permission], location=_LOCATIONS)
        @wraps(doing)
        def action(modeladmin: Any, request: HttpRequest, queryset: Any) -> HttpResponseBase | None:
            objects = list(queryset[: AT_ONCE + 1])
            if len(objects) > (1 if one_only else AT_ONCE):
                wanted = "one row" if one_only else f"at most {AT_ONCE} rows"
                messages.error(request, f"{description}: choose {wanted} at a time.")
                return None
            is_confirmed = f"{_PREFIX}-yes" in request.POST
            filled = form(request.POST if is_confirmed else None, objects=objects, prefix=_PREFIX)
            if not is_confirmed or not filled.is_valid():
                return _ask(modeladmin, request, objects, filled, title=description, text=text)
            return _do_all(modeladmin, request, objects, filled.cleaned_data, doing=doing, description=description)

        return action

    return decorator


def _ask(
    modeladmin: Any, request: HttpRequest, objects: list[Any], form: ActionForm, *, title: str, text: str
) -> HttpResponseBase:
    again = {ACTION_CHECKBOX_NAME, "action", "index", "select_across"}
    location = f"{admin.ActionLocation.CHANGE_FORM.value}-"
    context = {
        **modeladmin.admin_site.each_context(request),
        "title": title,
        "text": text,
        "opts": modeladmin.opts,
        "objects": [_named(obj) for obj in objects],
        "form": form,
        "hidden": [
            (name, value)
            for name, values in request.POST.lists()
            if name in again or name.startswith(location)
            for value in values
        ],
        "media": modeladmin.media + form.media,
    }
    return TemplateResponse(request, "admin/confirm_action.html", context, status=422 if form.errors else 200)


def _named(obj: Any) -> str:
    """The row and whose it is, for a number alone can be mistyped, and two accounts may have one name."""
    account, key = getattr(obj, "account", None), getattr(obj, "key", "")
    name = f"{obj} ({key})" if key and key != str(obj) else str(obj)
    return f"{name}, {account}" if account and str(account) not in name else name


def _do_all(
    modeladmin: Any,
    request: HttpRequest,
    objects: list[Any],
    typed: dict[str, Any],
    *,
    doing: Doing,
    description: str,
) -> HttpResponseBase | None:
    page = None
    silent = 0
    for obj in objects:
        try:
            with transaction.atomic():
                said = doing(modeladmin, request, obj, typed)
        except HeadroomError as refusal:
            messages.error(request, f"{obj}: {refusal.detail}")
            continue
        if isinstance(said, HttpResponseBase):
            page = said
        elif said is not None:
            messages.success(request, f"{obj}: {said}")
        else:
            silent += 1
    if silent:
        messages.success(request, f"{description}: done{f' for {silent} rows' if silent > 1 else ''}.")
    return page
