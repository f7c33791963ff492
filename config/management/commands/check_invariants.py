"""`manage.py check_invariants`: all that must always hold (spec 9), asked of the database; exit 1 on violation."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from config.invariants import violations


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
