"""Prepared statements for the few paths where a statement's own cost is what counts (Data 2).

psycopg's own cursor with server-side parameters: the ORM's parameters are written into the text, which is parsed and
planned every time. Django's transactions, connection and error classes are the usual ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, overload
from weakref import WeakSet

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model

from usage import wire

Parameters = Sequence[Any] | Mapping[str, Any]

_ready: WeakSet[psycopg.Connection[Any]] = WeakSet()


def prepared(query: str, parameters: Parameters, *, row_factory: Any = psycopg.rows.tuple_row) -> list[Any]:
    """Run a statement, prepared on its first use on this connection, and return its rows, binary on the way. Columns of
    `usage.wire` may be parameters.

    Errors are Django's (`django.db.OperationalError` …), so that callers and middleware see one family.
    """
    return _run(query, parameters, row_factory, is_prepared=True)


def planned(query: str, parameters: Parameters) -> list[Any]:
    """As `prepared`, but planned each time for these very parameters: for statements that take one row or a hundred
    thousand, which are best done in different ways."""
    return _run(query, parameters, psycopg.rows.tuple_row, is_prepared=False)


@dataclass(frozen=True, slots=True)
class Read[Answer]:
    """Prepared statements that only read, and what is made of their rows (a list for each). Nothing is sent before
    `answer` or `together`."""

    statements: Sequence[tuple[str, Parameters]]
    make: Callable[..., Answer]

    def answer(self) -> Answer:
        (answer,) = _answers(self)
        return answer  # type: ignore[no-any-return]


@overload
def together[A, B](first: Read[A], second: Read[B], /) -> tuple[A, B]: ...
@overload
def together[A, B, C](first: Read[A], second: Read[B], third: Read[C], /) -> tuple[A, B, C]: ...
@overload
def together[A, B, C, D](first: Read[A], second: Read[B], third: Read[C], fourth: Read[D], /) -> tuple[A, B, C, D]: ...
def together(*reads: Read[Any]) -> tuple[Any, ...]:
    """The answers of several reads that do not need one another's, in one trip to the database: each trip costs both
    sides more than most of these statements. Between two of them others may commit, as if sent one by one."""
    return tuple(_answers(*reads))


def model_columns(model: type[Model], alias: str) -> str:
    """All columns of a model's table for a SELECT, in the order in which `model.from_db` wants them."""
    return ", ".join(f'{alias}."{field.column}"' for field in model._meta.concrete_fields)


def from_columns[M: Model](model: type[M], values: Sequence[Any]) -> M:
    """The object whose columns are `values`, as `model_columns` names them."""
    return model.from_db(DEFAULT_DB_ALIAS, _names(model), values)


@cache
def _names(model: type[Model]) -> list[str]:
    return [field.attname for field in model._meta.concrete_fields]


def _answers(*reads: Read[Any]) -> list[Any]:
    link: Any = connections[DEFAULT_DB_ALIAS]
    link.ensure_connection()
    raw = _raw(link)
    with link.wrap_database_errors:
        cursors = []
        with raw.pipeline():
            for read in reads:
                for query, parameters in read.statements:
                    if link.queries_logged:
                        link.queries_log.append({"sql": query, "time": ""})
                    cursor = psycopg.Cursor(raw)
                    cursor.execute(query, parameters, binary=True, prepare=True)
                    cursors.append(cursor)
        found = iter([cursor.fetchall() for cursor in cursors])
    link.health_check_done = True
    return [read.make(*(next(found) for _ in read.statements)) for read in reads]


def _run(query: str, parameters: Parameters, row_factory: Any, *, is_prepared: bool) -> list[Any]:
    link: Any = connections[DEFAULT_DB_ALIAS]  # once: `connection` looks for it anew at every word
    link.ensure_connection()
    with link.wrap_database_errors, psycopg.Cursor(_raw(link), row_factory=row_factory) as cursor:
        if link.queries_logged:  # whoever counts statements counts these too
            link.queries_log.append({"sql": query, "time": ""})
        cursor.execute(query, parameters, binary=True, prepare=is_prepared)
        # An answer is the best proof that the connection lives: Django need not ask again before a transaction.
        link.health_check_done = True
        # Not `cursor.description`, which describes each column anew.
        return cursor.fetchall() if cursor.pgresult is not None and cursor.pgresult.nfields else []


def _raw(link: Any) -> psycopg.Connection[Any]:
    raw: psycopg.Connection[Any] = link.connection
    if raw not in _ready:
        raw.prepare_threshold = 0
        wire.register(raw.adapters)
        _ready.add(raw)
    return raw
