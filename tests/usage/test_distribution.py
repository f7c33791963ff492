"""What a Citus cluster demands of the usage tables can be asked of any PostgreSQL's catalogue (spec 8.2)."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from config.management.commands.distribute import COLUMN, DISTRIBUTED, REFERENCE, statements

pytestmark = pytest.mark.django_db


def rows(query: str, *arguments: object) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return cursor.fetchall()


def test_every_unique_index_of_a_usage_table_contains_the_account() -> None:
    found = rows(
        """
        SELECT i.indrelid::regclass::text, array_agg(a.attname::text)
          FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
         WHERE i.indisunique AND i.indrelid::regclass::text = ANY (%s)
         GROUP BY i.indexrelid, i.indrelid
        """,
        list(DISTRIBUTED),
    )
    assert {table for table, _ in found} == set(DISTRIBUTED)
    assert [table for table, columns in found if COLUMN not in columns] == []


def test_primary_keys_of_usage_tables_lead_with_the_account() -> None:
    found = rows(
        """
        SELECT i.indrelid::regclass::text, a.attname
          FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
         WHERE i.indisprimary AND i.indrelid::regclass::text = ANY (%s)
        """,
        list(DISTRIBUTED),
    )
    assert dict(found) == dict.fromkeys(DISTRIBUTED, COLUMN)


def test_foreign_keys_leave_usage_tables_only_to_reference_tables_and_none_points_at_them() -> None:
    found = rows("SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'")
    assert {target for table, target in found if table in DISTRIBUTED} <= set(REFERENCE)
    assert [table for table, target in found if target in DISTRIBUTED] == []
    assert [target for table, target in found if table == "usage_usageevent"] == []


def test_usage_tables_have_no_sequence() -> None:
    found = rows(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_name = ANY (%s) AND (is_identity = 'YES' OR column_default LIKE 'nextval%%')",
        list(DISTRIBUTED),
    )
    assert found == []


def test_reference_tables_refer_to_reference_tables_only() -> None:
    found = rows("SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'")
    assert {target for table, target in found if table in REFERENCE} <= set(REFERENCE)


def test_distribute_says_what_it_would_do_and_leaves_out_what_is_done() -> None:
    out = StringIO()
    call_command("distribute", "--dry-run", stdout=out)
    lines = out.getvalue().splitlines()
    assert len(lines) == len(REFERENCE) + len(DISTRIBUTED)
    assert "colocate_with => 'usage_usageevent'" in lines[-1]
    assert statements(done={*REFERENCE, *DISTRIBUTED}) == []
