"""Prepared statements and reads that share a trip to the database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from django.db import DataError, OperationalError, ProgrammingError, connection, connections, transaction

from tests.factories import make_account
from tests.processes import until
from usage.models import Metric
from usage.sql import Read, from_columns, model_columns, prepared, together

pytestmark = pytest.mark.django_db


def number(value: int) -> Read[int]:
    return Read([("SELECT %(value)s::int", {"value": value})], lambda rows: rows[0][0])


def halved(value: int) -> Read[Decimal]:
    return Read([("SELECT 1::numeric / %(value)s::numeric", {"value": value})], lambda rows: rows[0][0])


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("query", "parameters", "answer"),
    [
        ("SELECT %s + %s, 7 %% 4", [1, 2], (3, 3)),
        ("SELECT %(b)s || %(a)s || %(b)s", {"a": "a", "b": "b", "not used": None}, ("bab",)),
        ("SELECT %s::int IS NULL, %s::text", [None, "50 %s"], (True, "50 %s")),
    ],
)
def test_parameters_stand_beside_the_text(query: str, parameters: Any, answer: tuple[Any, ...]) -> None:
    assert prepared(query, parameters) == [answer]
    with transaction.atomic():
        assert prepared(query, parameters) == [answer]


@pytest.mark.django_db(transaction=True)
def test_one_text_takes_numbers_of_any_size() -> None:
    for number in (1, 10**6, 10**12, 10**20, Decimal("0.5")):
        assert prepared("SELECT %s::numeric", [number]) == [(number,)]


@pytest.mark.django_db(transaction=True)
def test_a_statement_without_an_answer_answers_nothing_and_errors_are_djangos() -> None:
    assert prepared("SET lock_timeout = DEFAULT", []) == []
    assert prepared("SELECT 1 WHERE false", []) == []
    with pytest.raises(DataError):
        prepared("SELECT 1 / %s::int", [0])
    with pytest.raises(ProgrammingError):
        prepared("SELECT nothing", [])


@pytest.mark.django_db(transaction=True)
def test_the_first_statement_of_a_transaction_belongs_to_it() -> None:
    make_account()
    with transaction.atomic():
        prepared("UPDATE usage_account SET name = 'Changed'", [])
        transaction.set_rollback(True)
    assert prepared("SELECT name FROM usage_account", []) != [("Changed",)]


@pytest.mark.django_db(transaction=True)
def test_statements_live_on_after_a_rollback_which_makes_the_server_forget_them() -> None:
    for _ in range(2):
        assert prepared("SELECT %s::int", [1]) == [(1,)]
        with transaction.atomic():
            assert prepared("SELECT %s::int", [2]) == [(2,)]
            transaction.set_rollback(True)


@pytest.mark.django_db(transaction=True)
def test_a_connection_keeps_no_more_statements_than_it_should() -> None:
    for number in range(350):
        assert prepared(f"SELECT {number}", []) == [(number,)]
    ((kept,),) = prepared("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'headroom%%'", [])
    assert kept <= 300
    assert prepared("SELECT 0", []) == [(0,)]


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_is_said_to_be_one() -> None:
    ((process,),) = prepared("SELECT pg_backend_pid()", [])
    with ThreadPoolExecutor(1) as other:
        other.submit(prepared, "SELECT pg_terminate_backend(%s, 5000)", [process]).result()
        other.submit(connections.close_all).result()
    with pytest.raises(OperationalError):
        prepared("SELECT 1", [])
    connection.close()
    assert prepared("SELECT 1", []) == [(1,)]


@pytest.mark.django_db(transaction=True)
def test_reads_of_one_trip_are_answered_in_their_order_each_with_all_its_statements() -> None:
    sums = Read([("SELECT 1", {}), ("SELECT generate_series(1, 3)", {})], lambda one, many: (one, len(many)))
    expected = (7, ([(1,)], 3), 9)
    assert together(number(7), sums, number(9)) == expected
    with transaction.atomic():
        assert together(number(7), sums, number(9)) == expected


@pytest.mark.django_db(transaction=True)
def test_a_read_that_fails_fails_the_trip_and_the_connection_goes_on() -> None:
    with pytest.raises(DataError), transaction.atomic():
        together(number(7), halved(0))
    with pytest.raises(DataError):
        together(number(7), halved(0), number(8))
    assert together(number(7), halved(2)) == (7, Decimal("0.5"))


@pytest.mark.django_db(transaction=True)
def test_a_trip_larger_than_what_the_connection_buffers_arrives() -> None:
    def echo(letter: str) -> Read[str]:
        return Read([("SELECT %(text)s::text", {"text": letter * 5_000_000})], lambda rows: rows[0][0])

    assert [answer[0] + answer[-1] for answer in together(echo("a"), echo("b"))] == ["aa", "bb"]


@pytest.mark.django_db(transaction=True)
def test_a_trip_finds_its_statements_forgotten_by_the_server_and_prepares_them_anew() -> None:
    for _ in range(2):
        assert together(number(7), number(100_000)) == (7, 100_000)
        with transaction.atomic():
            together(number(7), number(100_000))
            transaction.set_rollback(True)
    prepared("DEALLOCATE ALL", [])
    assert together(number(7), number(100_000)) == (7, 100_000)


@pytest.mark.django_db(transaction=True)
def test_a_trip_on_a_lost_connection_says_so_and_the_next_connection_answers() -> None:
    ((process,),) = prepared("SELECT pg_backend_pid()", [])
    together(number(7), number(8))
    with ThreadPoolExecutor(1) as other:
        other.submit(prepared, "SELECT pg_terminate_backend(%s, 5000)", [process]).result()
        other.submit(connections.close_all).result()
    with pytest.raises(OperationalError):
        together(number(7), number(8))
    connection.close()
    assert together(number(7), number(8)) == (7, 8)


@pytest.mark.django_db(transaction=True)
def test_while_a_trip_waits_for_its_answers_other_threads_run() -> None:
    lock, holder = "SELECT pg_advisory_lock(9)", threading.Event()

    def hold_until_let_go() -> None:
        """Holds what the trip waits for, and lets go of it only if it runs meanwhile."""
        prepared(lock, [])
        holder.set()
        assert until(_is_waited_for, seconds=5)
        connections.close_all()

    with ThreadPoolExecutor(1) as other:
        held = other.submit(hold_until_let_go)
        assert holder.wait(10)
        prepared("SET statement_timeout = '5s'", [])
        assert together(Read([(lock, {})], len), number(7)) == (1, 7)
        held.result()
    connection.close()


def _is_waited_for() -> bool:
    return prepared("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", []) == [(1,)]


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
