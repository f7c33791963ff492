"""The benchmark's own database: made beside the product's, filled, used by everything here, dropped."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from psycopg import sql

from config import devpg
from config.bench.measure import Watch
from config.bench.server import WebServer

_SUFFIX: Final = "_bench"
_MOST_GROUPS: Final = 15  # closing's rounds: each has accounts whose period ended on a day of its own


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is and how much is done, all from the number of stored events."""

    events: int
    rounds: int
    sent: int

    @property
    def accounts(self) -> int:
        return min(10_000, max(100, self.events // 100))

    @property
    def groups(self) -> int:
        return min(self.rounds, _MOST_GROUPS)

    @property
    def batches(self) -> int:
        """Requests of 1000 events in a round."""
        return max(4, self.sent // 1000 // self.rounds)

    def calls(self, most: int) -> int:
        """Small requests in a round: `most`, or fewer on a small ground."""
        return max(200, min(most, self.events // 100))


@dataclass(frozen=True, slots=True)
class Sender:
    """An account that sends: its workspaces are (id, key), `api_key` has all scopes."""

    account_id: int
    api_key: str
    workspaces: tuple[tuple[int, str], ...]


@dataclass
class Ground:
    """What the benchmarks stand on. `closings` are the ends of the periods of closing's groups, one a round."""

    url: str
    sizes: Sizes
    now: datetime
    senders: list[Sender] = field(default_factory=list)
    closings: list[datetime] = field(default_factory=list)
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @cached_property
    def server(self) -> WebServer:
        """The web server, started by the first benchmark that needs it."""
        return self.stack.enter_context(WebServer(self.url))

    def watch_server(self) -> Watch:
        """The CPU of the web server and of the database processes that serve it."""
        return Watch([*self.server.pids, *self.backends(others=True)])

    def watch_here(self) -> Watch:
        """The CPU of this process and of its own database connection."""
        return Watch([os.getpid(), *self.backends(others=False)])

    def watch_database(self) -> Watch:
        """The CPU of this process's own database connection alone."""
        return Watch(self.backends(others=False))

    def backends(self, *, others: bool) -> list[int]:
        """Process ids of the server's connections to the database, or of our own."""
        rows = query(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            " AND leader_pid IS NULL AND (pid = pg_backend_pid()) <> %s",
            [others],
        )
        return [pid for (pid,) in rows]


@contextlib.contextmanager
def own_database(sizes: Sizes, now: datetime) -> Iterator[Ground]:
    """An empty, migrated database that Django uses while the body runs; dropped afterwards.

    Raises psycopg.Error when one of the same name is in use: two benchmarks at once would measure each other.
    """
    product = settings.DATABASE_URL or devpg.url(settings.VAR)
    parts = urlsplit(product)
    name = f"{parts.path.removeprefix('/')}{_SUFFIX}"
    values = connection.settings_dict
    before = values["NAME"]
    connection.close()
    _command(product, "DROP DATABASE IF EXISTS {}", name)
    _command(product, "CREATE DATABASE {} TEMPLATE template0", name)
    try:
        values["NAME"] = name
        query("SET statement_timeout = 0")
        call_command("migrate", interactive=False, verbosity=0)
        call_command("createcachetable", verbosity=0)
        with contextlib.ExitStack() as stack:
            yield Ground(url=urlunsplit(parts._replace(path=f"/{name}")), sizes=sizes, now=now, stack=stack)
    finally:
        connection.close()
        values["NAME"] = before
        _command(product, "DROP DATABASE IF EXISTS {} WITH (FORCE)", name)


def query(statement: str, parameters: Any = None) -> list[Any]:
    """The rows of a statement on the benchmark's database."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall()) if cursor.description else []


def tidy(*tables: str) -> None:
    """What autovacuum would do at a moment of its own choice, done between rounds."""
    for table in tables or ("",):
        query(f"VACUUM (ANALYZE) {table}")


def _command(url: str, statement: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(sql.SQL(statement).format(sql.Identifier(name)))
