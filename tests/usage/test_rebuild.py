"""Totals and days worked out anew from the events (spec 9 b, m)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.factories import BY, NOON, event, make_account, use, workspace
from tests.usage.test_consume import at_once, broken, limit, take, total
from tests.usage.test_reservations import finish, keep
from usage.models import Account, AuditEntry, UsageDay, UsageTotal
from usage.services.ingest import ingest_sent
from usage.services.rebuild import rebuild_account
from usage.signals import usage_corrected

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def account(request: pytest.FixtureRequest) -> Account | None:
    return None if "transactional_db" in request.fixturenames else some_usage()


def some_usage() -> Account:
    account = make_account(workspaces=["atlas", "birch"], zone="Europe/Berlin")
    limit(5, from_period=account.periods.get().starts_at)
    use(quantity=3)
    use("phone", 7, at=NOON + timedelta(days=2))
    use("sms", 2, workspace_key="birch", received_at=NOON + timedelta(days=40))
    use("seats", 4, at=NOON - timedelta(days=3))
    use("seats", 2, at=NOON + timedelta(days=3))
    take("c", at=NOON)
    keep("r", "1")
    keep("s", "1", metric_key="chat")
    finish("s", "3")
    return account


def everything() -> Any:
    total_fields = ("workspace_id", "metric_id", "period", "quantity", "quantity_in_time", "reserved", "hard_limit")
    return (
        sorted(map(str, UsageTotal.objects.values_list(*total_fields))),
        sorted(
            map(str, UsageDay.objects.values_list("workspace_id", "metric_id", "period", "day", "quantity", "level"))
        ),
    )


def test_a_healthy_account_stays_as_it_is(account: Account) -> None:
    before = everything()
    rebuilt = rebuild_account(account_id=account.pk, by=BY)
    assert (rebuilt.totals, rebuilt.days) == (0, 0)
    assert everything() == before
    assert not AuditEntry.objects.filter(action="usage.rebuilt").exists()


def test_everything_lost_comes_back(account: Account) -> None:
    before = everything()
    UsageTotal.objects.all().delete()
    UsageDay.objects.all().delete()
    rebuild_account(account_id=account.pk, by=BY)
    assert everything() == before
    assert broken() == []


def test_what_is_wrong_is_put_right_and_looked_at_again(account: Account) -> None:
    before = everything()
    told: list[int] = []

    def listen(sender: Any, account_id: int, **kwargs: Any) -> None:
        told.append(account_id)

    UsageTotal.objects.update(quantity=99, quantity_in_time=1, reserved=3, hard_limit=None, next_level=None)
    UsageDay.objects.update(quantity=Decimal("0.5"))
    row = UsageDay.objects.first()
    assert row is not None
    UsageDay(
        account_id=row.account_id,
        workspace_id=row.workspace_id,
        metric_id=row.metric_id,
        period=row.period,
        day=row.day + timedelta(days=1),
        quantity=1,
    ).save(force_insert=True)
    assert broken() != []
    usage_corrected.connect(listen)
    try:
        rebuilt = rebuild_account(account_id=account.pk, by=BY)
    finally:
        usage_corrected.disconnect(listen)
    assert everything() == before
    assert rebuilt.totals == 4
    assert told == [account.pk]
    assert total(period=account.periods.earliest("starts_at").starts_at).next_level == 0
    assert AuditEntry.objects.get(action="usage.rebuilt").after == {"totals": 4, "days": rebuilt.days}
    assert broken() == []


def test_only_the_account_asked_for_is_touched(account: Account) -> None:
    other = make_account("other", workspaces=["other"])
    use("sms", 5, workspace_key="other")
    UsageTotal.objects.update(quantity=99)
    out = StringIO()
    call_command("rebuild_usage", account="other", stdout=out)
    assert UsageTotal.objects.get(account=other).quantity == 5
    assert UsageTotal.objects.filter(account=account).exclude(quantity=99).count() == 0
    assert "other: 1 totals" in out.getvalue()
    call_command("rebuild_usage", stdout=out)
    assert broken() == []
    with pytest.raises(CommandError):
        call_command("rebuild_usage", account="nothing")


def test_the_check_speaks_and_exits_with_1_only_when_something_is_wrong() -> None:
    out = StringIO()
    call_command("check_invariants", stdout=out)
    assert out.getvalue() == ""
    UsageTotal.objects.update(quantity=99)
    with pytest.raises(SystemExit):
        call_command("check_invariants", stdout=out)
    assert "total of ai_resolutions in acme/atlas" in out.getvalue()


@pytest.mark.django_db(transaction=True)
def test_it_is_exact_while_usage_streams_in(transactional_db: None) -> None:
    account = some_usage()
    UsageTotal.objects.update(quantity=99)
    place = workspace()

    def stream(number: int) -> None:
        for _ in range(8):
            sent = [event(time=datetime(2026, 6, 20, 8, tzinfo=UTC), id_=f"{number}-{_}-{n}") for n in range(20)]
            ingest_sent(account_id=place.account_id, sent=sent, clock=lambda: NOON + timedelta(days=10))

    calls = [lambda n=n: stream(n) for n in range(4)]
    calls += [lambda: rebuild_account(account_id=account.pk, by=BY)] * 2
    results = at_once(calls)
    assert not [result for result in results if isinstance(result, Exception)]
    assert total(period=account.periods.earliest("starts_at").starts_at).quantity == 4 + 4 * 8 * 20
    assert broken() == []


@pytest.mark.django_db(transaction=True)
def test_the_check_reads_one_snapshot_outside_a_transaction_too(transactional_db: None) -> None:
    some_usage()
    out = StringIO()
    call_command("check_invariants", stdout=out)
    assert out.getvalue() == ""
