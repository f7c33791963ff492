"""Prepared statements for the few paths where a statement's own cost is what counts (Data 2).

psycopg with server-side parameters: the ORM's parameters are written into the text, which is parsed and planned every
time. Django's transactions, connection and error classes are the usual ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from select import POLLIN, POLLOUT, poll
from typing import Any, Final, overload
from weakref import WeakKeyDictionary

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model
from psycopg.adapt import PyFormat, Transformer
from psycopg.pq import ConnStatus, ExecStatus, Format
from psycopg.pq.abc import PGconn, PGresult

from usage import wire

Parameters = Sequence[Any] | Mapping[str, Any]

_Kind = tuple[str, tuple[int, ...] | None]  # a text and the types of its parameters
# What each connection has prepared by this module.
_ready: WeakKeyDictionary[psycopg.Connection[Any], dict[_Kind, bytes]] = WeakKeyDictionary()
_MOST: Final = 300  # statements of a connection: PostgreSQL keeps a plan for each
_numbers = count()
_PLACES: Final = re.compile(r"%(?:\((?P<name>\w+)\)s|s|%)")


def prepared(query: str, parameters: Parameters) -> list[Any]:
    """Run a statement, prepared on its first use on this connection, and return its rows, binary on the way. Columns of
    `usage.wire` may be parameters.

    It waits inside libpq, not in psycopg's own loop, which costs more than a small statement; Ctrl-C is heard when the
    answer is there. Errors are Django's (`django.db.OperationalError` …), so callers and middleware see one family.
    """
    link: Any = connections[DEFAULT_DB_ALIAS]  # once: `connection` looks for it anew at every word
    link.ensure_connection()
    raw = _raw(link)
    # psycopg begins transactions itself, at their first statement, and in them nothing may fail that is tried again.
    if not raw.autocommit:
        return _run(query, parameters, is_prepared=True)
    with link.wrap_database_errors:
        if link.queries_logged:  # whoever counts statements counts these too
            link.queries_log.append({"sql": query, "time": ""})
        rows = _executed(raw, query, parameters)
        # An answer is the best proof that the connection lives: Django need not ask again before a transaction.
        link.health_check_done = True
        return rows


def planned(query: str, parameters: Parameters) -> list[Any]:
    """As `prepared`, but planned each time for these very parameters: for statements that take one row or a hundred
    thousand, which are best done in different ways."""
    return _run(query, parameters, is_prepared=False)


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
    statements = [statement for read in reads for statement in read.statements]
    with link.wrap_database_errors:
        if link.queries_logged:
            link.queries_log.extend({"sql": query, "time": ""} for query, _ in statements)
        found = iter(_fetched(raw, statements) if raw.autocommit else _fetched_in_transaction(raw, statements))
    link.health_check_done = True
    return [read.make(*(next(found) for _ in read.statements)) for read in reads]


def _fetched_in_transaction(raw: psycopg.Connection[Any], statements: Sequence[tuple[str, Parameters]]) -> list[Any]:
    cursors = []
    with raw.pipeline():
        for query, parameters in statements:
            cursor = psycopg.Cursor(raw)
            cursor.execute(query, parameters, binary=True, prepare=True)
            cursors.append(cursor)
    return [cursor.fetchall() for cursor in cursors]


def _run(query: str, parameters: Parameters, *, is_prepared: bool) -> list[Any]:
    link: Any = connections[DEFAULT_DB_ALIAS]
    link.ensure_connection()
    with link.wrap_database_errors, psycopg.Cursor(_raw(link)) as cursor:
        if link.queries_logged:
            link.queries_log.append({"sql": query, "time": ""})
        cursor.execute(query, parameters, binary=True, prepare=is_prepared)
        link.health_check_done = True
        # Not `cursor.description`, which describes each column anew.
        return cursor.fetchall() if cursor.pgresult is not None and cursor.pgresult.nfields else []


@dataclass(frozen=True, slots=True)
class _Call:
    """A statement with its parameters as they are sent."""

    kind: _Kind
    text: bytes
    sent: Any
    transformer: Any

    def name(self, raw: psycopg.Connection[Any]) -> bytes:
        return _ready[raw].get(self.kind) or _prepare(raw, self.kind, self.text)

    def rows(self, result: PGresult) -> list[Any]:
        if not result.nfields:
            return []
        self.transformer.set_pgresult(result)
        rows: list[Any] = self.transformer.load_rows(0, result.ntuples, tuple)
        return rows


def _call(raw: psycopg.Connection[Any], query: str, parameters: Parameters) -> _Call:
    text, names = _numbered(query)
    values = [parameters[name] for name in names] if isinstance(parameters, Mapping) else parameters
    transformer = Transformer.from_context(raw)
    sent = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
    # Of one text there is a statement for each choice of types: psycopg sends numbers as small as they are.
    return _Call((query, transformer.types), text, sent, transformer)


def _executed(raw: psycopg.Connection[Any], query: str, parameters: Parameters) -> list[Any]:
    call = _call(raw, query, parameters)

    def execute() -> PGresult:
        name = call.name(raw)
        return _checked(raw, raw.pgconn.exec_prepared(name, call.sent, call.transformer.formats, Format.BINARY))

    return call.rows(_known(raw, execute))


def _fetched(raw: psycopg.Connection[Any], statements: Sequence[tuple[str, Parameters]]) -> list[Any]:
    """The rows of each statement, all sent before the first answer is awaited."""
    calls = [_call(raw, query, parameters) for query, parameters in statements]

    def fetch() -> list[PGresult]:
        # After a failure the server skips the rest: the first that is no answer is the one that failed.
        return [_checked(raw, result) for result in _trip(raw.pgconn, [(call.name(raw), call) for call in calls])]

    return [call.rows(result) for call, result in zip(calls, _known(raw, fetch), strict=True)]


def _trip(link: PGconn, calls: Sequence[tuple[bytes, _Call]]) -> list[PGresult]:
    """A result for each call, whatever it says. Raises OperationalError when the connection is lost."""
    link.enter_pipeline_mode()
    try:
        for name, call in calls:
            link.send_query_prepared(name, call.sent, call.transformer.formats, result_format=Format.BINARY)
        link.pipeline_sync()
        results = []
        for _ in calls:
            results.append(_awaited(link))
            _awaited(link)  # None: the end of this one
        _awaited(link)  # the mark that `pipeline_sync` has set
        link.exit_pipeline_mode()
    except BaseException:
        link.finish()  # whoever comes next must not be given our answers
        raise
    return results


def _awaited(link: PGconn) -> Any:
    """The next result. libpq would wait for it too, but let no other thread run meanwhile."""
    while link.is_busy():
        is_unsent = link.flush()
        answer = poll()
        answer.register(link.socket, POLLIN | POLLOUT if is_unsent else POLLIN)
        answer.poll()
        link.consume_input()
    return link.get_result()


def _known[Answer](raw: psycopg.Connection[Any], run: Callable[[], Answer]) -> Answer:
    """After a rollback psycopg has the server forget all statements. Nothing was done yet: they are prepared anew."""
    try:
        return run()
    except psycopg.errors.InvalidSqlStatementName:
        _ready[raw].clear()
        return run()


def _prepare(raw: psycopg.Connection[Any], kind: _Kind, text: bytes) -> bytes:
    statements, name = _ready[raw], b"headroom_%d" % next(_numbers)
    if len(statements) == _MOST:
        _checked(raw, raw.pgconn.exec_(b"DEALLOCATE " + statements.pop(next(iter(statements)))))
    _checked(raw, raw.pgconn.prepare(name, text, kind[1]))
    statements[kind] = name
    return name


@cache
def _numbered(query: str) -> tuple[bytes, tuple[str, ...]]:
    """The text as PostgreSQL takes it, $1 for %s or %(name)s, and the names in their order (none for %s)."""
    names: dict[str, int] = {}
    places = count(1)

    def place(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return "%"
        name = found["name"]
        return f"${next(places) if name is None else names.setdefault(name, len(names) + 1)}"

    return _PLACES.sub(place, query).encode(), tuple(names)


def _checked(raw: psycopg.Connection[Any], result: PGresult) -> PGresult:
    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
        return result
    if raw.pgconn.status == ConnStatus.BAD:
        raise psycopg.OperationalError(result.get_error_message())
    raise psycopg.errors.error_from_result(result, raw.info.encoding)


def _raw(link: Any) -> psycopg.Connection[Any]:
    raw: psycopg.Connection[Any] = link.connection
    if raw not in _ready:
        raw.prepare_threshold = 0
        wire.register(raw.adapters)
        _ready[raw] = {}
    return raw
