"""A year in the life of three accounts, simulated by the test clock (spec 7.4, 5, 9 m)."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import groupby
from typing import Any

import pytest
from django.db import transaction

from alerts.services import evaluate as evaluating
from billing.services import closing, issuing
from billing.services.purchases import set_contract
from billing.services.subscriptions import change_plan, start_subscription
from config.invariants import violations
from config.sandbox import advance_clock
from tests.billing.books import HOUR, books_of, plan, profile
from tests.factories import BY, event, make_account, metric
from usage.clocks import clock_of
from usage.errors import NotFound
from usage.models import Account, UsageTotal
from usage.services import corrections, ingest
from usage.services.corrections import amend_event, void_event
from usage.services.ingest import ingest_sent
from usage.services.periods import next_period_of, open_period

pytestmark = pytest.mark.django_db

SPAN = timedelta(days=23)  # no period is as long, so every one sees usage and turns
FIRST = datetime(2026, 2, 1, tzinfo=UTC)
STEPPING = (ingest, corrections, evaluating, closing, issuing)  # their named steps are where a process may die


class Crash(BaseException):
    """The process dies here: what it has not committed is gone."""


@dataclass
class Luck:
    """Everything goes well; with `dice` usage comes shuffled and half of it twice, and processes die at named steps and
    are started again. `deaths` counts where."""

    dice: random.Random | None = None
    deaths: Counter[str] = field(default_factory=Counter)

    def reach(self, name: str) -> None:
        if self.dice is not None and self.dice.random() < 0.05:
            self.deaths[name] += 1
            raise Crash

    def insist[T](self, act: Callable[[], T]) -> T:
        while True:
            try:
                return act()
            except Crash:
                continue

    def mixed(self, usage: list[Any]) -> list[Any]:
        if self.dice is None:
            return usage
        return self.dice.sample(mixed := usage + self.dice.choices(usage, k=len(usage) // 2), len(mixed))


@dataclass(frozen=True)
class Step:
    """Something that happens at a moment: an event that arrives, or something that somebody does."""

    at: datetime
    account: str
    act: Callable[[Account], Any] | None = None
    sent: dict[str, Any] | None = None


def sent(at: datetime, account: str, id_: str, type_: str = "conversation.created", **fields: Any) -> Step:
    return Step(at, account, sent=event(type_, subject=f"{account}-main", id_=id_, **{"time": at, **fields}))


def the_year() -> list[Step]:
    """Month-end anchor in New York, Lord Howe's half-hour clock changes, and a previous-system account in Kathmandu."""
    dice = random.Random(7)
    steps = []
    for account in ("new-york", "lord-howe", "kathmandu"):
        for number in range(330):
            at = datetime(2026, 2, 1, 12, tzinfo=UTC) + timedelta(minutes=dice.randrange(0, 360 * 1440))
            late = timedelta(days=dice.choice([0, 0, 0, 2, 40]))
            steps.append(sent(at + late, account, f"c{number}", time=at))
        for month in range(12):
            at = datetime(2026, 2, 3, tzinfo=UTC) + timedelta(days=30 * month)
            data = {"started_at": at.isoformat(), "ended_at": (at + timedelta(minutes=190, seconds=month)).isoformat()}
            steps.append(sent(at + timedelta(hours=4), account, f"p{month}", "call.ended", time=at, data=data))
            steps.append(sent(at, account, f"s{month}", "seats.set", data={"value": 3 + month % 4}))
    for number in range(0, 330, 11):
        at = datetime(2026, 3, 1, 18, tzinfo=UTC) + timedelta(days=number)
        steps.append(Step(at, "new-york", void(f"c{number}")))
        steps.append(Step(at, "kathmandu", void(f"c{number}")))
    steps += [
        Step(datetime(2026, 9, 9, 18, tzinfo=UTC), "lord-howe", amend("p2", Decimal("77.5"))),
        Step(datetime(2026, 4, 16, 18, tzinfo=UTC), "new-york", to_plan("professional")),
        Step(datetime(2026, 9, 2, 18, tzinfo=UTC), "new-york", to_plan("starter")),
        Step(datetime(2026, 6, 5, 18, tzinfo=UTC), "lord-howe", contract),
        Step(datetime(2026, 8, 8, 18, tzinfo=UTC), "kathmandu", lambda account: profile(account, system="exact")),
    ]
    return sorted(steps, key=lambda step: step.at)


