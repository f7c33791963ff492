"""Querysets that are put into SQL once a process: writing a statement takes the ORM longer than PostgreSQL needs to run
it, and pages ask the same few questions again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from inspect import signature
from types import SimpleNamespace
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import BooleanField, Expression, F, Func, JSONField, QuerySet

from usage.sql import Read, prepared


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
        # As Django's own questions: a page that comes after the database's restart finds a new connection.
        connections[DEFAULT_DB_ALIAS].close_if_health_check_failed()
        return self._made(prepared(*self._statement(values)))

    def read(self, **values: Any) -> Read[list[Row]]:
        """The same question, to be asked together with others."""
        return Read([self._statement(values)], self._made)

    def _statement(self, values: Mapping[str, Any]) -> tuple[str, list[Any]]:
        _, _, _, text, parameters = self._written
        return text, [values[each.name] if isinstance(each, _Blank) else each for each in parameters]

    def _made(self, rows: Iterable[Any]) -> list[Row]:
        queryset, compiler, converters, _, _ = self._written
        if compiler.has_extra_select:  # columns that only the order needs
            rows = [row[: compiler.col_count] for row in rows]
        if converters:
            rows = compiler.apply_converters(rows, converters)
        # The queryset's own iteration, which finds the rows where a compiler would have fetched them.
        fetched = SimpleNamespace(
            select=compiler.select,
            klass_info=compiler.klass_info,
            annotation_col_map=compiler.annotation_col_map,
            execute_sql=lambda **_: None,
            results_iter=lambda *_, **__: iter(rows),
        )
        # (To copy a queryset would run it.)
        shell = SimpleNamespace(
            db=DEFAULT_DB_ALIAS,
            model=queryset.model,
            query=SimpleNamespace(get_compiler=lambda using: fetched),
            _fields=queryset._fields,
            _fetch_mode=queryset._fetch_mode,
            _known_related_objects={},
        )
        return list(queryset._iterable_class(shell))

    @cached_property
    def _written(self) -> tuple[Any, Any, dict[int, Any], str, list[Any]]:
        queryset: Any = self._rows(**{name: _Blank(name) for name in signature(self._rows).parameters})
        compiler = queryset.query.get_compiler(DEFAULT_DB_ALIAS)
        text, parameters = compiler.as_sql()
        columns = [column for column, *_ in compiler.select[: compiler.col_count]]
        converters = {
            place: found
            for place, found in compiler.get_converters(columns).items()
            # On its binary way JSON arrives parsed already.
            if not isinstance(columns[place].output_field, JSONField)
        }
        return queryset, compiler, converters, text, list(parameters)
