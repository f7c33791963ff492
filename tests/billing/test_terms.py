"""Terms in force: dated rows that follow from what was bought (spec 5.3)."""

import contextlib
import random
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from billing.errors import NotABoundary, PeriodBilled
from billing.models import AddOn, Invoice, PeriodTerms, Rate
from billing.selectors.holdings import holdings_of, same_terms
from billing.selectors.terms import terms_for
from billing.services.purchases import add_add_on, end_add_on, end_contract
from billing.services.subscriptions import cancel, change_plan
from billing.signals import terms_changed
from tests.billing.books import AUGUST, JULY, JUNE, contract, plan, subscribed
from tests.factories import BY, NOON, make_account, metric, use
from usage.errors import Conflict
from usage.models import AuditEntry, UsageTotal

pytestmark = pytest.mark.django_db


def add_on() -> AddOn:
    return AddOn.objects.get(key="proactive_support_plus")


def terms(account, period, key):
    return terms_for(account=account, period_start=period).get(metric(key).pk)


def bill(account, period):
    return Invoice.objects.create(
        account=account,
        document_type="invoice",
        issuer="acme",
        year=2026,
        sequence=1,
        number="2026-0001",
        period=period,
        period_ends_at=period,
        issued_at=NOON,
        issued_on=date(2026, 7, 1),
        due_on=date(2026, 7, 15),
        cut_at=NOON,
        currency="USD",
        subtotal=0,
        tax=0,
        total=0,
        frozen={},
    )


def test_a_plan_gives_each_of_its_metrics_terms_from_the_first_period_on():
    account = subscribed("starter")
    conversations = terms(account, JUNE, "conversations")
    assert (conversations.kind, conversations.included, conversations.unit_price) == ("included", 250, Decimal("0.50"))
    assert terms(account, JUNE, "ai_resolutions").kind == "pay_as_you_go"
    assert terms(account, JUNE, "sms").kind == "unlimited"
    assert terms(account, JUNE, "messages_sent") is None


def test_the_terms_of_a_period_that_does_not_exist_yet_can_be_read(django_assert_num_queries):
    account = subscribed("starter")
    with django_assert_num_queries(1):
        found = terms_for(account=account, period_start=datetime(2029, 6, 1, tzinfo=UTC))
    assert found[metric("phone").pk].included == 100


def test_an_add_on_adds_its_amount_to_the_plans():
    account = subscribed("starter")
    extra = add_on()
    extra.rates.create(metric=metric("conversations"), included=Decimal(50), unit_price=Decimal(9))
    add_add_on(account=account, add_on=extra, clock=lambda: NOON, by=BY)
    conversations = terms(account, JUNE, "conversations")
    assert (conversations.included, conversations.unit_price) == (300, Decimal("0.50"))
    messages = terms(account, JUNE, "messages_sent")
    assert (messages.included, messages.unit_price) == (500, Decimal("0.10"))


def test_an_add_on_ends_at_a_boundary_and_its_metric_loses_its_terms_there():
    account = subscribed("starter")
    add_add_on(account=account, add_on=add_on(), clock=lambda: NOON, by=BY)
    end_add_on(account=account, add_on=add_on(), clock=lambda: NOON, by=BY)
    assert terms(account, JUNE, "messages_sent").included == 500
    assert terms(account, JULY, "messages_sent") is None
    assert not PeriodTerms.objects.get(account=account, metric=metric("messages_sent"), from_period=JULY).is_active


def test_a_contract_replaces_the_plans_amount_and_keeps_its_rate():
    account = subscribed("starter")
    contract(account, 50)
    found = terms(account, JUNE, "ai_resolutions")
    assert found.kind == "contracted"
    assert (found.included, found.contracted, found.contracted_price) == (50, 50, Decimal("0.89"))
    assert found.unit_price == Decimal("0.99")


def test_a_contract_may_name_its_own_price_above():
    account = subscribed("starter")
    contract(account, 50, overage_price=Decimal("1.05"))
    assert terms(account, JUNE, "ai_resolutions").unit_price == Decimal("1.05")


def test_a_unit_above_a_contract_costs_the_contracted_price_when_nothing_else_was_agreed():
    account = make_account()
    contract(account, 50)
    assert terms(account, JUNE, "ai_resolutions").unit_price == Decimal("0.89")


def test_a_contract_begins_and_ends_on_period_boundaries():
    account = subscribed("starter")
    contract(account, 50, from_period=JULY, until_period=AUGUST)
    assert terms(account, JUNE, "ai_resolutions").kind == "pay_as_you_go"
    assert terms(account, JULY, "ai_resolutions").kind == "contracted"
    assert terms(account, AUGUST, "ai_resolutions").kind == "pay_as_you_go"
    for options in ({"from_period": NOON}, {"from_period": JULY, "until_period": datetime(2026, 8, 2, tzinfo=UTC)}):
        with pytest.raises(NotABoundary):
            contract(account, 50, **options)


def test_the_last_contract_for_a_metric_wins():
    account = subscribed("starter")
    contract(account, 50)
    contract(account, 80, from_period=JULY)
    contract(account, 70, from_period=JULY)
    assert terms(account, JUNE, "ai_resolutions").contracted == 50
    assert terms(account, JULY, "ai_resolutions").contracted == 70
    end_contract(account=account, metric=metric("ai_resolutions"), until_period=JULY, by=BY)
    assert terms(account, JUNE, "ai_resolutions").contracted == 50
    assert terms(account, JULY, "ai_resolutions").kind == "pay_as_you_go"