def void(id_: str) -> Callable[[Account], None]:
    def act(account: Account) -> None:
        try:
            void_event(account=account, source="urn:tests", event_id=id_, reason="test", clock=clock_of(account), by=BY)
        except NotFound:
            return

    return act


def amend(id_: str, quantity: Decimal) -> Callable[[Account], None]:
    return lambda account: amend_event(
        account=account,
        source="urn:tests",
        event_id=id_,
        quantity=quantity,
        reason="test",
        clock=clock_of(account),
        by=BY,
    )


def to_plan(key: str) -> Callable[[Account], None]:
    return lambda account: change_plan(account=account, plan=plan(key), clock=clock_of(account), by=BY)


def contract(account: Account) -> None:
    running = open_period(account_id=account.pk, at=clock_of(account)())
    set_contract(
        account=account,
        metric=metric("conversations"),
        quantity=Decimal(12),
        unit_price=Decimal("0.4"),
        overage_price=Decimal("0.9"),
        from_period=next_period_of(running)[0],
        by=BY,
    )


def live_through(steps: list[Step], luck: Luck) -> Iterator[Account]:
    """Three accounts live through the steps, 23 days at a time."""
    accounts = {}
    for key, zone, started_on in (
        ("new-york", "America/New_York", date(2026, 1, 31)),
        ("lord-howe", "Australia/Lord_Howe", date(2026, 1, 15)),
        ("kathmandu", "Asia/Kathmandu", date(2026, 1, 30)),
    ):
        account = make_account(
            key,
            workspaces=(f"{key}-main",),
            zone=zone,
            started_on=started_on,
            is_sandbox=True,
            now=FIRST,
        )
        first = account.periods.get().starts_at
        start_subscription(account=account, plan=plan("starter"), period=first, by=BY)
        # So that a few dozen events a month pass what is included.
        account.terms.filter(metric__key="conversations").update(included=20)
        accounts[key] = account
    profile(accounts["kathmandu"], system="previous")
    for number, together in groupby(steps, key=lambda step: (step.at - FIRST) // SPAN):
        due, until = list(together), FIRST + (number + 1) * SPAN
        for key, account in accounts.items():
            # A span's usage arrives at one moment, so its order cannot matter; then people change things.
            usage = luck.mixed([step.sent for step in due if step.account == key and step.sent])
            advance(account, until, luck)
            result = luck.insist(partial(ingest_sent, account_id=account.pk, sent=usage, clock=clock_of(account)))
            assert not result.rejected, result
            actions = [step.act for step in due if step.account == key and step.act]
            if actions:
                advance(account, until + HOUR, luck)
            for act in actions:
                luck.insist(partial(act, Account.objects.get(pk=account.pk)))
    for account in accounts.values():
        advance(account, datetime(2027, 5, 1, tzinfo=UTC), luck)
        yield account


def advance(account: Account, to: datetime, luck: Luck) -> None:
    luck.insist(partial(advance_clock, account=account, to=to, by=BY))


@pytest.mark.slow
def test_a_year_of_three_accounts_reconciles_and_replayed_shuffled_doubled_and_with_crashes_gives_the_same_invoices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = the_year()

    def lived(luck: Luck) -> list[Any]:
        for module in STEPPING:
            monkeypatch.setattr(module, "reach", luck.reach)
        with transaction.atomic():
            found = [books_of(account) for account in live_through(steps, luck)]
            assert violations() == []
            totals = UsageTotal.objects.order_by("workspace__key", "metric__key", "period")
            found.append(list(totals.values_list("workspace__key", "metric__key", "period", "quantity")))
            transaction.set_rollback(True)
            return found

    first = lived(Luck())
    assert [len(books) for books in first[:3]] == [15, 15, 15]
    kinds = {line[1] for books in first[:3] for document in books for line in document[5]}
    assert kinds >= {"plan", "usage", "seats", "adjustment", "contracted"}
    unlucky = Luck(random.Random(1))
    assert lived(unlucky) == first
    assert {name.partition(".")[0] for name in unlucky.deaths} == {"ingest", "correction", "evaluate", "closing"}
    assert unlucky.deaths.total() > 30
