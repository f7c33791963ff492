"""Closing a period: what is on the invoice, when it is issued, and that it is issued once (spec 5.6, 5.7, 5.10)."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from billing.models import BilledUsage, Invoice, InvoiceDispatch, NumberSeries
from billing.services.closing import close_account, close_due, close_period
from billing.services.purchases import set_contract
from billing.services.subscriptions import change_plan
from tests.billing.books import (
    AUGUST,
    HOUR,
    JULY,
    JUNE,
    MID_JUNE,
    SEPTEMBER,
    at,
    close,
    contract,
    line,
    lines,
    plan,
    profile,
    subscribed,
    unbilled,
)
from tests.factories import BY, make_account, metric, use
from usage.errors import Conflict, NotFound
from usage.models import Account, AuditEntry

pytestmark = pytest.mark.django_db


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
    contract(account, 50, overage_price=Decimal("0.99"))
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
