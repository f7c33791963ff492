"""Querysets that are put into SQL once a process: writing a statement takes the ORM longer than PostgreSQL needs to run
it, and pages ask the same few questions again and again."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cached_property
from inspect import signature
from types import SimpleNamespace
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import BooleanField, Expression, F, Func, QuerySet

from usage.sql import server_bound


class _Blank(Expression):
    """The place of a value that is filled in when the question is asked."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]


def any_of(column: str, values: Any) -> Func:
    """A condition with a list: `Period.objects.filter(any_of("starts_at", instants))`."""
    return Func(F(column), values, template="%(expressions)s)", arg_joiner=" = ANY(", output_field=BooleanField())


class Written[Row]:
    """`question = Written(lambda account: Period.objects.filter(account=account))`, then `question(account=1)`: a list
    of its rows, by a prepared statement.

    Values stand where a filter compares, and are what the column holds: keys, not instances; never None, which makes
    another statement. No prefetching.
    """

    def __init__(self, rows: Callable[..., QuerySet[Any, Row]]) -> None:
        self._rows = rows

    def __call__(self, **values: Any) -> list[Row]:
        queryset, compiler, text, parameters = self._written
        link = connections[DEFAULT_DB_ALIAS]
        filled = [values[each.name] if isinstance(each, _Blank) else each for each in parameters]
        # A compiler of its own: threads ask at the same time.
        asked = copy(compiler)
        asked.connection = link
        asked.as_sql = lambda: (text, filled)
        query = copy(queryset.query)
        query.get_compiler = lambda using: asked
        # What an iteration looks at. (To copy a queryset would run it.)
        shell = SimpleNamespace(
            db=DEFAULT_DB_ALIAS,
            model=queryset.model,
            query=query,
            _fields=queryset._fields,
            _fetch_mode=queryset._fetch_mode,
            _known_related_objects={},
        )
        with server_bound(link):
            return list(queryset._iterable_class(shell))

    @cached_property
    def _written(self) -> tuple[Any, Any, str, list[Any]]:
        queryset: Any = self._rows(**{name: _Blank(name) for name in signature(self._rows).parameters})
        compiler = queryset.query.get_compiler(DEFAULT_DB_ALIAS)
        text, parameters = compiler.as_sql()
        return queryset, compiler, text, list(parameters)
