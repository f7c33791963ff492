"""Charges: one arithmetic for page, API, preview and invoice (spec 2.11, 5.2-5.5)."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from billing.charges import (
    AddOnPrice,
    Charges,
    MetricTerms,
    MetricUse,
    account_charges,
)
from billing.pricing import Rate
from billing.proration import PlanChange, PlanPart, plan_parts

JUNE = [date(2026, 6, 1) + timedelta(days=n) for n in range(30)]


def included(key: str, amount: int, unit_price: str, *, metric_id: int = 1, unit_size: int = 1) -> MetricTerms:
    rate = Rate("per_unit", Decimal(unit_price), Decimal(amount), unit_size=unit_size)
    return MetricTerms(metric_id, key, key.title(), "included", rate, Decimal(amount), unit_size=unit_size)


def pay_as_you_go(key: str, unit_price: str, *, metric_id: int) -> MetricTerms:
    return MetricTerms(metric_id, key, key.title(), "pay_as_you_go", Rate("per_unit", Decimal(unit_price)))


def contracted(amount: int, *, price: str, overage: str, metric_id: int) -> MetricTerms:
    return MetricTerms(
        metric_id,
        "ai_resolutions",
        "AI Agent resolutions",
        "contracted",
        Rate("per_unit", Decimal(overage), Decimal(amount)),
        Decimal(amount),
        contracted_price=Decimal(price),
    )


def seats(*, metric_id: int = 9, price: str = "25") -> MetricTerms:
    return MetricTerms(
        metric_id, "seats", "Seats", "pay_as_you_go", Rate("per_unit", Decimal(price)), is_level=True, position=90
    )


def whole(name: str, price: str, days: list[date] = JUNE) -> PlanPart:
    return PlanPart(name, Decimal(price), len(days), days[0], days[-1])


def charge(*uses: MetricUse, used: str = "15", parts: list[PlanPart] | None = None, **options) -> Charges:
    return account_charges(
        currency=options.get("currency", "USD"),
        days_in_period=30,
        parts=[whole("Starter", "49")] if parts is None else parts,
        add_ons=options.get("add_ons", ()),
        uses=uses,
        days_used=Decimal(used),
        length=Decimal(30),
    )


STARTER = [
    MetricUse(included("conversations", 250, "0.50"), {1: Decimal(275)}),
    MetricUse(included("phone", 100, "0.30", metric_id=2, unit_size=60), {1: Decimal(120 * 60)}),
]


def test_starter_with_275_conversations_and_120_minutes_has_an_overage_of_18_50():
    charges = charge(*STARTER)
    assert charges.total_overage == Decimal("18.50")
    assert charges.metrics[1].overage_quantity == 25
    assert charges.metrics[1].overage_amount == Decimal("12.50")
    assert charges.metrics[2].overage_quantity == 20
    assert charges.metrics[2].overage_amount == Decimal("6.00")
    assert charges.so_far == Decimal("67.50")


def test_the_included_amount_is_shared_by_the_workspaces_and_taken_off_once():
    use = MetricUse(included("conversations", 250, "0.50"), {1: Decimal(200), 2: Decimal(75)})
    charges = charge(use)
    line = charges.lines[-1]
    assert charges.total_overage == Decimal("12.50")
    assert line.quantity == 275
    assert dict(line.workspaces) == {1: Decimal(200), 2: Decimal(75)}


def test_the_projection_is_usage_over_days_used_times_days_in_the_period():
    charges = charge(*STARTER, used="15")
    assert charges.metrics[1].projected_quantity == 550
    assert charges.metrics[1].projected_amount == Decimal("150.00")
    assert charges.metrics[2].projected_amount == Decimal("42.00")
    assert charges.projected_total == Decimal("49") + Decimal("192.00")


def test_before_24_hours_there_is_no_projection():
    charges = charge(*STARTER, used="0.999")
    assert charges.projected_total is None
    assert charges.projected_overage is None
    assert charges.metrics[1].projected_quantity is None
    assert charges.so_far == Decimal("67.50")


def test_an_account_without_metrics_has_its_plan_as_projected_total():
    assert charge().projected_total == Decimal("49.00")


def test_a_contracted_amount_is_charged_whether_it_is_used_or_not():
    terms = contracted(50, price="0.89", overage="0.99", metric_id=3)
    unused = charge(MetricUse(terms, {1: Decimal(30)}))
    assert unused.fixed == Decimal("49.00") + Decimal("44.50")
    assert unused.total_overage == 0
    above = charge(MetricUse(terms, {1: Decimal(62)}))
    assert above.fixed == unused.fixed
    assert above.total_overage == Decimal("11.88")
    assert above.metrics[3].contracted_amount == Decimal("44.50")


def test_pay_as_you_go_charges_every_unit_and_counts_as_overage():
    charges = charge(MetricUse(pay_as_you_go("ai_resolutions", "0.99", metric_id=4), {1: Decimal(7)}))
    assert charges.metrics[4].overage_quantity == 7
    assert charges.metrics[4].overage_amount == Decimal("6.93")
    assert charges.total_overage == Decimal("6.93")
    assert charges.lines[-1].included is None


def test_unlimited_costs_nothing_but_has_its_line():
    terms = MetricTerms(5, "sms", "SMS", "unlimited", None)
    charges = charge(MetricUse(terms, {1: Decimal(18416)}))
    assert charges.total_overage == 0
    assert charges.metrics[5].overage_quantity == 0
    assert charges.lines[-1].quantity == 18416
    assert charges.lines[-1].amount == Decimal("0.00")


def test_seats_are_fixed_charges_by_the_day_and_no_overage():
    days = [Decimal(8)] * 12 + [Decimal(9)] * 18
    charges = charge(MetricUse(seats(), {1: Decimal(9)}, days={1: days}))
    # (8 x 12 + 9 x 18) / 30 x 25
    assert charges.metrics[9].overage_amount == Decimal("215.00")
    assert charges.total_overage == 0
    assert charges.fixed == Decimal("49.00") + Decimal("215.00")
    line = charges.lines[-1]
    assert line.ledger == ((1, Decimal(258)),)
    assert line.quantity == Decimal("8.6")
    assert line.detail["runs"] == [{"seats": "8", "days": 12}, {"seats": "9", "days": 18}]


def test_seats_of_several_workspaces_are_added_day_by_day():
    days = {1: [Decimal(3)] * 30, 2: [Decimal(0)] * 15 + [Decimal(2)] * 15}
    charges = charge(MetricUse(seats(), {1: Decimal(3), 2: Decimal(2)}, days=days))
    assert charges.metrics[9].overage_amount == Decimal("100.00")


def test_add_ons_are_charged_in_full():
    charges = charge(add_ons=[AddOnPrice("plus", "Plus", Decimal(99))])
    assert charges.fixed == Decimal("148.00")


def test_amounts_have_the_decimals_of_the_currency():
    yen = charge(*STARTER, currency="JPY")
    assert str(yen.total_overage) == "19"  # 12.5 -> 13, 6 -> 6: each line is rounded once
    assert str(charge(*STARTER, currency="KWD").total_overage) == "18.500"


def test_the_day_of_a_change_belongs_to_the_new_plan():
    starter = PlanChange(JUNE[0], 1, "Starter", Decimal(49))
    professional = PlanChange(JUNE[15], 2, "Professional", Decimal(199))
    parts = plan_parts(days=JUNE, before=starter, changes=[professional])
    assert [(part.name, part.days) for part in parts] == [("Starter", 15), ("Professional", 15)]
    charges = charge(parts=parts)
    assert [line.amount for line in charges.lines] == [Decimal("24.50"), Decimal("99.50")]
    assert charges.lines[0].description == "Starter plan, 1 Jun – 15 Jun 2026"


def test_on_one_day_the_last_change_wins():
    changes = [PlanChange(JUNE[3], 2, "Professional", Decimal(199)), PlanChange(JUNE[3], 3, "Business", Decimal(799))]
    parts = plan_parts(days=JUNE, before=PlanChange(JUNE[0], 1, "Starter", Decimal(49)), changes=changes)
    assert [(part.name, part.days) for part in parts] == [("Starter", 3), ("Business", 27)]


def test_days_without_a_plan_cost_nothing():
    parts = plan_parts(days=JUNE, before=None, changes=[PlanChange(JUNE[20], 1, "Starter", Decimal(49))])
    lines = charge(parts=parts).lines
    assert [(line.description, line.amount) for line in lines] == [
        ("Starter plan, 21 Jun – 30 Jun 2026", Decimal("16.33"))
    ]


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 29), st.decimals("0", "5000", places=2)), max_size=6, unique_by=lambda pair: pair[0]
    ),
    base=st.decimals("0", "5000", places=2),
)
def test_the_parts_of_a_plan_add_up_to_the_rounded_exact_sum(changes, base):
    ordered = sorted(changes)
    parts = plan_parts(
        days=JUNE,
        before=PlanChange(JUNE[0], 0, "Base", base),
        changes=[PlanChange(JUNE[day], number + 1, "Next", price) for number, (day, price) in enumerate(ordered)],
    )
    per_day = []
    price = base
    for number in range(30):
        price = dict(ordered).get(number, price)
        per_day.append(Fraction(price))
    exact = sum(per_day) / 30
    cents = (exact * 200 + 1) // 2
    assert sum(line.amount for line in charge(parts=parts).lines) == Decimal(int(cents)) / 100
    assert sum(part.days for part in parts) == 30


@given(
    quantities=st.lists(st.integers(0, 10**9), min_size=1, max_size=4),
    amount=st.integers(0, 10**6),
    price=st.decimals("0", "100", places=4),
    used=st.decimals("1", "30", places=3),
)
def test_so_far_is_the_sum_of_the_lines_and_a_projection_never_falls_below_it(quantities, amount, price, used):
    terms = included("conversations", amount, str(price))
    charges = charge(MetricUse(terms, {n: Decimal(q) for n, q in enumerate(quantities)}), used=str(used))
    assert charges.so_far == sum(line.amount for line in charges.lines) == charges.fixed + charges.total_overage
    assert charges.projected_total is not None
    assert charges.projected_total >= charges.so_far
