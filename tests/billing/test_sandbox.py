"""The test clock of sandbox accounts, and closing from the command line (spec 7.4, 10.3)."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import groupby
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from alerts.models import Delivery, Notification
from billing.models import BilledUsage, Invoice
from billing.services.contacts import add_contact
from billing.services.subscriptions import change_plan, set_contract, start_subscription
from config.management.commands.check_invariants import violations
from config.sandbox import advance_clock
from tests.billing.books import DAY, HOUR, JULY, JUNE, plan, profile, subscribed
from tests.factories import BY, event, make_account, metric, use
from usage.clocks import clock_of
from usage.errors import Conflict, InvalidInput, NotFound
from usage.models import Account, AuditEntry, UsageTotal
from usage.services.corrections import amend_event, void_event
from usage.services.ingest import ingest_sent
from usage.services.periods import next_period_of, open_period

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
SPAN = timedelta(days=23)  # no period is as long, so every one sees usage and turns
FIRST = datetime(2026, 2, 1, tzinfo=UTC)


def sandbox(now: datetime = JUNE + 9 * HOUR, **options: Any) -> Account:
    return subscribed("starter", is_sandbox=True, now=now, **options)


def test_the_clock_jumps_from_due_moment_to_due_moment():
    account = sandbox()
    done = advance_clock(account=account, to=JULY + 3 * HOUR, by=BY)
    assert done.moments == [JUNE + 9 * HOUR + 30 * MINUTE, JULY, JULY + HOUR, JULY + 3 * HOUR]
    assert [(invoice.period, invoice.issued_at) for invoice in done.invoices] == [(JUNE, JULY + HOUR)]
    assert clock_of(account)() == JULY + 3 * HOUR
    assert AuditEntry.objects.get(action="clock.advanced").after == {"at": "2026-07-01T03:00:00Z"}


def test_every_period_on_the_way_is_closed_at_its_own_moment():
    account = sandbox()
    profile(account, grace_hours=12)
    done = advance_clock(account=account, to=datetime(2027, 6, 2, tzinfo=UTC), by=BY)
    assert len(done.invoices) == 12
    assert all(invoice.issued_at == invoice.period_ends_at + 12 * HOUR for invoice in Invoice.objects.all())


def test_what_was_reached_is_told_at_the_first_slot_after_and_only_kept():
    account = sandbox()
    add_contact(account=account, email="pay@example.com", by=BY)
    use("conversations", 250, at=JUNE + 9 * HOUR)
    advance_clock(account=account, to=JUNE + 2 * DAY, by=BY)
    told = Notification.objects.get(kind="plan_alert", level=100)
    assert told.at == JUNE + 9 * HOUR + 30 * MINUTE
    assert set(Delivery.objects.values_list("state", flat=True)) <= {"kept", "waiting"}


@pytest.mark.parametrize("step", [30 * MINUTE, 7 * HOUR])
def test_stepped_through_in_small_steps_a_turn_gives_the_same_as_in_one_jump(step):
    begins, uses, ends = JUNE + 29 * DAY, JUNE + 29 * DAY + 9 * HOUR, JULY + 3 * HOUR

    def lived(stops: list[datetime]) -> tuple[Any, ...]:
        with transaction.atomic():
            account = sandbox(now=begins)
            add_contact(account=account, email="pay@example.com", by=BY)
            for stop in sorted({*stops, uses, ends}):
                advance_clock(account=account, to=stop, by=BY)
                if stop == uses:
                    use("conversations", 230, at=uses)
            told = Notification.objects.order_by("at", "level").values_list("kind", "level", "at")
            found = (list(told), books_of(account))
            transaction.set_rollback(True)
            return found

    at_once = lived([])
    assert at_once[0]
    assert lived([begins + number * step for number in range(1, (ends - begins) // step)]) == at_once


def test_only_sandbox_accounts_have_a_clock_and_it_never_goes_back():
    with pytest.raises(Conflict):
        advance_clock(account=subscribed("starter"), to=JULY, by=BY)
    with pytest.raises(InvalidInput):
        advance_clock(account=sandbox(key="box", workspaces=("box",)), to=JUNE, by=BY)


def test_an_ended_account_is_advanced_too():
    account = sandbox()
    Account.objects.update(ended_at=JULY)
    assert len(advance_clock(account=account, to=JULY + 90 * DAY, by=BY).invoices) == 1


# --- The command line ---


def test_the_clock_may_begin_before_the_first_period():
    account = sandbox(JUNE - 40 * DAY)
    done = advance_clock(account=account, to=JULY + 2 * HOUR, by=BY)
    assert [invoice.period for invoice in done.invoices] == [JUNE]
    assert done.moments[-1] == JULY + 2 * HOUR


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_advance_clock_says_what_happened():
    sandbox()
    said = run("advance_clock", "--account", "acme", "--to", "2026-07-01T03:00:00Z")
    assert said == "2026-0001 49.00 USD\n4 moments, 0 told, 1 invoices\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("advance_clock", "--account", "nobody", "--to", "2026-07-01T03:00:00Z"), "no account"),
        (("advance_clock", "--account", "acme", "--to", "2026-07-01"), "no instant"),
        (("advance_clock", "--account", "acme", "--to", "2020-07-01T03:00:00Z"), "never goes back"),
        (("advance_clock", "--account", "live", "--to", "2026-07-01T03:00:00Z"), "Only sandbox"),
        (("close_periods", "--account", "live", "--at", "2999-07-01T03:00:00Z"), "only for sandbox"),
        (("close_periods", "--at", "2999-07-01T03:00:00Z"), "only for sandbox"),
    ],
)
def test_impossible_commands_say_why(arguments, said):
    sandbox()
    subscribed("starter", key="live", workspaces=("live",))
    with pytest.raises(CommandError, match=said):
        run(*arguments)
    assert not Invoice.objects.exists()


def test_close_periods_closes_all_accounts_but_sandboxes():
    sandbox()
    subscribed("starter", key="live", workspaces=("live",))
    assert run("close_periods", "--at", "2026-07-01T01:00:00Z") == "1 invoices\n"
    assert run("close_periods", "--account", "live", "--at", "2026-08-01T01:00:00Z").startswith("2026-0002 49.00 USD")


def test_close_periods_advances_a_sandbox_clock_first():
    account = sandbox()
    assert run("close_periods", "--account", "acme", "--at", "2026-08-02T00:00:00+02:00").count("USD") == 2
    assert clock_of(account)() == datetime(2026, 8, 1, 22, tzinfo=UTC)


def test_close_periods_writes_totals_with_the_currencys_decimals():
    account = sandbox()
    run("close_periods", "--account", "acme", "--at", "2026-07-02T00:00:00Z")
    use("conversations", 251, at=JUNE + 10 * HOUR, received_at=clock_of(account)())
    assert run("close_periods", "--account", "acme", "--at", "2026-08-02T00:00:00Z").startswith("2026-0002 49.50 USD")


# --- A year ---


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


def live_through(steps: list[Step], *, dice: random.Random | None = None) -> Iterator[Account]:
    """Three accounts live through the steps, 23 days at a time; with `dice` the usage arrives shuffled, half of it
    twice."""
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
            usage = [step.sent for step in due if step.account == key and step.sent]
            if dice is not None:
                usage += dice.choices(usage, k=len(usage) // 2)
                dice.shuffle(usage)
            advance_clock(account=account, to=until, by=BY)
            result = ingest_sent(account_id=account.pk, sent=usage, clock=clock_of(account))
            assert not result.rejected, result
            actions = [step.act for step in due if step.account == key and step.act]
            if actions:
                advance_clock(account=account, to=until + HOUR, by=BY)
            for act in actions:
                act(Account.objects.get(pk=account.pk))
    for account in accounts.values():
        advance_clock(account=account, to=datetime(2027, 5, 1, tzinfo=UTC), by=BY)
        yield account


def books_of(account: Account) -> list[Any]:
    """Every document of an account as anybody could read it, without numbers (they depend on the others)."""
    return [
        (
            invoice.document_type,
            invoice.period,
            invoice.issued_at,
            invoice.cut_at,
            invoice.total,
            [
                (row.position, row.kind, row.description, row.quantity, row.overage, row.unit_price, row.amount)
                for row in invoice.lines.order_by("position")
            ],
            list(
                BilledUsage.objects.filter(line__invoice=invoice)
                .order_by("line__position", "workspace")
                .values_list("workspace__key", "metric__key", "period", "quantity")
            ),
        )
        for invoice in Invoice.objects.filter(account=account).order_by("issued_at", "sequence")
    ]


@pytest.mark.slow
def test_a_year_of_three_accounts_reconciles_and_replayed_shuffled_and_doubled_gives_the_same_invoices():
    steps = the_year()

    def lived(dice: random.Random | None) -> list[Any]:
        with transaction.atomic():
            found = [books_of(account) for account in live_through(steps, dice=dice)]
            assert violations() == []
            totals = UsageTotal.objects.order_by("workspace__key", "metric__key", "period")
            found.append(list(totals.values_list("workspace__key", "metric__key", "period", "quantity")))
            transaction.set_rollback(True)
            return found

    first = lived(None)
    assert [len(books) for books in first[:3]] == [15, 15, 15]
    kinds = {line[1] for books in first[:3] for document in books for line in document[5]}
    assert kinds >= {"plan", "usage", "seats", "adjustment", "contracted"}
    assert lived(random.Random(1)) == first
