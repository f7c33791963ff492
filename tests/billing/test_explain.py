"""Explain this line: the events behind any line of any document, and that they add up to it (spec 5.10)."""

from datetime import datetime
from decimal import Decimal

import pytest

from billing.models import Invoice, InvoiceLine
from billing.selectors.explain import (
    all_events_behind,
    csv_rows,
    days_behind,
    events_behind,
    explanation_of,
)
from billing.services.credits import cancel_and_reissue, credit_amount
from tests.billing.books import (
    AUGUST,
    DAY,
    HOUR,
    JULY,
    JUNE,
    MID_JUNE,
    SEPTEMBER,
    assert_every_line_adds_up,
    at,
    close,
    line,
    profile,
    subscribed,
)
from tests.factories import BY, event, metric, use, workspace
from usage.models import Account
from usage.services.corrections import amend_event, void_event
from usage.services.ingest import ingest_sent

pytestmark = pytest.mark.django_db


def send(account: Account, *ids: str, received_at: datetime, at_: datetime = MID_JUNE, subject: str = "atlas") -> None:
    sent = [event("conversation.created", id_=each, time=at_, subject=subject) for each in ids]
    assert ingest_sent(account_id=account.pk, sent=sent, clock=at(received_at)).accepted == len(ids)


def void(account: Account, id_: str, received_at: datetime) -> None:
    void_event(account=account, source="urn:tests", event_id=id_, reason="test", clock=at(received_at), by=BY)


def ids_behind(row: InvoiceLine) -> list[str]:
    return [each.event_id for each in all_events_behind(explanation_of(row))]


def test_behind_a_line_stand_its_events_in_order_of_arrival_with_their_corrections():
    account = subscribed("starter")
    send(account, "b", received_at=MID_JUNE)
    send(account, "a", received_at=MID_JUNE + HOUR)
    void(account, "b", MID_JUNE + 2 * HOUR)
    row = line(close(account), "conversations")
    assert [(each.event_id, each.quantity) for each in all_events_behind(explanation_of(row))] == [
        ("b", 1),
        ("a", 1),
        ("b", -1),
    ]
    assert_every_line_adds_up()


def test_each_event_is_behind_one_line_however_late_it_came():
    account = subscribed("starter", workspaces=("atlas", "birch"))
    send(account, "in time", received_at=MID_JUNE)
    first = close(account)
    send(account, "late", received_at=JULY + DAY)
    send(account, "late too", received_at=JULY + DAY, subject="birch")
    second = close(account, JULY)
    void(account, "late", AUGUST + DAY)
    third = close(account, AUGUST)
    assert ids_behind(line(first, "conversations")) == ["in time"]
    assert sorted(ids_behind(line(second, "conversations", "adjustment"))) == ["late", "late too"]
    assert ids_behind(line(third, "conversations", "adjustment")) == ["late"]
    assert_every_line_adds_up()


def test_an_old_line_tells_the_same_for_ever():
    account = subscribed("starter")
    send(account, "x", received_at=MID_JUNE)
    row = line(close(account), "conversations")
    for month in (JULY, AUGUST, SEPTEMBER):
        send(account, f"late {month}", received_at=month + DAY)
        close(account, month)
    assert ids_behind(row) == ["x"]
    assert days_behind(explanation_of(row)) == {workspace().pk: {MID_JUNE.date(): 1}}
    assert_every_line_adds_up()


def test_on_the_previous_system_and_across_the_move_every_line_adds_up():
    account = subscribed("professional")
    profile(account, system="previous")
    send(account, "a", "b", received_at=MID_JUNE)
    send(account, "c", at_=JULY - HOUR, received_at=JULY - HOUR)
    use("seats", 3, at=JUNE)
    use("seats", 5, at=JULY - 2 * HOUR)
    first = close(account)
    send(account, "d", received_at=JULY + DAY)
    void(account, "a", JULY + DAY)
    profile(account, system="exact")
    second = close(account, JULY)
    profile(account, system="previous")
    void(account, "b", AUGUST + DAY)
    close(account, AUGUST)
    assert ids_behind(line(first, "conversations")) == ["a", "b"]
    assert ids_behind(line(second, "conversations", "adjustment")) == ["c", "d", "a"]
    assert_every_line_adds_up()


def test_seats_are_told_by_their_reports_and_days():
    account = subscribed("professional")
    use("seats", 2, at=JUNE)
    use("seats", 4, at=JUNE + 9 * DAY)
    first = close(account)
    close(account, JULY)
    use("seats", 6, at=JUNE + 19 * DAY, received_at=AUGUST + DAY)
    third = close(account, AUGUST)
    told = explanation_of(line(first, "seats", "seats"))
    assert [each.quantity for each in all_events_behind(told)] == [2, 4]
    assert list(days_behind(told)[workspace().pk].values()) == [2] * 9 + [4] * 21
    # The late report of June changed July's days too; it stands behind both adjustments.
    for row in third.lines.filter(kind="adjustment"):
        assert [each.quantity for each in all_events_behind(explanation_of(row))] == [6]
    assert_every_line_adds_up()


def test_amended_calls_and_credited_and_reissued_lines_add_up():
    account = subscribed("starter")
    data = {"started_at": "2026-06-15T10:00:00Z", "ended_at": "2026-06-15T10:33:20Z"}
    ingest_sent(account_id=account.pk, sent=[event("call.ended", id_="call", data=data)], clock=at(MID_JUNE))
    use("seats", 3, at=JUNE)
    first = close(account)
    amend_event(
        account=account,
        source="urn:tests",
        event_id="call",
        quantity=Decimal(20),
        reason="test",
        clock=at(JULY + DAY),
        by=BY,
    )
    second = close(account, JULY)
    done = cancel_and_reissue(invoice=second, reason="address", clock=at(AUGUST), by=BY)
    credit_amount(invoice=first, amount=Decimal(1), reason="test", clock=at(AUGUST), by=BY)
    assert ids_behind(line(done.invoice, "phone", "adjustment")) == ["call"]
    credited = done.credit_note.lines.get(metric=metric("phone"), detail__credits="adjustment")
    assert ids_behind(credited) == ["call"]
    assert_every_line_adds_up()


def test_lines_that_bill_no_usage_have_nothing_behind_them():
    account = subscribed("starter")
    invoice = close(account)
    note = credit_amount(invoice=invoice, amount=Decimal(1), reason="test", clock=at(JULY + DAY), by=BY)
    assert explanation_of(invoice.lines.get(kind="plan")) is None
    assert explanation_of(note.lines.get()) is None


def test_pages_go_on_where_the_last_one_ended():
    account = subscribed("starter", workspaces=("atlas", "birch"))
    send(account, *[f"a{n}" for n in range(30)], received_at=MID_JUNE)
    send(account, *[f"b{n}" for n in range(30)], received_at=MID_JUNE, subject="birch")
    told = explanation_of(line(close(account), "conversations"))
    seen, cursor = [], None
    while True:
        page = events_behind(told, cursor=cursor, limit=7)
        seen += [each.event_id for each in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(seen) == sorted(f"{letter}{n}" for letter in "ab" for n in range(30))


def test_the_csv_has_a_row_for_each_event_in_the_units_people_see():
    account = subscribed("starter")
    use("phone", 2)
    (row,) = csv_rows(explanation_of(line(close(account), "phone")))
    assert row[0] == Invoice.objects.get().number
    assert row[2:5] == ("phone", "atlas", "event")
    assert row[-2:] == (Decimal(2), metric("phone").unit)
