"""Closing a period: what is on the invoice, when it is issued, and that it is issued once (spec 5.6, 5.7, 5.10)."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from billing.models import BilledUsage, Invoice, InvoiceDispatch, NumberSeries
from billing.services.closing import close_account, close_due, close_period
from billing.services.subscriptions import change_plan, set_contract
from tests.billing.books import (
    AUGUST,
    DAY,
    HOUR,
    JULY,
    JUNE,
    SEPTEMBER,
    at,
    close,
    line,
    lines,
    plan,
    profile,
    subscribed,
    unbilled,
)
from tests.factories import BY, event, make_account, metric, use, workspace
from usage.errors import Conflict, NotFound
from usage.models import Account, AuditEntry
from usage.services.accounts import add_workspace
from usage.services.corrections import amend_event, void_event
from usage.services.ingest import ingest_sent
from usage.services.periods import open_period

pytestmark = pytest.mark.django_db

MID_JUNE = datetime(2026, 6, 15, 12, tzinfo=UTC)


def test_starter_with_275_conversations_and_120_minutes_owes_18_50_above_its_plan():
    account = subscribed("starter")
    use("conversations", 275)
    use("phone", 120)
    invoice = close(account)
    assert lines(invoice) == [
        ("plan", "Starter plan", Decimal("49.00")),
        ("usage", "Conversations", Decimal("12.50")),
        ("usage", metric("phone").name, Decimal("6.00")),
    ]
    conversations = line(invoice, "conversations")
    assert (conversations.quantity, conversations.included, conversations.overage) == (275, 250, 25)
    assert (invoice.subtotal, invoice.tax, invoice.total) == (Decimal("67.50"), 0, Decimal("67.50"))
    assert invoice.document_type == "invoice"


def test_every_metric_with_terms_has_its_line_even_at_zero():
    account = subscribed("starter")
    invoice = close(account)
    assert [row.position for row in invoice.lines.all()] == list(range(1, invoice.lines.count() + 1))
    assert line(invoice, "conversations").amount == 0
    assert invoice.total == Decimal("49.00")


def test_the_ledger_holds_what_each_workspace_used():
    account = subscribed("starter", workspaces=("atlas", "birch"))
    use("conversations", 7)
    use("conversations", 3, workspace_key="birch")
    use("phone", 2)
    invoice = close(account)
    billed = BilledUsage.objects.filter(line__invoice=invoice).values_list("workspace__key", "metric__key", "quantity")
    assert set(billed) == {("atlas", "conversations", 7), ("birch", "conversations", 3), ("atlas", "phone", 120)}
    workspaces = line(invoice, "conversations").detail["workspaces"]
    assert [(each["name"], each["quantity"]) for each in workspaces] == [("Atlas", "7"), ("Birch", "3")]
    assert unbilled(account) == {}


def test_an_upgrade_on_day_16_of_30_leaves_no_overage_and_two_parts_that_add_up():
    account = subscribed("starter")
    use("conversations", 275, at=datetime(2026, 6, 10, tzinfo=UTC))
    change_plan(account=account, plan=plan("professional"), clock=at(datetime(2026, 6, 16, 9, tzinfo=UTC)), by=BY)
    invoice = close(account)
    assert lines(invoice) == [
        ("plan", "Starter plan, 1 Jun – 15 Jun 2026", Decimal("24.50")),
        ("plan", "Professional plan, 16 Jun – 30 Jun 2026", Decimal("99.50")),
    ]
    assert line(invoice, "conversations").included == 1000


def test_after_the_upgrade_1100_conversations_cost_100_at_the_new_rate():
    account = subscribed("starter")
    change_plan(account=account, plan=plan("professional"), clock=at(datetime(2026, 6, 16, 9, tzinfo=UTC)), by=BY)
    use("conversations", 1100, at=datetime(2026, 6, 20, tzinfo=UTC))
    assert line(close(account), "conversations").amount == Decimal("45.00")


@pytest.mark.parametrize(("used", "overage"), [(0, "0.00"), (30, "0.00"), (62, "11.88")])
def test_50_contracted_resolutions_are_charged_whatever_is_used(used, overage):
    account = subscribed("professional")
    set_contract(
        account=account,
        metric=metric(),
        quantity=Decimal(50),
        unit_price=Decimal("0.89"),
        overage_price=Decimal("0.99"),
        from_period=JUNE,
        by=BY,
    )
    use("ai_resolutions", used)
    invoice = close(account)
    assert line(invoice, "ai_resolutions", "contracted").amount == Decimal("44.50")
    assert line(invoice, "ai_resolutions").amount == Decimal(overage)


def test_seats_are_billed_by_the_day_and_their_ledger_quantity_is_seat_days():
    account = subscribed("professional")
    use("seats", 10, at=datetime(2026, 6, 1, tzinfo=UTC))
    use("seats", 40, at=datetime(2026, 6, 16, tzinfo=UTC))
    invoice = close(account)
    seats = line(invoice, "seats", "seats")
    assert seats.amount == Decimal("625.00")
    assert BilledUsage.objects.get(line=seats).quantity == 10 * 15 + 40 * 15


def test_seats_of_a_period_without_report_are_those_carried_in():
    account = subscribed("professional")
    use("seats", 4, at=datetime(2026, 6, 11, tzinfo=UTC))
    close(account)
    assert line(close(account, JULY), "seats", "seats").amount == Decimal("100.00")


def test_closing_again_gives_the_invoice_that_stands():
    account = subscribed("starter")
    first = close(account)
    again = close(account, now=datetime(2026, 7, 9, tzinfo=UTC))
    assert again == first
    assert Invoice.objects.count() == 1
    assert InvoiceDispatch.objects.count() == 1


def test_a_period_that_runs_is_not_closed():
    account = subscribed("starter")
    with pytest.raises(Conflict):
        close_period(account_id=account.pk, period=JUNE, clock=at(JULY - timedelta(microseconds=1)), by=BY)
    assert not Invoice.objects.exists()
    with pytest.raises(NotFound):
        close_period(account_id=account.pk, period=MID_JUNE, clock=at(AUGUST), by=BY)


def test_an_account_that_bought_nothing_gets_no_invoice():
    account = make_account()
    use("conversations", 10)
    assert close_period(account_id=account.pk, period=JUNE, clock=at(JULY), by=BY) is None
    assert close_account(account_id=account.pk, clock=at(SEPTEMBER), by=BY) == []


def test_an_account_with_only_a_contract_pays_the_contract():
    account = make_account()
    set_contract(
        account=account,
        metric=metric(),
        quantity=Decimal(10),
        unit_price=Decimal(1),
        overage_price=None,
        from_period=JULY,
        by=BY,
    )
    issued = close_account(account_id=account.pk, clock=at(SEPTEMBER + 2 * HOUR), by=BY)
    assert [(invoice.period, invoice.total) for invoice in issued] == [(JULY, 10), (AUGUST, 10)]


def test_the_days_tax_is_rounded_once_on_the_whole_and_a_reverse_charge_has_none():
    account = subscribed("starter")
    profile(account, tax_rate=Decimal("19.6"))
    invoice = close(account)
    assert invoice.tax == Decimal("9.60")
    assert invoice.frozen["tax_lines"] == [
        {"category": "S", "name": "VAT", "rate": "19.6", "base": "49.00", "amount": "9.60"}
    ]
    profile(account, reverse_charge=True)
    second = close(account, JULY)
    assert (second.tax, second.frozen["tax_lines"][0]["category"]) == (0, "AE")


def test_numbers_run_on_over_accounts_and_begin_anew_each_year_of_issue():
    first, second = subscribed(key="a", workspaces=("a1",)), subscribed(key="b", workspaces=("b1",))
    assert close(first).number == "2026-0001"
    assert close(second).number == "2026-0002"
    assert close(first, JULY, now=datetime(2027, 1, 1, 0, 30, tzinfo=UTC)).number == "2027-0001"
    assert NumberSeries.objects.get(year=2026).last_number == 2


def test_the_year_of_issue_is_the_accounts_own():
    account = subscribed(zone="Pacific/Auckland")
    start = account.periods.get().starts_at
    invoice = close(account, start, now=datetime(2026, 12, 31, 12, tzinfo=UTC))
    assert (invoice.issued_on, invoice.number) == (date(2027, 1, 1), "2027-0001")


def test_what_is_printed_is_frozen():
    account = subscribed("starter")
    profile(account, legal_name="Acme & Söhne GmbH", address="Hauptstr. 1\n\n2. OG", city="Bonn", payment_days=30)
    use("conversations", 3)
    invoice = close(account)
    Account.objects.update(name="Other")
    profile(account, legal_name="Other", payment_days=5)
    invoice.refresh_from_db()
    assert invoice.frozen["buyer"]["name"] == "Acme & Söhne GmbH"
    assert invoice.frozen["buyer"]["address_lines"] == ["Hauptstr. 1", "2. OG"]
    assert invoice.due_on == date(2026, 7, 31)
    assert invoice.frozen["chart"] == [
        {"name": "Conversations", "total": "3", "included": "250", "terms": "included", "days": [["2026-06-15", "3"]]}
    ]


def test_every_invoice_is_in_the_audit_trail_with_who_made_it():
    invoice = close(subscribed("starter"))
    entry = AuditEntry.objects.get(action="invoice.issued")
    assert (entry.subject, entry.actor_name, entry.after["total"]) == (invoice.number, BY.name, "49.00")


# --- The sweep ---


def test_the_sweep_waits_for_the_grace_and_catches_up_oldest_first():
    account = subscribed("starter")
    profile(account, grace_hours=12)
    assert close_due(clock=at(JULY + 11 * HOUR), by=BY).issued == 0
    assert close_due(clock=at(JULY + 12 * HOUR), by=BY).issued == 1
    assert close_due(clock=at(datetime(2026, 10, 2, tzinfo=UTC)), by=BY).issued == 3
    periods = Invoice.objects.order_by("sequence").values_list("period", flat=True)
    assert list(periods) == [JUNE, JULY, AUGUST, SEPTEMBER]


def test_the_sweep_opens_periods_that_nobody_needed_so_far():
    account = subscribed("starter")
    assert account.periods.count() == 1
    assert close_due(clock=at(SEPTEMBER + 2 * HOUR), by=BY).issued == 3


def test_the_sweep_leaves_sandbox_accounts_alone():
    subscribed("starter", is_sandbox=True)
    assert close_due(clock=at(SEPTEMBER), by=BY).issued == 0


def test_the_sweep_stops_at_an_accounts_end():
    account = subscribed("starter")
    Account.objects.update(ended_at=JULY)
    assert close_due(clock=at(SEPTEMBER), by=BY).issued == 1
    assert close_account(account_id=account.pk, clock=at(SEPTEMBER), by=BY) == []


def test_one_account_that_cannot_be_closed_does_not_stop_the_others(caplog):
    broken = subscribed(key="a", workspaces=("a1",))
    subscribed(key="b", workspaces=("b1",))
    # A rate that cannot be applied, as nobody could have stored it through the services.
    broken.terms.filter(metric__key="conversations").update(model="package", package_size=None)
    done = close_due(clock=at(JULY + HOUR), by=BY)
    assert (done.issued, done.failed) == (1, 1)
    assert Invoice.objects.get().account.key == "b"
    assert "could not be closed" in caplog.text


def test_many_accounts_are_closed_with_as_many_queries_as_a_few(django_assert_max_num_queries):
    for number in range(12):
        subscribed(key=f"a{number}", workspaces=(f"w{number}",))
        use("conversations", number, workspace_key=f"w{number}")
    with django_assert_max_num_queries(32):
        assert close_due(clock=at(JULY + HOUR), by=BY).issued == 12


def test_closing_now_waits_for_no_grace():
    account = subscribed("starter")
    assert close_account(account_id=account.pk, clock=at(JULY), by=BY) == []
    assert len(close_account(account_id=account.pk, clock=at(JULY), by=BY, wait=timedelta(0))) == 1


# --- Late and corrected units ---


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
