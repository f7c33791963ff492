"""Any history of ingest, duplicates, late events, corrections, grants, reservations, limits and new periods comes to
what a plain Python model says (spec 2, 4.8, 9).

HEADROOM_HISTORIES sets how many histories are tried, HEADROOM_SEED where they begin. A failure names its seed and tells
its story.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from tests.factories import BY, event, make_account
from tests.usage.oracle import ANCHOR, ZONE, Oracle, period_of, stored
from tests.usage.test_consume import broken
from usage.errors import Conflict, NotFound
from usage.models import Metric, UsageDay, UsageTotal
from usage.services import consume as consume_service
from usage.services import corrections as correction_service
from usage.services import ingest as ingest_service
from usage.services.consume import consume, reserve, settle
from usage.services.corrections import amend_event, void_event
from usage.services.ingest import ingest_sent
from usage.services.limits import write_limit
from usage.services.locks import lock_account
from usage.services.rebuild import rebuild_account

HISTORIES = int(os.environ.get("HEADROOM_HISTORIES", "200"))
SEED = int(os.environ.get("HEADROOM_SEED", "1"))
STEPS = 20

PLACES = ("atlas", "atlas", "atlas", "birch")
COUNTED = ("ai_resolutions", "ai_resolutions", "ai_resolutions", "sms", "phone")
SENT = ("ai_resolutions", "ai_resolutions", "sms", "seats")
QUANTITIES = tuple(Decimal(text) for text in ("1", "1", "1", "2", "0.5", "3.25"))
LIMITS = (None, *map(Decimal, (0, 1, 2, 2, 3, 4, 6)))
KEEP_SECONDS = (1, 1800, 86_400)

heard: Counter[str] = Counter()  # how often each answer was heard: a walk that meets nothing shows nothing


class Crash(BaseException):
    """The process dies here: what it has not committed is gone."""


class History:
    """A random walk through one account's life, compared with the model after every step."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.keys = {name: f"{name}-{seed}" for name in ("atlas", "birch")}
        self.account = make_account(
            f"account-{seed}", workspaces=list(self.keys.values()), zone=ZONE, started_on=ANCHOR.date()
        )
        self.places = {place.key.partition("-")[0]: place for place in self.account.workspaces.all()}
        self.metrics = {metric.key: metric for metric in Metric.objects.all()}
        self.oracle = Oracle()
        self.now = ANCHOR.astimezone(UTC) + timedelta(hours=self.random.randint(0, 24 * 27))
        self.story: list[str] = []
        self.expired = 0
        self.steps_to_live = 0  # the named step at which the process dies; 0 = it lives
        self.sent: dict[str, list[tuple[Any, ...]]] = {"event": [], "consume": [], "reserve": []}

    def walk(self) -> None:
        self.set_limit()
        acts: dict[Callable[[], None], int] = {
            self.send_events: 4,
            self.consume: 5,
            self.reserve: 4,
            self.settle: 3,
            self.correct: 3,
            self.set_limit: 1,
            self.pass_time: 4,
            self.rebuild: 1,
        }
        for act in self.random.choices(list(acts), list(acts.values()), k=STEPS):
            act()
            self.compare_everything()

    # --- Acts -----------------------------------------------------------------------------------------------------

    def pass_time(self) -> None:
        minutes = self.random.choice((1, 45, 45, 60 * 26, 60 * 24 * 9, 60 * 24 * 33))
        self.now += timedelta(minutes=minutes)
        self.story.append(f"it is {self.now.isoformat()}")

    def send_events(self) -> None:
        rows = [self.again_or("event", self.new_event) for _ in range(self.random.randint(1, 3))]
        sent, expected = [], []
        for id_, place, metric, quantity, at in rows:
            counted = Decimal(1) if metric == "ai_resolutions" else quantity
            data = None if metric == "ai_resolutions" else {"value": quantity}
            attributes = {"source": "urn:one", "subject": self.keys[place], "time": at, "data": data}
            sent.append(event(self.metrics[metric].event_type, id_=id_, **attributes))
            expected.append(self.oracle.ingest("urn:one", id_, place, metric, counted, at, self.now))
        self.tell("send", rows, expected)
        result = self.insist(lambda: ingest_sent(account_id=self.account.pk, sent=sent, clock=self.clock))
        assert [row.code for row in result.rejected] == [code for code in expected if code == "id_reused"]
        assert (result.accepted, result.duplicate) == (expected.count("accepted"), expected.count("duplicate"))

    def consume(self) -> None:
        id_, place, metric, quantity = self.again_or("consume", self.new_unit)
        expected = self.oracle.consume(id_, place, metric, stored(metric, quantity), self.now)
        self.tell("consume", (id_, place, metric, quantity), [expected, *self.gone()])
        answer = self.try_to(
            lambda: consume(**self.line(place), metric_key=metric, quantity=quantity, consume_id=id_, clock=self.clock)
        )
        self.compare_grant(answer, expected, place, metric)

    def reserve(self) -> None:
        id_, place, metric, quantity = self.again_or("reserve", self.new_unit)
        seconds = self.random.choice(KEEP_SECONDS)
        expected = self.oracle.reserve(id_, place, metric, stored(metric, quantity), seconds, self.now)
        self.tell("reserve", (id_, place, metric, quantity, seconds), [expected])
        answer = self.try_to(
            lambda: reserve(
                **self.line(place),
                metric_key=metric,
                quantity=quantity,
                reservation_id=id_,
                expires_in=timedelta(seconds=seconds),
                clock=self.clock,
            )
        )
        self.compare_grant(answer, expected, place, metric)

    def settle(self) -> None:
        id_ = self.random.choice([*self.oracle.kept, "nothing"])
        known = self.oracle.kept.get(id_)
        place, metric = known.line[:2] if known else ("atlas", "sms")
        if self.random.random() < 0.1:
            place = "birch" if place == "atlas" else "atlas"
        quantity = self.random.choice((*QUANTITIES, Decimal(0), Decimal(0)))
        expected = self.oracle.settle(id_, place, stored(metric, quantity), self.now)
        self.tell("settle", (id_, place, quantity), [expected])
        answer = self.try_to(
            lambda: settle(**self.line(place), reservation_id=id_, quantity=quantity, clock=self.clock)
        )
        if expected == "settled":
            assert known is not None
            assert answer.remaining == self.oracle.remaining(known.line)
        else:
            assert answer == expected

    def correct(self) -> None:
        source, id_ = self.random.choice([*self.oracle.events, ("urn:one", "nothing")])
        known = self.oracle.events.get((source, id_))
        metric = known.line[1] if known else "sms"
        quantity = self.random.choice((*QUANTITIES, None, None))
        expected = self.oracle.correct(source, id_, None if quantity is None else stored(metric, quantity), self.now)
        self.tell("amend" if quantity else "void", (source, id_, quantity), [expected])
        act: dict[str, Any] = {"account": self.account, "source": source, "event_id": id_, "reason": ""}
        act |= {"clock": self.clock, "by": BY}
        if quantity is None:
            answer = self.try_to(lambda: void_event(**act).quantity)
        else:
            answer = self.try_to(lambda: amend_event(**act, quantity=quantity).quantity)
        assert answer == ((quantity or 0) if expected == "corrected" else expected)

    def set_limit(self) -> None:
        place, metric = self.random.choice(PLACES), self.random.choice(COUNTED)
        running = period_of(self.now)
        from_period = self.random.choice((running.starts_at, running.ends_at))
        quantity = self.random.choice(LIMITS)
        limit = None if quantity is None else stored(metric, quantity)
        self.tell("limit", (place, metric, from_period.isoformat(), quantity), [])
        with transaction.atomic():
            lock_account(self.account.pk)
            write_limit(
                workspace=self.places[place], metric=self.metrics[metric], from_period=from_period, quantity=limit
            )
        self.oracle.write_limit(place, metric, from_period, limit)

    def rebuild(self) -> None:
        rebuilt = rebuild_account(account_id=self.account.pk, by=BY)
        assert (rebuilt.totals, rebuilt.days) == (0, 0)

    # --- What is sent ---------------------------------------------------------------------------------------------

    def again_or(self, kind: str, new: Callable[[str], tuple[Any, ...]]) -> tuple[Any, ...]:
        """Something new, the same again, or another content under the same identity."""
        known = self.sent[kind]
        chance = self.random.random()
        if known and chance < 0.2:
            return self.random.choice(known)
        fresh = new(f"{kind}-{len(known)}")
        if known and chance < 0.3:
            return (self.random.choice(known)[0], *fresh[1:])
        known.append(fresh)
        return fresh

    def new_event(self, id_: str) -> tuple[Any, ...]:
        late = timedelta(minutes=self.random.choice((0, 0, 30, 60 * 24 * 5, 60 * 24 * 40)))
        at = max(self.now - late, ANCHOR.astimezone(UTC))
        return id_, self.random.choice(PLACES), self.random.choice(SENT), self.random.choice(QUANTITIES), at

    def new_unit(self, id_: str) -> tuple[Any, ...]:
        return id_, self.random.choice(PLACES), self.random.choice(COUNTED), self.random.choice(QUANTITIES)

    # --- Comparing ------------------------------------------------------------------------------------------------

    def compare_grant(self, answer: Any, expected: str, place: str, metric: str) -> None:
        if expected == "conflict":
            assert answer == "conflict"
            return
        line = (place, metric, period_of(self.now).starts_at)
        assert (answer.reason, answer.remaining) == (expected, self.oracle.remaining(line))
        assert answer.allowed == (expected != "limit_reached")
        assert answer.resets_at == period_of(self.now).ends_at

    def compare_everything(self) -> None:
        places = {place.pk: name for name, place in self.places.items()}
        metrics = {metric.pk: key for key, metric in self.metrics.items()}
        totals = {
            (places[row.workspace_id], metrics[row.metric_id], row.period): (
                row.quantity,
                row.quantity_in_time,
                row.reserved,
                row.hard_limit,
            )
            for row in UsageTotal.objects.filter(account=self.account)
        }
        assert totals == self.oracle.totals()
        days: dict[tuple[Any, date], Decimal] = {
            ((places[row.workspace_id], metrics[row.metric_id], row.period), row.day): row.quantity
            for row in UsageDay.objects.filter(account=self.account, level=None)
        }
        assert days == self.oracle.days()

    # --- Small things ---------------------------------------------------------------------------------------------

    def clock(self) -> datetime:
        return self.now

    def line(self, place: str) -> dict[str, Any]:
        return {"account_id": self.account.pk, "workspace_id": self.places[place].pk}

    def tell(self, what: str, given: Any, expected: list[str]) -> None:
        self.story.append(f"{what} {given} -> {', '.join(expected)}")
        heard.update(f"{what} {answer}" for answer in expected)

    def gone(self) -> list[str]:
        """`expired` when the last act gave expired reservations back."""
        expired = sum(kept.state == "expired" for kept in self.oracle.kept.values())
        news = ["expired"] if expired > self.expired else []
        self.expired = expired
        return news

    def insist(self, act: Callable[[], Any]) -> Any:
        """Do it. Now and then the process dies before it has committed: nothing of it stands, so it is done again."""
        if self.random.random() < 0.15:
            self.steps_to_live = self.random.randint(1, 4)
            try:
                return act()
            except Crash:
                self.tell("crash", (), ["nothing stands"])
            finally:
                self.steps_to_live = 0
        return act()

    def reach(self, name: str) -> None:
        """Stands in for the services' named steps (usage.faultpoints)."""
        if self.steps_to_live and not name.endswith("after_commit"):
            self.steps_to_live -= 1
            if not self.steps_to_live:
                heard[f"crash {name}"] += 1
                raise Crash

    def try_to(self, act: Callable[[], Any]) -> Any:
        try:
            return self.insist(act)
        except Conflict:
            return "conflict"
        except NotFound:
            return "unknown"


