"""The rows of a list as Django's admin draws them, with all that is the same for a whole column found out once.

Django asks for each cell anew what its column is, which class it has and where its row's page is. Here a column answers
that once, and a row is one format string that escapes what is put into it. The HTML is Django's, to the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, time
from operator import attrgetter
from typing import Any

from django.contrib.admin.templatetags.admin_list import (
    ResultList,
    result_headers,
    result_hidden_fields,
    result_list,
)
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.utils import display_for_field, display_for_value, label_for_field, quote
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString
from django.utils.timezone import get_current_timezone_name

from usage import formats
from usage.admin.columns import row_address

type Reading = Callable[[Any], Any]

_BETWEEN_ROWS = "</tr>\n\n\n<tr>"
_PLAIN, _NOWRAP = SafeString(""), SafeString(" nowrap")


@dataclass(frozen=True, slots=True)
class _Column:
    """`read` finds the value in a row, `show` makes of it what stands in the cell."""

    name: str
    css: str
    read: Reading
    show: Reading
    empty: str
    is_linked: bool
    may_be_date: bool = False


def table(cl: Any) -> dict[str, Any]:
    """What Django's `change_list_results.html` draws: heads and rows of a list, each row with all its cells as one."""
    if cl.is_popup:  # its links carry more
        return result_list(cl)
    heads = list(result_headers(cl))
    return {
        "cl": cl,
        "result_hidden_fields": list(result_hidden_fields(cl)),
        "result_headers": heads,
        "num_sorted_fields": sum(head["sortable"] and head["sorted"] for head in heads),
        "results": list(_rows(cl)),
    }


def inline_table(inline: Any, formset: Any) -> dict[str, Any]:
    """What `admin/edit_inline/read_only.html` draws: rows of another table on the page of the row they belong to, the
    first column leading to the row's own page."""
    columns = [
        _column(inline, inline.model, name, is_linked=inline.show_change_link and index == 0)
        for index, name in enumerate(inline.fields)
    ]
    labels = (label_for_field(name, inline.model, inline) for name in inline.fields)
    heads = [(column.css, label) for column, label in zip(columns, labels, strict=True)]
    found = formset.get_queryset()
    for row in found:  # it need not be read again to show its currency
        setattr(row, formset.fk.name, formset.instance)
    rows = _drawn(columns, found, [None] * len(found), _page_of_row(inline.opts))
    return {"heads": heads, "rows": [row for _, row in rows]}


def _rows(cl: Any) -> Iterator[Any]:
    links = cl.list_display_links or ()
    columns = [_column(cl.model_admin, cl.model, name, is_linked=name in links) for name in cl.list_display]
    forms = cl.formset.forms if cl.formset else [None] * len(cl.result_list)
    drawn = _drawn(columns, cl.result_list, forms, _page_of_row(cl.opts, cl.preserved_filters))
    if cl.formset:
        yield from (ResultList(form, [row]) for form, row in drawn)
    elif cl.result_list:  # in one, for the template has nothing to say between rows without forms
        yield ResultList(None, [SafeString(_BETWEEN_ROWS.join(row for _, row in drawn))])


def _drawn(
    columns: list[_Column], rows: Iterable[Any], forms: Iterable[Any], page: Reading
) -> Iterator[tuple[Any, SafeString]]:
    """Each row's form, if it can be edited, and its cells."""
    pattern = "".join(_patterns(columns))
    for row, form in zip(rows, forms, strict=True):
        values: list[Any] = []
        for column in columns:
            try:
                value = column.read(row)
                shown = column.show(value)
            except ObjectDoesNotExist:
                value, shown = None, column.empty
            if column.may_be_date:
                values.append(_NOWRAP if isinstance(value, (date, time)) else _PLAIN)
            if column.is_linked:
                values.append(page(row))
            elif form is not None and column.name in form.fields:
                field = form[column.name]
                shown = format_html("{}{}", field.errors, field) if field.errors else field
            values.append(shown)
        yield form, _filled(pattern, values)


def _filled(pattern: str, values: list[Any]) -> SafeString:
    """The pattern with the values, those that are no HTML escaped: all in one go, for no text of the database holds a
    NUL and there are hundreds."""
    words = [str(value).replace("\0", "") for value in values if not hasattr(value, "__html__")]
    escaped = iter(escape("\0".join(words)).split("\0"))
    drawn = (value.__html__() if hasattr(value, "__html__") else next(escaped) for value in values)
    return SafeString(pattern.format(*drawn))


def _patterns(columns: list[_Column]) -> Iterator[str]:
    """A row with {} for what differs: whether a value is a date, the row's page, the cell."""
    tag = "th"
    for column in columns:
        css = column.css + ("{}" if column.may_be_date else "")
        if column.is_linked:
            yield f'<{tag} class="{css}"><a href="{{}}">{{}}</a></{tag}>'
            tag = "td"
        else:
            yield f'<td class="{css}">{{}}</td>'


def _page_of_row(opts: Any, preserved_filters: str = "") -> Reading:
    """The address of a row's page, which remembers how the list was filtered."""
    query = ""
    if preserved_filters:
        query = add_preserved_filters({"preserved_filters": preserved_filters, "opts": opts}, "/").removeprefix("/")
    address = row_address(opts) + query.replace("{", "{{").replace("}", "}}")
    return lambda row: address.format(quote(row.pk))


def _column(admin: Any, model: Any, name: Any, *, is_linked: bool) -> _Column:
    empty = admin.get_empty_value_display()
    _, attribute = label_for_field(name, model, model_admin=admin, return_attr=True)
    if attribute is None:
        field: Any = model._meta.get_field(name)
        css = f"field-{name}"
        if isinstance(field, models.DateField | models.TimeField | models.ForeignKey):
            css += " nowrap"
        return _Column(name, css, attrgetter(name), _shown_field(field, empty, is_linked), empty, is_linked)
    empty = getattr(attribute, "empty_value_display", empty)
    is_sign = getattr(attribute, "boolean", False)

    def show(value: Any) -> Any:
        if isinstance(value, str) and not is_sign:
            return (value if hasattr(value, "__html__") else value.strip()) or empty
        return display_for_value(value, empty, is_sign)

    word = name.__name__ if callable(name) else name
    return _Column(
        word,
        "action-checkbox" if word == "action_checkbox" else f"field-{word}",
        _reading(name, admin),
        show,
        empty,
        is_linked,
        may_be_date=True,
    )


def _reading(name: Any, admin: Any) -> Reading:
    if callable(name):
        return name  # type: ignore[no-any-return]
    if name == "__str__":
        return str
    if hasattr(admin, name):
        return getattr(admin, name)  # type: ignore[no-any-return]

    def read(row: Any) -> Any:
        value = getattr(row, name)
        return value() if callable(value) else value

    return read


def _shown_field(field: Any, empty: str, is_linked: bool) -> Reading:
    def show(value: Any) -> Any:
        return display_for_field(value, field, empty, avoid_link=is_linked)

    if isinstance(field, models.ForeignKey):
        return lambda value: empty if value is None else value
    if field.flatchoices or isinstance(field, models.BooleanField):
        words = {value: show(value) for value in (*dict(field.flatchoices), True, False, None)}
        return lambda value: words[value] if value in words else show(value)
    if isinstance(field, models.DateTimeField):  # as Django would write it, found out a tenth of the time
        return lambda value: empty if value is None else formats.local_minute(value, get_current_timezone_name())
    if type(field) is models.DateField:
        return lambda value: empty if value is None else formats.short_date(value)
    if type(field) in (models.CharField, models.TextField) and field.name != "password":
        return lambda value: (value or "").strip() or empty
    return show
