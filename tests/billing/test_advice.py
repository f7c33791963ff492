"""Advice: when another plan would be better (spec 5.12)."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from billing.models import Plan
from billing.selectors import advice_for, history_read
from billing.services.purchases import set_contract
from billing.services.subscriptions import start_subscription
from tests.factories import BY, make_account, metric, use
from usage.models import Account
from usage.selectors import current_period, last_periods

pytestmark = pytest.mark.django_db

MARCH = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 16, tzinfo=UTC)


def month(number: int, day: int = 15) -> datetime:
    return datetime(2026, number, day, tzinfo=UTC)


@pytest.fixture
def account() -> Account:
    made = make_account(started_on=date(2026, 3, 1))
    start_subscription(account=made, plan=Plan.objects.get(key="starter"), period=MARCH, by=BY)
    return made


def kinds(account: Account) -> list[str]:
    advice = advice_for(account=account, now=NOW)
    return [reason.kind for reason in advice.reasons] if advice else []


def test_without_a_reason_there_is_no_advice(account):
    use("conversations", 100, at=month(6))
    assert advice_for(account=account, now=NOW) is None


def test_80_percent_of_included_in_each_of_the_last_three_closed_periods_is_a_reason(account):
    for number in (3, 4, 5):
        use("conversations", 200, at=month(number))
    advice = advice_for(account=account, now=NOW)
    assert [(reason.kind, reason.metrics) for reason in advice.reasons] == [("near_included", ("Conversations",))]


def test_two_of_three_periods_are_none(account):
    use("conversations", 200, at=month(3))
    use("conversations", 199, at=month(4))
    use("conversations", 200, at=month(5))
    assert kinds(account) == []


def test_a_projection_above_included_is_a_reason(account):
    use("conversations", 125, at=month(6))
    assert kinds(account) == []
    use("conversations", 1, at=month(6))
    assert kinds(account) == ["projection_exceeds_included"]


def test_overage_above_the_price_difference_to_the_next_plan_is_a_reason(account):
    # 150 between Starter and Professional: 300 conversations above 250.
    use("conversations", 550, at=month(5))
    assert kinds(account) == []
    use("phone", 101, at=month(5))
    assert kinds(account) == ["overage_exceeds_difference"]


def test_it_compares_what_the_last_periods_cost_on_both_plans_and_both_rates(account):
    use("conversations", 1100, at=month(5))
    use("whatsapp", 1000, at=month(5))
    use("conversations", 500, at=month(6))
    advice = advice_for(account=account, now=NOW)
    assert (advice.plan.key, advice.next_plan.key) == ("starter", "professional")
    # What costs the same on both, as WhatsApp, is left out.
    assert [(each.period.starts_at.month, each.cost, each.next_cost, each.is_projected) for each in advice.periods] == [
        (3, Decimal("49.00"), Decimal("199.00"), False),
        (4, Decimal("49.00"), Decimal("199.00"), False),
        (5, Decimal("474.00"), Decimal("244.00"), False),
        (6, Decimal("424.00"), Decimal("199.00"), True),
    ]
    assert advice.saving == Decimal("225.00")
    assert [(each.before.key, each.before.unit_price, each.after.unit_price) for each in advice.rates] == [
        ("conversations", Decimal("0.50"), Decimal("0.45")),
        ("phone", Decimal("0.30"), Decimal("0.28")),
    ]
    assert len(advice.tips) == 4


def test_on_the_highest_plan_only_the_tips_are_left():
    account = make_account(started_on=date(2026, 3, 1))
    start_subscription(account=account, plan=Plan.objects.get(key="business"), period=MARCH, by=BY)
    use("phone", 1100, at=month(6))
    advice = advice_for(account=account, now=NOW)
    assert advice.next_plan is None
    assert advice.periods == ()
    assert advice.tips


def test_a_plan_that_is_not_offered_is_not_advised(account):
    Plan.objects.filter(key="professional").update(is_offered=False)
    use("conversations", 500, at=month(6))
    assert advice_for(account=account, now=NOW).next_plan.key == "business"


def test_without_a_plan_there_is_no_advice():
    assert advice_for(account=make_account(), now=NOW) is None


def test_history_shows_each_period_at_the_terms_in_force_then(account, django_assert_num_queries):
    set_contract(
        account=account, metric=metric(), quantity=Decimal(10), unit_price=Decimal("0.89"), overage_price=None,
        from_period=month(5, 1), by=BY,
    )  # fmt: skip
    use("ai_resolutions", 12, at=month(4))
    use("ai_resolutions", 12, at=month(5))
    periods = last_periods(account, until=current_period(account, NOW), count=3)
    with django_assert_num_queries(3):
        history = history_read(account=account, periods=periods, now=NOW).answer().charges
    key = metric().pk
    april, may, june = (history[period.starts_at][key] for period in periods)
    assert (april.terms.kind, april.overage_amount) == ("pay_as_you_go", Decimal("11.88"))
    assert (may.terms.kind, may.overage_amount, may.contracted_amount) == (
        "contracted",
        Decimal("1.98"),
        Decimal("8.90"),
    )
    assert june.pool_quantity == 0
