"""Columns that read well: links, money, quantities with their unit, JSON on lines of its own; and filters that a link
sets. Each function returns what `list_display`, `fields` and `list_filter` take."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from html import escape
from typing import Any
from urllib.parse import quote_plus

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Model, OuterRef, Q, Subquery
from django.urls import NoReverseMatch, reverse
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString

from usage import formats
from usage.models import AccountClock, Metric
from usage.periods import local_day
from usage.rounding import shown_quantity

# A function of a row. Any, because Django's types know only names in most of the places where it takes functions too.
type Column = Any
EMPTY = "–"


def attribute(obj: Any, path: str) -> Any:
    """`attribute(line, "invoice.currency")`; None as soon as something on the way is None."""
    for name in path.split("."):
        if obj is None:
            return None
        obj = getattr(obj, name)
    return obj


def link(obj: Any, text: str | None = None) -> Any:
    """The row's name, linked to its page in admin."""
    if obj is None:
        return EMPTY
    address = row_address(obj._meta)
    if not address:
        return str(obj)
    return anchor(address.format(quote(obj.pk)), text or str(obj))


def list_link(view: str, text: str, **query: Any) -> Any:
    """A link to a list, narrowed: `list_link("billing_invoice", "Invoices", account__id__exact=3)`."""
    name = view if ":" in view else f"admin:{view}_changelist"
    asked = "&".join(f"{key}={quote_plus(str(value))}" for key, value in query.items())
    return anchor(f"{_list_address(name)}?{asked}", text)


def anchor(address: str, text: str) -> SafeString:
    """What `format_html` makes, in a fifth of the time: lists hold hundreds."""
    return SafeString(f'<a href="{escape(address)}">{escape(text)}</a>')


@cache
def row_address(model: Any) -> str:
    """Where admin shows rows of the model with these options (`_meta`), with {} for the row; "" where it does not. To
    find an address takes Django longer than to draw a cell, and lists hold hundreds."""
    try:
        return reverse(f"admin:{model.app_label}_{model.model_name}_change", args=["{}"]).replace("%7B%7D", "{}")
    except NoReverseMatch:
        return ""


@cache
def _list_address(view: str) -> str:
    return reverse(view)


def in_a_row(links: Iterable[Any]) -> Any:
    """Links one after the other."""
    return SafeString(" · ".join(map(conditional_escape, links)))


def linked(path: str, label: str = "") -> Column:
    """The related row as a link. List the relation in `list_select_related`."""

    @admin.display(description=label or path.rpartition(".")[2].replace("_", " "), ordering=path.replace(".", "__"))
    def column(obj: Any) -> Any:
        return link(attribute(obj, path))

    column.__name__ = path.replace(".", "_")
    column.is_link = True  # type: ignore[attr-defined]  # it cannot also be the link to its own row
    return column


def quantity(path: str, label: str = "", *, stored: bool = True, metric: str = "metric") -> Column:
    """A quantity with its metric's unit; `stored`: the column is in stored units, else in display units."""

    @admin.display(description=label or path.rpartition(".")[2].replace("_", " "), ordering=path.replace(".", "__"))
    def column(obj: Any) -> str:
        value: Decimal | None = attribute(obj, path)
        measured: Metric | None = attribute(obj, metric)
        if value is None:
            return EMPTY
        if measured is None:
            return formats.number(value)
        shown = shown_quantity(value, unit_size=measured.unit_size) if stored else value
        return f"{formats.number(shown)} {measured.unit_of(shown)}"

    column.__name__ = "figure"  # the class of its cells: figures stand below each other
    return column


def money(path: str, label: str = "", *, currency: str = "currency", exact: bool = False) -> Column:
    """An amount in the currency found at `currency`; `exact` for prices of one unit, which may have more decimals."""

    @admin.display(description=label or path.rpartition(".")[2].replace("_", " "), ordering=path.replace(".", "__"))
    def column(obj: Any) -> str:
        value = attribute(obj, path)
        if value is None:
            return EMPTY
        return (formats.unit_price if exact else formats.money)(value, attribute(obj, currency) or "")

    column.__name__ = "figure"
    return column


def first_day(path: str, label: str = "") -> Column:
    """The local day on which the period at that instant begins; `HeadroomAdmin.get_queryset` brings its zone."""

    @admin.display(description=label or path.replace("_", " "), ordering=path)
    def column(obj: Any) -> str:
        at = attribute(obj, path)
        return formats.short_date(local_day(at, getattr(obj, f"{path}_zone", None) or "UTC")) if at else EMPTY

    column.__name__ = column.period = path  # type: ignore[attr-defined]
    return column


