"""`manage.py check_invariants`: all that must always hold (spec 9), asked of the database; exit 1 on violation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand
from django.db import connection, transaction


def all_checks() -> list[tuple[str, Callable[[], Iterable[str]]]]:
    """(name, check) of every app that has an `invariants` module with CHECKS."""
    found: list[tuple[str, Callable[[], Iterable[str]]]] = []
    for label in ("usage", "billing", "alerts"):
        name = f"{apps.get_app_config(label).name}.invariants"
        if find_spec(name):
            found += [(f"{label}.{check.__name__}", check) for check in import_module(name).CHECKS]
    return found


def violations() -> list[str]:
    """A line for each violation, all read from one snapshot; empty when everything holds."""
    if connection.in_atomic_block:
        return [f"{name}: {line}" for name, check in all_checks() for line in check()]
    with transaction.atomic(), connection.cursor() as cursor:
        # One snapshot for all checks, however long they take; and whole accounts are read, so no time limit.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL statement_timeout = 0")
        return [f"{name}: {line}" for name, check in all_checks() for line in check()]


class Command(BaseCommand):
    help = (
        "Check everything that must always hold. Prints a line for each violation and exits with 1 when there is one."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        lines = violations()
        for line in lines:
            self.stdout.write(line)
        if lines:
            raise SystemExit(1)
