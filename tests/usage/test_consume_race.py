"""Two hundred clients race for the last unit: exactly one gets it, every time (spec 4.8, 9 k)."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, connections

from tests.factories import NOON, make_account, metric, workspace
from tests.usage.test_consume import broken, limit, total
from usage.services.consume import consume, reserve
from usage.services.ingest import ingest_sent

ROUNDS = 20
CLIENTS = 200
CONNECTIONS = 25  # each with its own session; every client is a call of its own


class Racers:
    """Threads with a database connection each, that all call at the same moment, round after round."""

    def __init__(self) -> None:
        self.gate = threading.Barrier(CONNECTIONS + 1)
        self.work: Any = None
        self.results: list[Any] = []
        self.threads = [threading.Thread(target=self._run, args=[number], daemon=True) for number in range(CONNECTIONS)]
        for thread in self.threads:
            thread.start()

    def race(self, work: Any) -> list[Any]:
        self.work, self.results = work, []
        self.gate.wait()
        self.gate.wait()
        return self.results

    def stop(self) -> None:
        self.work = None
        self.gate.wait()
        for thread in self.threads:
            thread.join()

    def _run(self, number: int) -> None:
        connection.ensure_connection()
        while True:
            self.gate.wait()
            if self.work is None:
                break
            try:
                for client in range(number, CLIENTS, CONNECTIONS):
                    self.results.append(self.work(client))
            except Exception as error:
                self.results.append(error)
            self.gate.wait()
        connections.close_all()


@pytest.mark.django_db(transaction=True)
def test_two_hundred_clients_race_for_the_last_unit() -> None:
    account = make_account()
    place = workspace().pk
    racers = Racers()
    try:
        for number in range(ROUNDS):
            limit(number + 1)

            def client(index: int, number: int = number) -> Any:
                line: dict[str, Any] = {
                    "account_id": account.pk,
                    "workspace_id": place,
                    "metric_key": "ai_resolutions",
                    "quantity": Decimal(1),
                    "clock": lambda: NOON,
                }
                if index % 2:
                    return reserve(**line, reservation_id=f"{number}-{index}", expires_in=timedelta(days=1))
                return consume(**line, consume_id=f"{number}-{index}")

            results = racers.race(client)
            assert Counter(getattr(result, "reason", result) for result in results) == {
                "granted": 1,
                "limit_reached": CLIENTS - 1,
            }
            stand = total()
            assert stand.quantity + stand.reserved == number + 1
    finally:
        racers.stop()
    assert broken() == []


@pytest.mark.django_db(transaction=True)
def test_consume_and_ingest_together_neither_deadlock_nor_pass_the_limit_by_a_grant() -> None:
    """Plain usage is recorded beyond the limit; what is granted beside it never is."""
    account = make_account()
    place = workspace().pk
    racers = Racers()
    event_type = metric().event_type
    limit(40)

    def client(index: int) -> Any:
        if index % 10 == 0:
            sent = [
                {"specversion": "1.0", "id": f"{index}-{n}", "source": "urn:x", "type": event_type, "subject": "atlas"}
                for n in range(3)
            ]
            return ingest_sent(account_id=account.pk, sent=sent, clock=lambda: NOON)
        return consume(
            account_id=account.pk,
            workspace_id=place,
            metric_key="ai_resolutions",
            quantity=Decimal(1),
            consume_id=f"{index}",
            clock=lambda: NOON,
        )

    try:
        results = racers.race(client)
    finally:
        racers.stop()
    assert not [result for result in results if isinstance(result, Exception)]
    ingested = CLIENTS // 10 * 3
    granted = sum(getattr(result, "reason", "") == "granted" for result in results)
    assert total().quantity == granted + ingested
    assert granted <= 40
    assert broken() == []
