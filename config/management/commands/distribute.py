from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from usage.models import Account, Metric, Reservation, UsageDay, UsageEvent, UsageTotal, Workspace

REFERENCE = tuple(model._meta.db_table for model in (Account, Workspace, Metric))
DISTRIBUTED = tuple(model._meta.db_table for model in (UsageEvent, UsageDay, UsageTotal, Reservation))
COLUMN = "account_id"


class Command(BaseCommand):
    """Spec 8.2: usage tables by account and colocated, what they refer to on every node, everything else stays here."""

    help = "Spread the usage tables over a Citus cluster, on its coordinator. Safe to call again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Print the statements and change nothing.")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        if dry_run:
            for statement in statements(done=set()):
                self.stdout.write(f"{statement};")
            return
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'citus'")
            if cursor.fetchone() is None:
                raise CommandError("This PostgreSQL has no Citus. docs/operators.md says what a cluster needs.")
            cursor.execute("CREATE EXTENSION IF NOT EXISTS citus")
            cursor.execute("SELECT logicalrelid::text FROM pg_dist_partition")
            done = {name for (name,) in cursor.fetchall()}
        with transaction.atomic(), connection.cursor() as cursor:
            # What is stored already moves to its node in one statement.
            cursor.execute("SET LOCAL statement_timeout = 0")
            for statement in statements(done=done):
                self.stdout.write(statement)
                cursor.execute(statement)
        self.stdout.write("The usage tables are distributed.")


def statements(*, done: set[str]) -> list[str]:
    """What is left to do when the tables in `done` are distributed; reference tables first, others refer to them."""
    first = DISTRIBUTED[0]
    wanted = {table: f"SELECT create_reference_table('{table}')" for table in REFERENCE}
    wanted[first] = f"SELECT create_distributed_table('{first}', '{COLUMN}')"
    for table in DISTRIBUTED[1:]:
        wanted[table] = f"SELECT create_distributed_table('{table}', '{COLUMN}', colocate_with => '{first}')"
    return [statement for table, statement in wanted.items() if table not in done]