def zones(columns: Iterable[Any]) -> dict[str, Subquery]:
    """What `first_day` columns need of each row: the zone of the account's clock that held then."""
    return {f"{each.period}_zone": _zone_at(each.period) for each in columns if hasattr(each, "period")}


@cache
def _zone_at(path: str) -> Subquery:
    clocks = AccountClock.objects.filter(account=OuterRef("account"), starts_at__lte=OuterRef(path))
    return Subquery(clocks.order_by("-starts_at").values("zone")[:1])


def facts(path: str, label: str = "") -> Column:
    """JSON as names and values to read, empty ones as a dash."""

    @admin.display(description=label or path.replace("_", " "))
    def column(obj: Any) -> Any:
        return SafeString(_in_words(attribute(obj, path)))

    return column


def _in_words(value: Any) -> str:
    match value:
        case _ if value in (None, "", [], {}):
            return EMPTY
        case bool():
            return "yes" if value else "no"
        case dict():
            pairs = (
                f"<dt>{escape(str(name).replace('_', ' '))}</dt><dd>{_in_words(each)}</dd>"
                for name, each in value.items()
            )
            return f'<dl class="words">{"".join(pairs)}</dl>'
        case list() if any(isinstance(each, dict | list) for each in value):
            return f'<ol class="words">{"".join(f"<li>{_in_words(each)}</li>" for each in value)}</ol>'
        case list():
            return escape(", ".join(map(str, value)))
        case str() if "\n" in value:
            return f'<pre class="structure">{escape(value)}</pre>'
    return escape(str(value))


def structure(path: str, label: str = "") -> Column:
    """JSON as indented text, as it is sent."""

    @admin.display(description=label or path.replace("_", " "))
    def column(obj: Any) -> Any:
        value = attribute(obj, path)
        if value in (None, "", {}, []):
            return EMPTY
        text = json.dumps(value, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False)
        return format_html('<pre class="structure">{}</pre>', text)

    return column


def worded(name: str, title: str, words: Mapping[Any, str]) -> type[admin.SimpleListFilter]:
    """A filter by a column whose values are known, so that no table is read for them."""

    class Worded(admin.SimpleListFilter):
        parameter_name = name

        def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
            return [(str(value), word) for value, word in words.items()]

        def queryset(self, request: Any, queryset: Any) -> Any:
            asked = self.value()
            if asked is None:
                return queryset
            return queryset.filter(**{name: asked}) if asked in map(str, words) else queryset.none()

    Worded.title = title
    return Worded


def filled(name: str, title: str, *, empty: str, filled: str, is_text: bool = False) -> type[admin.SimpleListFilter]:
    """A filter by whether a column has a value, in words: `filled("ended_at", "state", empty="Running", …)`."""

    class Filled(admin.SimpleListFilter):
        parameter_name = f"{name}__isempty"

        def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
            return [("1", empty), ("0", filled)]

        def queryset(self, request: Any, queryset: Any) -> Any:
            asked = self.value()
            if asked is None:
                return queryset
            without = Q(**{name: ""}) if is_text else Q(**{f"{name}__isnull": True})
            return queryset.filter(without if asked == "1" else ~without)

    Filled.title = title
    return Filled


def chosen(name: str) -> type[admin.SimpleListFilter]:
    """A filter by a related row that links set (`?account__id__exact=3`). It lists only the chosen one, so that it
    costs the same with three accounts and with a hundred thousand."""

    class Chosen(admin.SimpleListFilter):
        title = name
        parameter_name = f"{name}__id__exact"

        def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
            value = request.GET.get(self.parameter_name)
            if value is None:
                return []
            found: Model | None = None
            if value.isdecimal() and len(value) < 19:
                relation = model_admin.model._meta.get_field(name).related_model
                found = apps.get_model(relation._meta.label)._default_manager.filter(pk=value).first()
            return [(value, str(found) if found else "no such row")]

        def queryset(self, request: Any, queryset: Any) -> Any:
            value = self.value()
            if value is None:
                return queryset
            return queryset.filter(**{name: value}) if value.isdecimal() and len(value) < 19 else queryset.none()

    return Chosen
