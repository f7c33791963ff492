"""Waiting in vain, and waiting for each other: the sender is told to repeat, or never notices (spec 2.3, Data 2)."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.test import Client

from tests.factories import bearer, event, make_account, make_key
from tests.servers import database_url
from usage.models import UsageDay, UsageEvent, UsageTotal
from usage.services.locks import lock_number

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


def send(key: str, *events: Any) -> Any:
    batch = "application/cloudevents-batch+json"
    return Client().post("/api/v1/events", json.dumps(events), content_type=batch, headers=bearer(key))


@contextmanager
def somebody_else() -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url()) as other:
        yield other


def test_a_lock_that_is_not_to_be_had_is_a_503_with_a_time_to_repeat() -> None:
    account = make_account()
    key = make_key(account, "ingest")
    with somebody_else() as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [lock_number(account.pk)])
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '100ms'")
        response = send(key, event())
    assert response.status_code == 503
    assert response.json()["code"] == "database_unavailable"
    assert int(response.headers["Retry-After"]) > 0
    assert UsageEvent.objects.count() == 0
    with connection.cursor() as cursor:
        cursor.execute("RESET lock_timeout")
    assert send(key, event()).json()["accepted"] == 1


def test_a_deadlock_repeats_the_transaction_and_the_sender_never_notices() -> None:
    account = make_account()
    key = make_key(account, "ingest")
    when = "2026-06-15T12:00:00Z"
    assert send(key, event(time=when)).status_code == 200
    answers: list[Any] = []

    def ingest() -> None:
        try:
            answers.append(send(key, event(time=when), event(time=when)).json())
        finally:
            connection.close()

    with somebody_else() as other:
        other.execute("SELECT 1 FROM usage_usageday FOR UPDATE")
        sender = threading.Thread(target=ingest)
        sender.start()
        # Totals come before days, so it holds the total now, or will before it waits for the day.
        while not other.execute("SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'").fetchone():
            pass
        other.execute("UPDATE usage_usagetotal SET seq = seq")
        other.commit()
        sender.join()
    assert answers == [{"accepted": 2, "duplicate": 0, "rejected": []}]
    assert (UsageTotal.objects.get().quantity, UsageDay.objects.get().quantity, UsageEvent.objects.count()) == (3, 3, 3)
