"""What a list in admin reads: its rows, and what they belong to, each row of that once.

Django joins the related tables to the list. Twenty-five lines of two invoices then bring, and make, fifty rows of
invoices and accounts, and PostgreSQL plans the joins anew on every request for longer than it runs them. Here related
rows come by their keys, in prepared statements.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from django.contrib.admin import FieldListFilter, RelatedFieldListFilter
from django.contrib.admin.views.main import ChangeList
from django.db.models import ForeignKey, Model
from django.http import HttpRequest

from usage.written import Written, any_of

# `{"line": {"invoice": {}}}`, as querysets keep what `select_related` asked for.
type Relations = Mapping[str, Relations]


class SharedRows(ChangeList):
    """A list whose rows share what they belong to."""

    model_admin: Any

    def get_results(self, request: HttpRequest) -> None:
        asked = self.queryset.query.select_related
        if not isinstance(asked, dict):
            super().get_results(request)
            return
        keyed = {name: below for name, below in asked.items() if _is_key(self.model, name)}
        self.queryset = self.queryset.select_related(None)
        joined = asked.keys() - keyed.keys()
        if joined:
            self.queryset = self.queryset.select_related(*joined)
        super().get_results(request)
        _attach(self.model, list(self.result_list), keyed, self.model_admin.unlisted)


class RelatedChoices(RelatedFieldListFilter):
    """Django's filter by a related row. Its choices are read by a prepared statement, without what no name needs."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        ordering = tuple(self.field_admin_ordering(field, request, model_admin))
        return [(row.pk, str(row)) for row in all_rows(field.related_model, ordering)()]


def _is_ours(field: Any) -> bool:
    return isinstance(field, ForeignKey) and not field.get_limit_choices_to() and field.target_field.primary_key


FieldListFilter.register(_is_ours, RelatedChoices, take_priority=True)


def _is_key(model: type[Model], name: str) -> bool:
    field = model._meta.get_field(name)
    return isinstance(field, ForeignKey) and field.target_field.primary_key


def _attach(model: type[Model], rows: Iterable[Model], relations: Relations, unlisted: Iterable[str]) -> None:
    """Give each row the rows it belongs to, and those theirs, without their long columns (`line__detail`)."""
    for name, below in relations.items():
        field: Any = model._meta.get_field(name)
        keys = {getattr(row, field.attname) for row in rows} - {None}
        hidden = tuple(path.removeprefix(f"{name}__") for path in unlisted if path.startswith(f"{name}__"))
        found = _rows_by_key(field.related_model, hidden)(keys=sorted(keys)) if keys else []
        _attach(field.related_model, found, below, hidden)
        by_key = {row.pk: row for row in found}
        for row in rows:
            key = getattr(row, field.attname)
            if key is None or key in by_key:
                field.set_cached_value(row, by_key.get(key))


@cache
def _rows_by_key(model: type[Model], hidden: tuple[str, ...]) -> Written[Any]:
    columns = [name for name in hidden if "__" not in name]
    return Written(lambda keys: model._base_manager.filter(any_of("pk", keys)).order_by().defer(*columns))


@cache
def all_rows(model: type[Model], ordering: tuple[Any, ...]) -> Written[Any]:
    """The question for all rows of a model, for choices."""
    return Written(lambda: model._default_manager.order_by(*ordering) if ordering else model._default_manager.all())
