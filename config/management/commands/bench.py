import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.bench.ground import Sizes
from config.bench.run import BENCHMARKS, measured, table


class Command(BaseCommand):
    """Exits with 0 also when a goal is missed: figures depend on the machine, and on what else it does."""

    help = "Measure the product beside what nothing could do cheaper, in its own database that is gone afterwards."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="A list of objects instead of a table.")
        parser.add_argument("--events", type=int, default=1_000_000, help="Stored events (1 000 000).")
        parser.add_argument("--rounds", type=int, default=5, help="Turns of floor and product; medians count (5).")
        parser.add_argument("--sent", type=int, help="Events sent over HTTP in all rounds (a fifth of --events).")
        parser.add_argument("--only", action="append", choices=[*BENCHMARKS], help="One of them; may be repeated.")

    def handle(self, *args: Any, **options: Any) -> None:
        events, rounds = options["events"], options["rounds"]
        if events < 1000 or rounds < 1:
            raise CommandError("At least 1000 events and one round.")
        sizes = Sizes(events=events, rounds=rounds, sent=options["sent"] or min(events, 5_000_000) // 5)
        rows = list(measured(names=options["only"] or BENCHMARKS, sizes=sizes, say=self.stderr.write))
        if options["json"]:
            self.stdout.write(json.dumps([row.as_json() for row in rows], indent=2))
        else:
            self.stdout.write(table(rows))
