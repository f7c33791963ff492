"""Late and corrected units on the next invoice, on both systems and across the move between them (spec 5.7, 5.10)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from billing import invariants
from billing.models import BilledUsage, Invoice
from billing.services.closing import close_account
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
    unbilled,
)
from tests.factories import BY, event, use, workspace
from usage.models import Account
from usage.services.accounts import add_workspace
from usage.services.corrections import amend_event, void_event
from usage.services.ingest import ingest_sent
from usage.services.periods import open_period

pytestmark = pytest.mark.django_db


def test_late_usage_is_the_next_invoices_adjustment():
    account = subscribed("starter")
    use("conversations", 250)
    close(account)
    use("conversations", 4, at=MID_JUNE, received_at=datetime(2026, 7, 3, tzinfo=UTC))
    invoice = close(account, JULY)
    late = line(invoice, "conversations", "adjustment")
    assert (late.usage_period, late.quantity, late.unit_price, late.amount) == (JUNE, 4, Decimal("0.5"), 2)
    assert "1 Jun – 30 Jun 2026" in late.description
    assert line(invoice, "conversations").quantity == 0
    assert unbilled(account) == {}


def test_an_adjustment_is_written_with_its_ledger_even_at_zero():
    account = subscribed("starter")
    close(account)
    use("conversations", 4, at=MID_JUNE, received_at=datetime(2026, 7, 3, tzinfo=UTC))
    late = line(close(account, JULY), "conversations", "adjustment")
    assert (late.amount, BilledUsage.objects.get(line=late).quantity) == (0, 4)


def test_a_void_after_the_invoice_gives_back_what_the_unit_cost():
    account = subscribed("starter")
    use("conversations", 249)
    ingest_sent(
        account_id=account.pk,
        sent=[event("conversation.created", id_=f"x{n}", time=MID_JUNE) for n in range(3)],
        clock=at(MID_JUNE),
    )
    assert line(close(account), "conversations").amount == 1
    for number in range(3):
        void_event(
            account=account, source="urn:tests", event_id=f"x{number}", reason="twice", clock=at(JULY + DAY), by=BY
        )
    late = line(close(account, JULY), "conversations", "adjustment")
    # Three units are taken back, of which two had cost something.
    assert (late.quantity, late.amount) == (-3, -1)


def test_a_negative_total_is_issued_as_a_credit_note_in_the_same_series():
    account = subscribed("starter")
    data = {"started_at": "2026-06-15T00:00:00Z", "ended_at": "2026-06-15T11:40:00Z"}
    ingest_sent(account_id=account.pk, sent=[event("call.ended", id_="call", data=data)], clock=at(MID_JUNE))
    first = close(account)
    void_event(account=account, source="urn:tests", event_id="call", reason="test", clock=at(JULY + DAY), by=BY)
    second = close(account, JULY)
    assert second.total == Decimal("49.00") - Decimal("180.00")
    assert (first.document_type, second.document_type) == ("invoice", "credit_note")
    assert second.sequence == first.sequence + 1


def test_what_was_received_and_taken_back_between_two_invoices_makes_no_line():
    account = subscribed("starter")
    close(account)
    july = datetime(2026, 7, 3, tzinfo=UTC)
    sent = [event("conversation.created", id_="x", time=MID_JUNE)]
    ingest_sent(account_id=account.pk, sent=sent, clock=at(july))
    void_event(account=account, source="urn:tests", event_id="x", reason="test", clock=at(july + HOUR), by=BY)
    assert not close(account, JULY).lines.filter(kind="adjustment").exists()
    use("conversations", 1, at=MID_JUNE, received_at=AUGUST + DAY)
    late = line(close(account, AUGUST), "conversations", "adjustment")
    # All three rows stand behind this line: each event is behind exactly one.
    assert late.previous_cut_at == JULY + HOUR
    assert late.cut_at == SEPTEMBER + HOUR


def test_two_workspaces_that_net_to_zero_still_get_their_line():
    account = subscribed("starter", workspaces=("atlas", "birch"))
    ingest_sent(
        account_id=account.pk,
        sent=[event("conversation.created", id_="x", time=MID_JUNE)],
        clock=at(MID_JUNE),
    )
    close(account)
    void_event(account=account, source="urn:tests", event_id="x", reason="moved", clock=at(JULY + DAY), by=BY)
    use("conversations", 1, workspace_key="birch", at=MID_JUNE, received_at=JULY + DAY)
    late = line(close(account, JULY), "conversations", "adjustment")
    assert (late.quantity, late.amount) == (0, 0)
    billed = dict(late.billed.values_list("workspace__key", "quantity"))
    assert billed == {"atlas": -1, "birch": 1}


def test_a_late_seat_report_adjusts_its_period_and_those_it_reaches_into():
    account = subscribed("professional")
    use("seats", 2, at=JUNE)
    close(account)
    close(account, JULY)
    use("seats", 3, at=datetime(2026, 6, 21, tzinfo=UTC), received_at=AUGUST + DAY)
    invoice = close(account, AUGUST)
    adjusted = invoice.lines.filter(kind="adjustment").order_by("position")
    assert [(row.usage_period, row.quantity, row.amount) for row in adjusted] == [
        (JUNE, 10, Decimal("8.33")),
        (JULY, 31, Decimal("25.00")),
    ]


def test_graduated_prices_are_adjusted_by_the_price_of_the_whole_not_of_the_rest():
    account = subscribed("starter")
    account.terms.filter(metric__key="conversations").update(
        model="graduated",
        included=0,
        tiers=[{"up_to": "10", "unit_price": "1", "flat_fee": "5"}, {"up_to": None, "unit_price": "0.1"}],
    )
    use("conversations", 9)
    assert line(close(account), "conversations").amount == 14
    use("conversations", 11, at=MID_JUNE, received_at=JULY + DAY)
    late = line(close(account, JULY), "conversations", "adjustment")
    assert (late.amount, late.unit_price) == (Decimal("2.00"), None)


# --- Exact and previous system ---


def test_the_exact_system_bills_what_was_received_until_the_invoice_is_created():
    account = subscribed("starter")
    use("conversations", 251, at=MID_JUNE, received_at=JULY + timedelta(minutes=59))
    invoice = close(account)
    assert line(invoice, "conversations").quantity == 251
    assert invoice.cut_at == JULY + HOUR


def test_the_previous_system_bills_what_was_received_24_hours_before_and_the_rest_next_time():
    account = subscribed("starter")
    profile(account, system="previous")
    use("conversations", 260, at=MID_JUNE)
    use("conversations", 5, at=JULY - 2 * HOUR)
    first = close(account)
    assert (first.cut_at, line(first, "conversations").quantity) == (JULY + HOUR - DAY, 260)
    second = close(account, JULY)
    late = line(second, "conversations", "adjustment")
    assert (late.quantity, late.amount) == (5, Decimal("2.50"))
    assert (late.previous_cut_at, late.cut_at) == (JULY + HOUR - DAY, AUGUST + HOUR - DAY)
    assert unbilled(account) == {}


def test_the_last_invoice_of_the_previous_system_leaves_nothing_for_a_next_one():
    account = subscribed("starter")
    profile(account, system="previous")
    use("conversations", 250)
    close(account)
    Account.objects.update(ended_at=AUGUST)
    account.refresh_from_db()
    in_july = datetime(2026, 7, 31, 20, tzinfo=UTC)
    use("conversations", 260, at=in_july, received_at=in_july)
    use("conversations", 3, at=MID_JUNE, received_at=in_july)
    invoice = close(account, JULY)
    assert line(invoice, "conversations", "usage").quantity == 260
    assert line(invoice, "conversations", "adjustment").quantity == 3
    assert unbilled(account) == {}
    assert_every_line_adds_up()


def test_what_arrives_after_an_ended_accounts_last_invoice_is_billed_by_one_of_adjustments_alone():
    account = subscribed("professional")
    use("conversations", 1000)
    use("seats", 2, at=JUNE)
    Account.objects.update(ended_at=JULY)

    def sweep(now: datetime) -> list[Invoice]:
        return close_account(account_id=account.pk, clock=at(now), by=BY)

    assert len(sweep(JULY + HOUR)) == 1
    assert sweep(SEPTEMBER) == []
    use("conversations", 4, at=MID_JUNE, received_at=JULY + DAY)
    use("seats", 4, at=JULY - DAY, received_at=JULY + DAY)
    assert sweep(AUGUST) == []  # it waits for its period's end and the grace, as any invoice
    (after,) = sweep(AUGUST + HOUR)
    assert after.period == JULY
    assert {(row.metric.key, row.usage_period, row.amount) for row in after.lines.all()} == {
        ("conversations", JUNE, Decimal("1.80")),
        ("seats", JUNE, Decimal("1.67")),
    }
    assert after.subtotal == Decimal("3.47")
    assert sweep(SEPTEMBER + 90 * DAY) == []
    assert unbilled(account) == {}
    assert_every_line_adds_up()
    assert [said for check in invariants.CHECKS for said in check()] == []


def test_seats_of_the_previous_system_are_those_known_24_hours_before():
    account = subscribed("professional")
    profile(account, system="previous")
    use("seats", 3, at=JUNE)
    use("seats", 33, at=JULY - 3 * HOUR)
    first = close(account)
    assert line(first, "seats", "seats").amount == Decimal("75.00")
    late = line(close(account, JULY), "seats", "adjustment")
    assert (late.quantity, late.amount) == (30, Decimal("25.00"))


def test_moving_to_the_exact_system_loses_nothing_and_bills_nothing_twice():
    account = subscribed("starter")
    profile(account, system="previous")
    use("conversations", 260, at=MID_JUNE)
    use("conversations", 5, at=JULY - 2 * HOUR)
    close(account)
    use("conversations", 300, at=JULY + 3 * DAY)
    profile(account, system="exact")
    second = close(account, JULY)
    assert line(second, "conversations", "adjustment").quantity == 5
    assert line(second, "conversations").quantity == 300
    assert unbilled(account) == {}
    profile(account, system="previous")
    use("conversations", 9, at=SEPTEMBER - HOUR)
    third = close(account, AUGUST)
    assert (third.cut_at, line(third, "conversations").quantity) == (SEPTEMBER + HOUR - DAY, 0)
    assert line(close(account, SEPTEMBER), "conversations", "adjustment").quantity == 9


def test_the_cut_never_lies_before_something_that_was_received():
    account = subscribed("starter")
    use("conversations", 251, at=MID_JUNE, received_at=JULY + 3 * HOUR)
    invoice = close(account, now=JULY + HOUR)
    assert invoice.cut_at == JULY + 3 * HOUR
    assert line(invoice, "conversations").quantity == 251


def test_what_arrives_by_a_clock_that_runs_behind_counts_after_the_cut():
    account = subscribed("starter")
    invoice = close(account)
    use("conversations", 251, at=MID_JUNE, received_at=JULY - DAY)
    late = line(close(account, JULY), "conversations", "adjustment")
    assert (late.previous_cut_at, late.quantity) == (invoice.cut_at, 251)


def test_an_amended_event_is_billed_at_its_new_quantity():
    account = subscribed("starter")
    sent = [
        event("call.ended", id_="call", data={"started_at": "2026-06-15T10:00:00Z", "ended_at": "2026-06-15T13:20:00Z"})
    ]
    ingest_sent(account_id=account.pk, sent=sent, clock=at(MID_JUNE + 2 * HOUR))
    assert line(close(account), "phone").amount == Decimal("30.00")
    amend_event(
        account=account,
        source="urn:tests",
        event_id="call",
        quantity=Decimal(150),
        reason="too long",
        clock=at(JULY + DAY),
        by=BY,
    )
    late = line(close(account, JULY), "phone", "adjustment")
    assert (late.quantity, late.amount) == (-50, Decimal("-15.00"))


def test_a_workspace_that_came_later_is_on_the_adjustment_of_the_period_it_reports_for():
    account = subscribed("starter")
    close(account)
    add_workspace(account=account, key="birch", name="Birch", by=BY)
    use("conversations", 251, workspace_key="birch", at=MID_JUNE, received_at=JULY + DAY)
    late = line(close(account, JULY), "conversations", "adjustment")
    assert late.amount == Decimal("0.50")
    assert late.billed.get().workspace == workspace("birch")


def test_an_open_period_is_never_on_an_adjustment():
    account = subscribed("starter")
    use("conversations", 300, at=JULY + DAY, received_at=JULY + DAY)
    invoice = close(account, now=JULY + 2 * DAY)
    assert not invoice.lines.filter(kind="adjustment").exists()
    assert open_period(account_id=account.pk, at=JULY + DAY).starts_at == JULY
