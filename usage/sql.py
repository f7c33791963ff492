"""Prepared statements for the few paths where a statement's own cost is what counts (Data 2).

psycopg's own cursor with server-side parameters: the ORM's parameters are written into the text, which is parsed and
planned every time. Django's transactions, connection and error classes are the usual ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from django.db import connection

from usage import wire


def prepared(
    query: str, parameters: Sequence[Any] | Mapping[str, Any], *, row_factory: Any = psycopg.rows.tuple_row
) -> list[Any]:
    """Run a statement, prepared on its first use on this connection, and return its rows, binary on the way. Columns of
    `usage.wire` may be parameters.

    Errors are Django's (`django.db.OperationalError` …), so that callers and middleware see one family.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors:
        raw: psycopg.Connection[Any] = connection.connection
        raw.prepare_threshold = 0
        with psycopg.Cursor(raw, row_factory=row_factory) as cursor:
            wire.register(cursor.adapters)
            cursor.execute(query, parameters, binary=True)
            return cursor.fetchall() if cursor.description else []
