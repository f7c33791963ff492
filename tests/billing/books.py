"""Accounts with plans and usage, closed by the real services: what the tests of invoices begin with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from billing.models import AddOn, BilledUsage, BillingProfile, Invoice, InvoiceLine, Plan
from billing.selectors.explain import all_events_behind, explanation_of, quantities_behind
from billing.services.closing import close_period
from billing.services.purchases import set_contract
from billing.services.subscriptions import start_subscription
from tests.factories import BY, make_account, metric
from usage.clocks import Clock
from usage.models import Account, UsageTotal

JUNE = datetime(2026, 6, 1, tzinfo=UTC)
MID_JUNE = datetime(2026, 6, 15, 12, tzinfo=UTC)
JULY = datetime(2026, 7, 1, tzinfo=UTC)
AUGUST = datetime(2026, 8, 1, tzinfo=UTC)
SEPTEMBER = datetime(2026, 9, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def plan(key: str) -> Plan:
    return Plan.objects.filter(key=key).latest("version")


def at(moment: datetime) -> Clock:
    """A clock that stands at `moment`."""
    return lambda: moment


def subscribed(plan_key: str = "starter", /, *, add_ons: tuple[str, ...] = (), **options: Any) -> Account:
    """An account with that plan from its first period on."""
    account = make_account(**options)
    period = account.periods.earliest("starts_at").starts_at
    start_subscription(
        account=account, plan=plan(plan_key), period=period, add_ons=list(AddOn.objects.filter(key__in=add_ons)), by=BY
    )
    return account


def contract(
    account: Account,
    quantity: int,
    *,
    from_period: datetime = JUNE,
    until_period: datetime | None = None,
    overage_price: Decimal | None = None,
) -> None:
    """So many AI resolutions contracted at $0.89, above it at the plan's price if no other is named."""
    set_contract(
        account=account,
        metric=metric(),
        quantity=Decimal(quantity),
        unit_price=Decimal("0.89"),
        overage_price=overage_price,
        from_period=from_period,
        until_period=until_period,
        by=BY,
    )


def profile(account: Account, **fields: Any) -> BillingProfile:
    return BillingProfile.objects.update_or_create(account=account, defaults=fields)[0]


def close(account: Account, period: datetime = JUNE, *, now: datetime | None = None) -> Invoice:
    """The invoice of a period, closed an hour after the end of a month."""
    moment = now or (period + timedelta(days=32)).replace(day=1) + HOUR
    invoice = close_period(account_id=account.pk, period=period, clock=at(moment), by=BY)
    assert invoice is not None
    return Invoice.objects.get(pk=invoice.pk)


def line(invoice: Invoice, metric_key: str, kind: str = "usage") -> InvoiceLine:
    return invoice.lines.get(metric__key=metric_key, kind=kind)


def lines(invoice: Invoice) -> list[tuple[str, str, Decimal]]:
    """(kind, description, amount) of the lines that cost or give something."""
    return [(row.kind, row.description, row.amount) for row in invoice.lines.all() if row.amount]


def unbilled(account: Account) -> dict[tuple[str, str, datetime], Decimal]:
    """total − Σ billed by (workspace, metric, period), where it is not 0."""
    left: dict[tuple[str, str, datetime], Decimal] = {}
    for total in UsageTotal.objects.filter(account=account).select_related("workspace", "metric"):
        key = (total.workspace.key, total.metric.key, total.period)
        left[key] = left.get(key, Decimal(0)) + total.quantity
    for row in BilledUsage.objects.filter(account=account).select_related("workspace", "metric"):
        if row.metric.kind == "level":
            continue
        key = (row.workspace.key, row.metric.key, row.period)
        left[key] = left.get(key, Decimal(0)) - row.quantity
    return {key: quantity for key, quantity in left.items() if quantity}


def assert_every_line_adds_up() -> None:
    """Of every document: what the events behind a line come to is what its ledger bills."""
    told = 0
    for row in InvoiceLine.objects.select_related("invoice", "metric", "account"):
        explanation = explanation_of(row)
        if explanation is None:
            assert not row.billed.exists()
            continue
        told += 1
        assert quantities_behind(explanation) == dict(explanation.ledger), row
        if not explanation.is_level:
            sums: dict[int, Decimal] = {}
            sign = 1 if explanation.asked == explanation.line else -1
            for each in all_events_behind(explanation):
                sums[each.workspace_id] = sums.get(each.workspace_id, Decimal(0)) + sign * each.quantity
            assert {key: quantity for key, quantity in sums.items() if quantity} == dict(explanation.ledger)
    assert told


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
