"""`manage.py recalculate_limits`: the sweep of every hour on the half-hour, now (spec 2.8, 10.3)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from alerts import jobs
from usage.clocks import system_clock


class Command(BaseCommand):
    help = "Compare every hard limit with what was told, and tell the difference. Leaves sandbox accounts out."

    def handle(self, *args: Any, **options: Any) -> None:
        done = jobs.recalculate_limits(system_clock())
        self.stdout.write(f"{done['messages']} told" if done else "somebody else is at it")
