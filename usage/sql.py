"""Prepared statements for the few paths where a statement's own cost is what counts (Data 2).

psycopg's own cursor with server-side parameters: the ORM's parameters are written into the text, which is parsed and
planned every time. Django's transactions, connection and error classes are the usual ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakSet

import psycopg
from django.db import connection

from usage import wire

Parameters = Sequence[Any] | Mapping[str, Any]

_ready: WeakSet[psycopg.Connection[Any]] = WeakSet()


def prepared(query: str, parameters: Parameters, *, row_factory: Any = psycopg.rows.tuple_row) -> list[Any]:
    """Run a statement, prepared on its first use on this connection, and return its rows, binary on the way. Columns of
    `usage.wire` may be parameters.

    Errors are Django's (`django.db.OperationalError` …), so that callers and middleware see one family.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(_raw(), row_factory=row_factory) as cursor:
        cursor.execute(query, parameters, binary=True)
        return cursor.fetchall() if cursor.description else []


def _raw() -> psycopg.Connection[Any]:
    raw: psycopg.Connection[Any] = connection.connection
    if raw not in _ready:
        raw.prepare_threshold = 0
        wire.register(raw.adapters)
        _ready.add(raw)
    return raw
