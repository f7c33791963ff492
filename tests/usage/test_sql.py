"""Prepared statements and reads that share a trip to the database."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import pytest
from django.db import DataError, connection, transaction

from usage.models import Metric
from usage.sql import Read, from_columns, model_columns, prepared, together

pytestmark = pytest.mark.django_db


def number(value: int) -> Read[int]:
    return Read([("SELECT %(value)s::int", {"value": value})], lambda rows: rows[0][0])


def halved(value: int) -> Read[Decimal]:
    return Read([("SELECT 1::numeric / %(value)s::numeric", {"value": value})], lambda rows: rows[0][0])


def test_reads_of_one_trip_are_answered_in_their_order_each_with_all_its_statements() -> None:
    sums = Read([("SELECT 1", {}), ("SELECT generate_series(1, 3)", {})], lambda one, many: (one, len(many)))
    assert together(number(7), sums, number(9)) == (7, ([(1,)], 3), 9)


def test_a_read_that_fails_fails_the_trip_and_the_connection_goes_on() -> None:
    with pytest.raises(DataError), transaction.atomic():
        together(number(7), halved(0))
    assert together(number(7), halved(2)) == (7, Decimal("0.5"))


def test_who_counts_statements_counts_each_of_a_trip(django_assert_num_queries: partial[None]) -> None:
    with django_assert_num_queries(2):
        together(number(7), number(8))


def test_an_object_read_by_its_columns_is_the_stored_one() -> None:
    stored = Metric.objects.get(key="sms")
    table = connection.ops.quote_name(Metric._meta.db_table)
    (row,) = prepared(f"SELECT {model_columns(Metric, 'm')} FROM {table} m WHERE m.key = %s", ["sms"])  # noqa: S608
    found = from_columns(Metric, row)
    assert found == stored
    assert all(getattr(found, each.attname) == getattr(stored, each.attname) for each in Metric._meta.concrete_fields)
