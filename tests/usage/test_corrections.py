"""Taking usage back and putting it right (spec 2.6)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.factories import BY, NOON, event, make_account, metric, use, workspace
from tests.usage.test_consume import JUNE, at_once, broken, limit, take, total
from usage.errors import Conflict, InvalidInput, NotFound
from usage.models import Account, AuditEntry, UsageDay, UsageEvent
from usage.services.corrections import Correction, amend_event, void_event
from usage.services.ingest import IngestResult, ingest_sent
from usage.signals import usage_corrected

pytestmark = pytest.mark.django_db

LATER = NOON + timedelta(hours=1)


@pytest.fixture(autouse=True)
def account(request: pytest.FixtureRequest) -> Account | None:
    return None if "transactional_db" in request.fixturenames else make_account(workspaces=["atlas", "birch"])


def send(
    id_: str, type_: str = "sms.message", *, at: datetime = NOON, received: datetime | None = None, **more: Any
) -> IngestResult:
    sent = event(type_, id_=id_, time=at, **more)
    place = workspace(sent["subject"])
    return ingest_sent(account_id=place.account_id, sent=[sent], clock=lambda: received or at)


def void(id_: str, *, source: str = "urn:tests", account_key: str = "acme", at: datetime = LATER) -> Correction:
    owner = Account.objects.get(key=account_key)
    return void_event(account=owner, source=source, event_id=id_, reason="a test", clock=lambda: at, by=BY)


def amend(
    id_: str, quantity: str, *, source: str = "urn:tests", account_key: str = "acme", at: datetime = LATER
) -> Correction:
    owner = Account.objects.get(key=account_key)
    return amend_event(
        account=owner,
        source=source,
        event_id=id_,
        quantity=Decimal(quantity),
        reason="a test",
        clock=lambda: at,
        by=BY,
    )


def test_a_voided_event_counts_nothing_and_stays_on_record() -> None:
    send("a", data={"value": 5})
    send("b", data={"value": 2})
    answer = void("a")
    assert answer == Correction("urn:tests", "a", "atlas", "sms", JUNE, Decimal(5), Decimal(0))
    assert total("sms").quantity == total("sms").quantity_in_time == 2
    assert UsageDay.objects.get().quantity == 2
    original, correcting = UsageEvent.objects.filter(event_id="a").order_by("quantity").reverse()
    assert (correcting.corrects, correcting.quantity, correcting.is_void) == (original.key, -5, True)
    assert (correcting.period, correcting.day, correcting.workspace_id) == (
        original.period,
        original.day,
        original.workspace_id,
    )
    assert correcting.received_at == LATER
    assert broken() == []


def test_voiding_twice_is_voiding_once() -> None:
    send("a", data={"value": 5})
    void("a")
    assert void("a").quantity == 0
    assert UsageEvent.objects.count() == 2
    assert AuditEntry.objects.filter(action="usage.voided").count() == 1


def test_an_amended_event_counts_the_new_quantity() -> None:
    send("a", data={"value": 5})
    assert amend("a", "7.5").quantity_before == 5
    assert total("sms").quantity == Decimal("7.5")
    assert amend("a", "2") == Correction("urn:tests", "a", "atlas", "sms", JUNE, Decimal("7.5"), Decimal(2))
    assert total("sms").quantity == UsageDay.objects.get().quantity == 2
    assert broken() == []


def test_the_same_amendment_again_changes_nothing() -> None:
    send("a", data={"value": 5})
    amend("a", "7")
    seq = total("sms").seq
    assert amend("a", "7") == Correction("urn:tests", "a", "atlas", "sms", JUNE, Decimal(7), Decimal(7))
    assert UsageEvent.objects.count() == 2
    assert total("sms").seq == seq


def test_many_amendments_and_a_void_net_to_zero() -> None:
    send("a", data={"value": 5})
    for quantity in range(1, 20):
        amend("a", str(quantity))
    assert void("a").quantity_before == 19
    assert total("sms").quantity == 0
    assert UsageEvent.objects.count() == 20 + 1
    assert broken() == []


def test_a_voided_event_cannot_be_amended_and_its_identity_stays_used() -> None:
    send("a", data={"value": 5})
    void("a")
    with pytest.raises(Conflict):
        amend("a", "2")
    assert send("a", data={"value": 5}).duplicate == 1
    assert send("a", data={"value": 6}).rejected[0].code == "id_reused"
    assert total("sms").quantity == 0


def test_unknown_events_and_those_of_other_accounts_do_not_exist() -> None:
    make_account("other", workspaces=["other"])
    send("a")
    for act in (lambda: void("b"), lambda: void("a", source="urn:else"), lambda: void("a", account_key="other")):
        with pytest.raises(NotFound):
            act()


def test_quantities_are_in_display_units_and_rounded_to_the_metrics_step() -> None:
    call = {"started_at": "2026-06-15T11:50:00Z", "ended_at": "2026-06-15T11:52:30Z"}
    send("a", "call.ended", data=call)
    assert amend("a", "1.51") == Correction(
        "urn:tests", "a", "atlas", "phone", JUNE, Decimal("2.5"), Decimal("1.516667")
    )
    assert total("phone").quantity == 91
    with pytest.raises(InvalidInput):
        amend("a", "0.001")


def test_a_void_below_the_limit_lets_the_agent_answer_again_at_once() -> None:
    limit(1)
    take("a")
    assert not take("b").allowed
    void("a", source="headroom:consume")
    assert take("b").allowed
    assert broken() == []


def test_a_correction_after_the_period_changes_its_total_but_not_what_alerts_read() -> None:
    send("a", data={"value": 5})
    void("a", at=datetime(2026, 7, 2, tzinfo=UTC))
    assert (total("sms").quantity, total("sms").quantity_in_time) == (0, 5)


def test_a_correction_is_received_after_the_last_cut() -> None:
    send("a")
    cut = LATER + timedelta(days=1)
    Account.objects.filter(key="acme").update(last_cut_at=cut)
    void("a")
    assert UsageEvent.objects.get(is_void=True).received_at == cut + timedelta(microseconds=1)


def test_who_why_before_and_after_are_on_record() -> None:
    send("a", data={"value": 5})
    amend("a", "7")
    entry = AuditEntry.objects.get(action="usage.amended")
    assert (entry.reason, entry.subject, entry.actor_name) == ("a test", "sms", BY.name)
    assert entry.workspace == workspace()
    assert (entry.before["quantity"], entry.after["quantity"]) == ("5", "7")


def test_every_correction_that_changes_something_is_told() -> None:
    told: list[int] = []

    def listen(sender: Any, account_id: int, **kwargs: Any) -> None:
        told.append(account_id)

    send("a")
    usage_corrected.connect(listen)
    try:
        amend("a", "2")
        amend("a", "2")
        void("a")
        void("a")
    finally:
        usage_corrected.disconnect(listen)
    assert len(told) == 2


def test_a_corrected_seat_report_changes_the_days_up_to_the_next_one() -> None:
    use("seats", 3, at=datetime(2026, 6, 2, 9, tzinfo=UTC))
    send("up", "seats.set", at=datetime(2026, 6, 5, 9, tzinfo=UTC), data={"value": 10})
    use("seats", 4, at=datetime(2026, 6, 8, 9, tzinfo=UTC))
    assert days() == {2: (3, 3), 5: (10, 10), 8: (10, 4)}
    amend("up", "6", at=datetime(2026, 6, 9, tzinfo=UTC))
    assert days() == {2: (3, 3), 5: (6, 6), 8: (6, 4)}
    answer = void("up", at=datetime(2026, 6, 9, tzinfo=UTC))
    assert (answer.quantity_before, answer.quantity) == (6, 0)
    assert days() == {2: (3, 3), 8: (4, 4)}
    assert broken() == []


def days() -> dict[int, tuple[Decimal, Decimal | None]]:
    rows = UsageDay.objects.filter(metric=metric("seats"), day__gte=date(2026, 6, 1))
    return {row.day.day: (row.quantity, row.level) for row in rows}


@pytest.mark.django_db(transaction=True)
def test_corrections_that_race_are_stored_one_after_the_other(transactional_db: None) -> None:
    make_account()
    send("a", data={"value": 5})
    results = at_once([lambda n=n: amend("a", str(n)) for n in range(10, 22)])
    assert {result.quantity for result in results} == set(map(Decimal, range(10, 22)))
    last = UsageEvent.objects.count()
    assert last == 13
    assert broken() == []


@pytest.mark.django_db(transaction=True)
def test_of_voids_that_race_one_is_stored(transactional_db: None) -> None:
    make_account()
    send("a", data={"value": 5})
    results = at_once([lambda: void("a")] * 10)
    assert all(result.quantity == 0 for result in results)
    assert UsageEvent.objects.count() == 2
    assert total("sms").quantity == 0
