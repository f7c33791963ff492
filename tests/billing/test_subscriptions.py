"""Plans: what begins at once and what waits for the next period (spec 5.5)."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from threading import Barrier

import pytest
from django.db import connection

from billing.errors import AlreadyHeld, CurrencyDiffers, IntervalDiffers, NoSubscription, NotABoundary
from billing.models import AddOn, Plan, Subscription
from billing.models.plans import PriceModel
from billing.selectors.terms import terms_for
from billing.services.purchases import add_add_on, end_add_on, set_contract
from billing.services.subscriptions import cancel, change_plan, move_to_version, start_subscription
from tests.billing.books import JULY, JUNE, plan, subscribed
from tests.factories import BY, NOON, make_account, metric
from usage.errors import AccountEnded, Conflict
from usage.models import Account, AuditEntry
from usage.services.periods import open_period

pytestmark = pytest.mark.django_db


def new_plan(key: str, like: str, *, rates: dict[str, dict] | None = None, **changes) -> Plan:
    """A plan as `like`, with changes; a rate given as None is left out."""
    model = plan(like)
    made = Plan.objects.create(
        **{"key": key, "name": key.title(), "currency": model.currency, "interval": model.interval}
        | {"price": model.price, "version": 1}
        | changes
    )
    for rate in model.rates.all():
        changed = (rates or {}).get(rate.metric.key, {})
        if changed is None:
            continue
        rate.pk, rate.plan = None, made
        for name, value in changed.items():
            setattr(rate, name, value)
        rate.save()
    return made


def change(account: Account, to: Plan | str, at: datetime = NOON) -> Subscription:
    target = plan(to) if isinstance(to, str) else to
    return change_plan(account=account, plan=target, clock=lambda: at, by=BY)


def included(account: Account, period: datetime, key: str = "conversations"):
    return terms_for(account=account, period_start=period)[metric(key).pk].included


def test_an_upgrade_holds_at_once_for_the_whole_period():
    account = subscribed("starter")
    changed = change(account, "professional")
    assert (changed.starts_on, changed.period) == (date(2026, 6, 15), JUNE)
    assert included(account, JUNE) == 1000


def test_a_downgrade_waits_for_the_next_period():
    account = subscribed("professional")
    changed = change(account, "starter")
    assert (changed.starts_on, changed.period) == (date(2026, 7, 1), JULY)
    assert included(account, JUNE) == 1000
    assert included(account, JULY) == 250


def test_the_last_edit_wins_and_the_plan_in_force_takes_a_scheduled_change_back():
    account = subscribed("business")
    change(account, "starter")
    change(account, "professional")
    assert included(account, JULY) == 1000
    change(account, "business")
    assert included(account, JULY) == 5000
    assert Subscription.objects.filter(account=account).count() == 1


def test_an_upgrade_replaces_a_scheduled_downgrade():
    account = subscribed("professional")
    change(account, "starter")
    change(account, "business")
    assert included(account, JUNE) == included(account, JULY) == 5000


def test_on_one_day_the_last_upgrade_wins():
    account = subscribed("starter")
    change(account, "professional")
    change(account, "business", at=NOON + timedelta(hours=2))
    rows = Subscription.objects.filter(account=account).values_list("plan__key", "starts_on")
    assert list(rows) == [("starter", date(2026, 6, 1)), ("business", date(2026, 6, 15))]


def test_the_day_of_a_change_is_the_accounts_local_day():
    account = make_account(zone="Asia/Tokyo")
    start = datetime(2026, 5, 31, 15, tzinfo=UTC)
    start_subscription(account=account, plan=plan("starter"), period=start, by=BY)
    changed = change(account, "professional", at=datetime(2026, 6, 15, 20, tzinfo=UTC))
    assert changed.starts_on == date(2026, 6, 16)


@pytest.mark.parametrize(
    ("why", "rates", "changes"),
    [
        ("a smaller included amount", {"conversations": {"included": Decimal(249)}}, {}),
        ("a higher rate", {"phone": {"unit_price": Decimal("0.31")}}, {}),
        ("no included amount any more", {"phone": {"included": None}}, {}),
        ("another price model", {"phone": {"model": PriceModel.PACKAGE, "package_size": Decimal(10)}}, {}),
        ("no longer unlimited", {"sms": {"is_unlimited": False, "unit_price": Decimal("0.01")}}, {}),
        ("a metric that is gone", {"whatsapp": None}, {}),
        ("a minimum", {"whatsapp": {"minimum": Decimal(5)}}, {}),
        ("the same price", {}, {"price": Decimal(49)}),
    ],
)
def test_a_dearer_plan_is_no_upgrade_with(why, rates, changes):
    account = subscribed("starter")
    other = new_plan("other", "starter", rates=rates, **{"price": Decimal(60)} | changes)
    assert change(account, other).period == JULY


@pytest.mark.parametrize(
    "rates",
    [
        {"conversations": {"included": Decimal(251)}},
        {"whatsapp": {"unit_price": Decimal("0.07")}},
        {"whatsapp": {"included": Decimal(10)}},
        {"whatsapp": {"is_unlimited": True}},
        {},
    ],
)
def test_a_dearer_plan_under_which_nothing_gets_worse_is_an_upgrade(rates):
    account = subscribed("starter")
    assert change(account, new_plan("other", "starter", rates=rates, price=Decimal(60))).period == JUNE


def test_a_metric_that_would_begin_to_cost_something_makes_a_downgrade():
    account = subscribed("starter")
    other = new_plan("other", "starter", price=Decimal(60))
    other.rates.create(metric=metric("messages_sent"), unit_price=Decimal("0.10"))
    assert change(account, other).period == JULY


def test_a_plan_of_another_interval_begins_with_the_next_period_and_brings_its_clock():
    account = subscribed("starter")
    yearly = new_plan("yearly", "professional", interval="year", price=Decimal(1990))
    assert change(account, yearly).period == JULY
    period = open_period(account_id=account.pk, at=JULY)
    assert (period.starts_at, period.ends_at) == (JULY, datetime(2027, 7, 1, tzinfo=UTC))


def test_taking_a_plan_of_another_interval_back_takes_its_clock_back():
    account = subscribed("starter")
    change(account, new_plan("yearly", "professional", interval="year", price=Decimal(1990)))
    change(account, "starter")
    assert open_period(account_id=account.pk, at=JULY).ends_at == datetime(2026, 8, 1, tzinfo=UTC)


def test_an_account_keeps_its_currency():
    account = subscribed("starter")
    with pytest.raises(CurrencyDiffers):
        change(account, new_plan("euro", "professional", currency="EUR", price=Decimal(500)))
    with pytest.raises(CurrencyDiffers):
        start_subscription(account=make_account("other", workspaces=["w"], currency="EUR"), plan=plan("starter"),
                           period=JUNE, by=BY)  # fmt: skip


def test_a_subscription_starts_once_on_a_boundary_with_a_plan_of_the_accounts_interval():
    account = make_account(interval="quarter")
    with pytest.raises(IntervalDiffers):
        start_subscription(account=account, plan=plan("starter"), period=JUNE, by=BY)
    monthly = make_account("monthly", workspaces=["monthly"])
    with pytest.raises(NotABoundary):
        start_subscription(account=monthly, plan=plan("starter"), period=NOON, by=BY)
    start_subscription(account=monthly, plan=plan("starter"), period=JUNE, by=BY)
    with pytest.raises(Conflict):
        start_subscription(account=monthly, plan=plan("starter"), period=JUNE, by=BY)


def test_a_subscription_keeps_its_version_until_it_is_moved_from_the_next_period_on():
    account = subscribed("starter")
    newer = new_plan("starter", "starter", version=2, price=Decimal(59), rates={"conversations": {"included": 300}})
    assert included(account, JULY) == 250
    moved = move_to_version(account=account, plan=newer, clock=lambda: NOON, by=BY)
    assert moved.period == JULY
    assert (included(account, JUNE), included(account, JULY)) == (250, 300)
    with pytest.raises(Conflict):
        move_to_version(account=account, plan=plan("business"), clock=lambda: NOON, by=BY)


def test_cancelling_ends_plan_and_account_with_the_period():
    account = subscribed("starter")
    assert cancel(account=account, clock=lambda: NOON, by=BY) == JULY
    account.refresh_from_db()
    assert account.ended_at == JULY
    with pytest.raises(AccountEnded):
        change(account, "starter", at=JULY)


def test_choosing_a_plan_takes_a_cancellation_back_with_add_ons_and_contracts():
    account = subscribed("starter")
    extra = AddOn.objects.get(key="proactive_support_plus")
    add_add_on(account=account, add_on=extra, clock=lambda: NOON, by=BY)
    cancel(account=account, clock=lambda: NOON, by=BY)
    change(account, "starter")
    account.refresh_from_db()
    assert account.ended_at is None
    assert included(account, JULY) == 250
    assert included(account, JULY, "messages_sent") == 500


def test_an_add_on_is_held_once_and_can_be_kept_before_it_ends():
    account = subscribed("starter")
    extra = AddOn.objects.get(key="proactive_support_plus")
    add_add_on(account=account, add_on=extra, clock=lambda: NOON, by=BY)
    with pytest.raises(AlreadyHeld):
        add_add_on(account=account, add_on=extra, clock=lambda: NOON, by=BY)
    end_add_on(account=account, add_on=extra, clock=lambda: NOON, by=BY)
    kept = add_add_on(account=account, add_on=extra, clock=lambda: NOON, by=BY)
    assert kept.from_period == JUNE
    assert included(account, JULY, "messages_sent") == 500


def test_without_a_subscription_there_is_nothing_to_change():
    account = make_account()
    for act in (lambda: change(account, "starter"), lambda: cancel(account=account, clock=lambda: NOON, by=BY)):
        with pytest.raises(NoSubscription):
            act()
    with pytest.raises(NoSubscription):
        end_add_on(account=account, add_on=AddOn.objects.get(), clock=lambda: NOON, by=BY)


def test_each_change_is_audited_with_before_and_after():
    account = subscribed("professional")
    change(account, "starter")
    change(account, "business")
    entry = AuditEntry.objects.filter(account=account, action="subscription.changed").first()
    assert entry.before == {"plan": "Professional", "scheduled": [{"plan": "Starter", "from": "2026-07-01"}]}
    assert entry.after == {"plan": "Business", "from": "2026-06-15"}


def test_a_contract_counts_in_the_comparison_of_plans():
    account = subscribed("starter")
    set_contract(
        account=account,
        metric=metric("phone"),
        quantity=Decimal(900),
        unit_price=Decimal("0.20"),
        overage_price=Decimal("0.25"),
        from_period=JUNE,
        by=BY,
    )
    # The plan's own phone rate is dearer, but the contract names the metric.
    other = new_plan("other", "starter", price=Decimal(60), rates={"phone": {"unit_price": Decimal(9)}})
    assert change(account, other).period == JUNE


@pytest.mark.django_db(transaction=True)
def test_two_who_upgrade_at_the_same_moment_are_taken_one_after_the_other():
    account = subscribed("starter")
    together = Barrier(2)

    def choose(key: str) -> None:
        together.wait()
        try:
            change(Account.objects.get(pk=account.pk), key)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(choose, ["professional", "business"]))
    # Whoever came second: from Business to Professional is a downgrade and waits.
    assert included(account, JUNE) == 5000
    assert list(Subscription.objects.filter(period=JUNE).values_list("plan__key", flat=True)) == ["starter", "business"]