def test_only_metrics_whose_terms_change_get_a_row():
    account = subscribed("starter")
    contract(account, 50, from_period=JULY)
    rows = PeriodTerms.objects.filter(account=account, from_period=JULY)
    assert [row.metric.key for row in rows] == ["ai_resolutions"]


def test_terms_scheduled_for_later_survive_a_change_before_them():
    account = subscribed("starter")
    contract(account, 50, from_period=AUGUST)
    change_plan(account=account, plan=plan("professional"), clock=lambda: NOON, by=BY)
    assert terms(account, JUNE, "conversations").included == 1000
    assert terms(account, JULY, "ai_resolutions").kind == "pay_as_you_go"
    assert terms(account, AUGUST, "ai_resolutions").kind == "contracted"


def test_the_terms_of_a_billed_period_never_change():
    account = subscribed("starter")
    bill(account, JUNE)
    with pytest.raises(PeriodBilled):
        change_plan(account=account, plan=plan("professional"), clock=lambda: NOON, by=BY)
    with pytest.raises(PeriodBilled):
        contract(account, 50)
    assert terms(account, JUNE, "conversations").included == 250


def test_after_a_cancellation_there_are_no_terms():
    account = subscribed("starter")
    contract(account, 50)
    cancel(account=account, clock=lambda: NOON, by=BY)
    assert terms_for(account=account, period_start=JUNE)
    assert terms_for(account=account, period_start=JULY) == {}


def test_whoever_listens_hears_of_changed_terms_once_and_not_when_nothing_changed():
    account = subscribed("professional")
    heard = []

    def listen(*, account_id, from_period, **_):
        heard.append((account_id, from_period))

    terms_changed.connect(listen)
    try:
        contract(account, 50, from_period=JULY)
        contract(account, 50, from_period=JULY)
    finally:
        terms_changed.disconnect(listen)
    assert heard == [(account.pk, JULY)]


def test_the_audit_trail_says_which_terms_came_from_whom():
    account = subscribed("starter")
    contract(account, 50)
    entry = AuditEntry.objects.filter(account=account, action="terms.changed").first()
    assert entry.actor_name == BY.name
    assert [row["metric"] for row in entry.after] == ["ai_resolutions"]
    assert entry.before[0].get("included") is None


def test_whoever_changes_terms_has_the_levels_of_the_totals_concerned_computed_anew():
    account = subscribed("starter")
    use("ai_resolutions", 1)
    use("conversations", 1)
    UsageTotal.objects.update(next_level=None)
    contract(account, 50)
    levels = {total.metric.key: total.next_level for total in UsageTotal.objects.select_related("metric")}
    assert levels == {"ai_resolutions": 0, "conversations": None}


@pytest.mark.parametrize("seed", range(12))
def test_after_any_history_the_terms_of_each_period_are_what_is_held_in_it_and_no_row_repeats_the_one_before(seed):
    chance = random.Random(seed)
    account = subscribed("professional")
    extra = add_on()
    boundaries = [JUNE, JULY, AUGUST, datetime(2026, 9, 1, tzinfo=UTC)]

    def agree():
        start = chance.randrange(3)
        contract(
            account,
            chance.randint(1, 900),
            from_period=boundaries[start],
            until_period=chance.choice([None, boundaries[3]]),
            overage_price=chance.choice([None, Decimal(2)]),
        )

    acts = [
        agree,
        lambda: change_plan(
            account=account, plan=plan(chance.choice(["starter", "business"])), clock=lambda: NOON, by=BY
        ),
        lambda: add_add_on(account=account, add_on=extra, clock=lambda: NOON, by=BY),
        lambda: end_add_on(account=account, add_on=extra, clock=lambda: NOON, by=BY),
        lambda: end_contract(
            account=account, metric=metric("ai_resolutions"), until_period=chance.choice(boundaries), by=BY
        ),
        lambda: cancel(account=account, clock=lambda: NOON, by=BY),
    ]
    for _ in range(8):
        with contextlib.suppress(Conflict):  # held already, or not at all
            chance.choice(acts)()
    holdings = holdings_of(account)
    for boundary in boundaries:
        found, wanted = terms_for(account=account, period_start=boundary), holdings.terms_in(boundary)
        assert found.keys() == wanted.keys()
        assert all(same_terms(found[key], wanted[key]) for key in found)
    last = {}
    for row in PeriodTerms.objects.filter(account=account).order_by("metric_id", "from_period"):
        assert not same_terms(last.get(row.metric_id), row)
        last[row.metric_id] = row


@pytest.mark.parametrize(
    ("field", "rate"),
    [
        ("unit_price", {}),
        ("tiers", {"model": "graduated"}),
        ("tiers", {"model": "volume", "tiers": [{"up_to": "many"}]}),
        ("tiers", {"model": "volume", "tiers": ["100"]}),
        ("tiers", {"model": "volume", "tiers": [{"up_to": None, "colour": "1"}]}),
        ("package_size", {"model": "package", "unit_price": Decimal(1)}),
        ("maximum", {"unit_price": Decimal(1), "maximum": Decimal(-1)}),
    ],
)
def test_a_rate_that_cannot_be_applied_is_refused_where_it_is_typed(field, rate):
    typed = Rate(plan=plan("starter"), metric=metric("messages_sent"), **rate)
    with pytest.raises(ValidationError) as refused:
        typed.full_clean()
    assert field in refused.value.message_dict
