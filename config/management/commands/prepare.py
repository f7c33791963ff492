"""Brings database and files up to date before a start: `bin/run` calls it, a deployment may."""

import hashlib
import os
from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from usage.jobs import once_per_slot

FOREVER = datetime(2000, 1, 1, tzinfo=UTC)  # the slot of something that happens once in a database's life


class Command(BaseCommand):
    requires_system_checks = ()  # a start must not wait for checks that every build has made
    help = "Migrate, make the cache table, collect static files; with --demo load the demo once in a database's life."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--demo", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            with connection.cursor() as cursor:
                # An index on many millions of rows is one long statement.
                cursor.execute("SET statement_timeout = 0")
            call_command("migrate", interactive=False, verbosity=0)
        call_command("createcachetable", verbosity=0)
        self._collect_static()
        if options["demo"]:
            with once_per_slot("load-demo", FOREVER) as run:
                if run is not None:
                    self.stdout.write("Loading the demo…")
                    call_command("demo")

    def _collect_static(self) -> None:
        """Collecting and compressing takes seconds, so it is left out while no file has changed."""
        found = hashlib.sha256(settings.STORAGES["staticfiles"]["BACKEND"].encode())
        for finder in get_finders():
            for path, storage in finder.list([]):
                found.update(f"{path}\0{_version(storage.path(path))}\n".encode())
        stamp = settings.STATIC_ROOT / ".collected"
        if stamp.exists() and stamp.read_text() == found.hexdigest():
            return
        call_command("collectstatic", interactive=False, clear=settings.STATIC_ROOT.exists(), verbosity=0)
        stamp.write_text(found.hexdigest())


def _version(path: str) -> str:
    status = os.stat(path)
    return f"{status.st_size} {status.st_mtime_ns}"
