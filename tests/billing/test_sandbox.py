"""The test clock of sandbox accounts, and closing from the command line (spec 7.4, 10.3)."""

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction

from alerts.models import Delivery, Notification
from billing.models import Invoice
from billing.services.contacts import add_contact
from config.sandbox import advance_clock
from tests.billing.books import DAY, HOUR, JULY, JUNE, books_of, profile, subscribed
from tests.factories import BY, use
from usage.clocks import clock_of
from usage.errors import Conflict, InvalidInput
from usage.models import Account, AuditEntry

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