@pytest.mark.django_db(transaction=True)
@pytest.mark.slow
def test_every_history_comes_to_what_the_model_says(monkeypatch: pytest.MonkeyPatch) -> None:
    heard.clear()
    for seed in range(SEED, SEED + HISTORIES):
        history = History(seed)
        for module in (ingest_service, consume_service, correction_service):
            monkeypatch.setattr(module, "reach", history.reach)
        try:
            history.walk()
        except Exception as error:
            story = "\n".join(history.story)
            pytest.fail(f"HEADROOM_SEED={seed} HEADROOM_HISTORIES=1: {error!r}\n{story}\n{error}")
    assert broken() == []
    if HISTORIES >= 100:
        assert [answer for answer in WORTH_HEARING if not heard[answer]] == []


WORTH_HEARING = [
    *(f"send {answer}" for answer in ("accepted", "duplicate", "id_reused")),
    *(
        f"{act} {answer}"
        for act in ("consume", "reserve")
        for answer in ("granted", "no_limit", "limit_reached", "duplicate", "conflict")
    ),
    "consume expired",
    *(f"settle {answer}" for answer in ("settled", "conflict", "unknown")),
    *(f"void {answer}" for answer in ("corrected", "unknown")),
    *(f"crash ingest.{step}" for step in ("before_lock", "after_lock", "after_insert", "before_commit")),
    *(f"crash consume.{step}" for step in ("before_count", "after_count", "before_commit")),
    *(f"crash correction.{step}" for step in ("before_lock", "after_insert", "before_commit")),
    *(f"amend {answer}" for answer in ("corrected", "conflict", "unknown")),
]
