"""The price beside the number (spec 3.8) and the preview of a plan (spec 5.5)."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from billing.models import AddOn, PeriodTerms, Plan, Subscription
from billing.selectors import charges_so_far, cost_at, preview_change
from billing.services.purchases import add_add_on
from billing.services.subscriptions import change_plan
from tests.billing.books import JULY, JUNE, contract, subscribed
from tests.factories import BY, NOON, metric, use, workspace
from usage.models import Account

pytestmark = pytest.mark.django_db


def cost(account: Account, quantity: str, *, key: str = "ai_resolutions", at: str = "atlas"):
    return cost_at(account=account, metric=metric(key), workspace=workspace(at), quantity=Decimal(quantity), now=NOON)


def test_with_a_contract_it_is_the_additional_cost_above_it_with_the_others_at_their_usage_now():
    account = subscribed(workspaces=["atlas", "birch"])
    contract(account, 400)
    use("ai_resolutions", 296)
    use("ai_resolutions", 92, workspace_key="birch")
    found = cost(account, "500")
    # 500 in Atlas and 92 in Birch: 192 above 400; what Atlas used so far does not matter.
    assert found.additional == Decimal("190.08")
    assert found.amount == Decimal("190.08") + Decimal("356.00")
    assert [(each.key, quantity) for each, quantity in found.others] == [("birch", 92)]


def test_below_the_included_amount_nothing_is_added():
    account = subscribed(workspaces=["atlas", "birch"])
    use("conversations", 100, workspace_key="birch")
    assert cost(account, "150", key="conversations").additional == 0
    assert cost(account, "151", key="conversations").additional == Decimal("0.50")


def test_pay_as_you_go_costs_every_unit():
    found = cost(subscribed(), "100")
    assert found.amount == found.additional == Decimal("99.00")


def test_minutes_are_typed_and_priced_in_minutes():
    assert cost(subscribed(), "120.5", key="phone").additional == Decimal("6.15")


def test_unlimited_and_metrics_without_terms_cost_nothing():
    account = subscribed()
    assert cost(account, "100000", key="sms").amount == 0
    unknown = cost(account, "100000", key="messages_sent")
    assert (unknown.amount, unknown.terms) == (0, None)


def preview(account: Account, plan: str, now: datetime = NOON):
    return preview_change(account=account, plan=Plan.objects.get(key=plan), now=now)


def test_the_preview_of_an_upgrade_shows_the_lines_of_the_next_invoice_and_writes_nothing():
    account = subscribed()
    use("conversations", 275)
    add_add_on(account=account, add_on=AddOn.objects.get(), clock=lambda: NOON, by=BY)
    rows = PeriodTerms.objects.count()
    shown = preview(account, "professional", NOON + timedelta(days=1))
    assert (shown.kind, shown.takes_effect_at) == ("upgrade", NOON + timedelta(days=1))
    assert [(line.description, line.amount) for line in shown.lines if line.amount] == [
        ("Starter plan, 1 Jun – 15 Jun 2026", Decimal("24.50")),
        ("Professional plan, 16 Jun – 30 Jun 2026", Decimal("99.50")),
        ("Proactive Support Plus", Decimal("99.00")),
    ]
    assert shown.total == Decimal("223.00")
    # On Starter: 49 + 99 + 25 conversations above 250.
    assert shown.total_before == Decimal("160.50")
    assert (PeriodTerms.objects.count(), Subscription.objects.count()) == (rows, 1)


def test_after_the_click_the_charges_are_what_the_preview_said():
    account = subscribed()
    use("conversations", 1100)
    use("phone", 30)
    use("seats", 3)
    shown = preview(account, "professional")
    change_plan(account=account, plan=Plan.objects.get(key="professional"), clock=lambda: NOON, by=BY)
    charges = charges_so_far(account=account, period=JUNE, now=NOON)
    assert charges.lines == shown.lines
    assert charges.so_far == shown.total
    # 100 above the 1 000 included, at the lower rate, also those used before the upgrade.
    assert charges.total_overage == Decimal("45.00")


def test_the_preview_of_a_downgrade_shows_the_fixed_charges_of_the_next_period():
    account = subscribed("professional")
    contract(account, 50)
    use("conversations", 1100)
    shown = preview(account, "starter")
    assert (shown.kind, shown.takes_effect_at) == ("downgrade", JULY)
    assert [(line.description, line.amount) for line in shown.lines] == [
        ("Starter plan", Decimal("49.00")),
        ("AI Agent resolutions, contracted", Decimal("44.50")),
    ]
    assert shown.total_before - shown.total == Decimal("150.00")


def test_the_preview_compares_the_terms_of_both_plans():
    account = subscribed()
    before, after = next(
        pair for pair in preview(account, "professional").terms if pair[0].metric.key == "conversations"
    )
    assert (before.included, after.included) == (250, 1000)
    assert (before.unit_price, after.unit_price) == (Decimal("0.50"), Decimal("0.45"))
