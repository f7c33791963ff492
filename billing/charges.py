"""What an account owes for a period, line by line (spec 5.2-5.5, 2.11). Pure: no Django, no clock, no database.

One function makes the lines, `charge_lines`. The billing page, the API, the preview of an upgrade and the invoice all
call it, so they cannot disagree; they differ only in the quantities that they hand in (usage now, or usage at the
cut).

Quantities come in stored units, lines carry display units. Every amount is rounded once, half-up, to the currency's
minor unit, where its line is made; sums are sums of lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from billing.money import round_money
from billing.pricing import Rate, price
from billing.proration import PlanPart, seat_charge, split
from usage.formats import date_span
from usage.projection import project
from usage.rounding import EXACT, plain, shown_quantity

PLAN: Final = "plan"
ADD_ON: Final = "add_on"
CONTRACTED: Final = "contracted"
SEATS: Final = "seats"
USAGE: Final = "usage"

INCLUDED: Final = "included"
PAY_AS_YOU_GO: Final = "pay_as_you_go"
UNLIMITED: Final = "unlimited"

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class MetricTerms:
    """The terms of a metric in a period as a plain value. `included` (display units) is the contracted amount when
    `kind` is "contracted", and None for "pay_as_you_go" and "unlimited". `rate` is None when nothing is ever charged.
    """

    metric_id: int
    key: str
    name: str
    kind: str
    rate: Rate | None
    included: Decimal | None = None
    contracted_price: Decimal | None = None
    unit: str = "units"
    unit_singular: str = "unit"
    unit_size: int = 1
    is_level: bool = False
    position: int = 0

    @property
    def unit_price(self) -> Decimal | None:
        """What one unit above included costs, in the account's currency; None unless the price is per unit."""
        if self.rate is None or self.rate.model != "per_unit" or self.rate.unit_price is None:
            return None
        return Decimal(self.rate.unit_price)

    def amount(self, quantity: Decimal, currency: str) -> Decimal:
        """The charge for the pool's `quantity` (stored units) above what is included, rounded once (spec 5.2, 5.11).

        The contracted amount itself is a line of its own. Not for levels (`seats_amount`).
        """
        return round_money(ZERO if self.rate is None else price(quantity=quantity, rate=self.rate), currency)

    def contracted_amount(self, currency: str) -> Decimal:
        """What the contract charges whether it is used or not, rounded once (spec 5.3); 0 without a contract."""
        if self.contracted_price is None or self.included is None:
            return round_money(0, currency)
        return round_money(self.included * self.contracted_price, currency)

    def seats_amount(self, days: Sequence[Decimal], days_in_period: int, currency: str) -> Decimal:
        """The charge for a level held on `days`: seats above included / days in period x price, rounded once (spec
        5.4)."""
        included = self.included or ZERO
        above = [max(ZERO, seats - included) for seats in days]
        return round_money(
            seat_charge(days=above, price=self.unit_price or ZERO, days_in_period=days_in_period), currency
        )


@dataclass(frozen=True, slots=True)
class AddOnPrice:
    """An add-on of the period, at full price (spec 5.3)."""

    key: str
    name: str
    price: Decimal


@dataclass(frozen=True, slots=True)
class MetricUse:
    """What the workspaces of an account used of a metric, by workspace id.

    `quantities` in stored units. For levels they are the seats now, and `days` holds the seats of each local day of the
    period; days not given count nothing.
    """

    terms: MetricTerms
    quantities: Mapping[int, Decimal]
    days: Mapping[int, Sequence[Decimal]] = field(default_factory=dict)

    @property
    def pool(self) -> Decimal:
        """All workspaces together, stored units (spec 2.9)."""
        return sum(self.quantities.values(), start=ZERO)

    @property
    def pool_days(self) -> list[Decimal]:
        """Levels: all workspaces together, day by day."""
        length = max((len(days) for days in self.days.values()), default=0)
        padded = ([*days, *[ZERO] * (length - len(days))] for days in self.days.values())
        return [sum(day, start=ZERO) for day in zip(*padded, strict=True)]


@dataclass(frozen=True, slots=True)
class ChargeLine:
    """A line as an invoice prints it. Quantities in display units, `amount` rounded to the account's currency.

    `workspaces` are (id, quantity) of those with usage, in display units (seats: seat-days), `ledger` the same in
    stored units: what the line bills of each workspace. `unit_price` is None unless the price is per unit.
    """

    kind: str
    description: str
    amount: Decimal
    metric_id: int | None = None
    quantity: Decimal | None = None
    included: Decimal | None = None
    overage: Decimal | None = None
    unit_price: Decimal | None = None
    workspaces: tuple[tuple[int, Decimal], ...] = ()
    ledger: tuple[tuple[int, Decimal], ...] = ()
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MetricCharge:
    """What a metric costs the account. Pool quantities in display units; amounts in the account's currency.

    `overage_amount` leaves the contracted amount out, which is fixed; for pay-as-you-go it is the whole charge, for
    levels the seats' charge. `projected_*` are None before 24 hours and for levels (spec 2.11). `pool` and `projected`
    are the same quantities in stored units, not rounded.
    """

    terms: MetricTerms
    pool: Decimal
    pool_quantity: Decimal
    overage_quantity: Decimal
    overage_amount: Decimal
    contracted_amount: Decimal
    projected: Decimal | None
    projected_quantity: Decimal | None
    projected_amount: Decimal | None


@dataclass(frozen=True, slots=True)
class Charges:
    """An account's charges of a period: `so_far` = `fixed` (plan, add-ons, contracted amounts, seats) +
    `total_overage`.

    `total_overage` is the sum over metrics without seats and fixed charges (spec 10.5); `projected_total` = `fixed` +
    the overage at this pace, None before 24 hours (spec 2.11).
    """

    currency: str
    lines: tuple[ChargeLine, ...]
    metrics: Mapping[int, MetricCharge]
    fixed: Decimal
    total_overage: Decimal
    so_far: Decimal
    projected_overage: Decimal | None
    projected_total: Decimal | None


def charge_lines(
    *,
    currency: str,
    days_in_period: int,
    parts: Sequence[PlanPart],
    add_ons: Iterable[AddOnPrice],
    uses: Iterable[MetricUse],
) -> list[ChargeLine]:
    """Every line of a period, in the order in which they are printed (spec 5.6): plan or its parts, add-ons, contracted
    amounts, seats, usage.

    A metric with terms has its line also at 0.00, because its ledger rows hang on it. ValueError for an unknown
    currency.
    """
    in_order = sorted(uses, key=lambda use: (use.terms.position, use.terms.key))
    lines = _plan_lines(parts, currency)
    lines += [
        ChargeLine(
            kind=ADD_ON,
            description=add_on.name,
            quantity=Decimal(1),
            unit_price=add_on.price,
            amount=round_money(add_on.price, currency),
            detail={"add_on": add_on.key},
        )
        for add_on in add_ons
    ]
    lines += [line for use in in_order if (line := _contracted_line(use.terms, currency))]
    lines += [_seats_line(use, days_in_period, currency) for use in in_order if use.terms.is_level]
    lines += [_usage_line(use, currency) for use in in_order if not use.terms.is_level]
    return lines


def account_charges(
    *,
    currency: str,
    days_in_period: int,
    parts: Sequence[PlanPart],
    add_ons: Iterable[AddOnPrice],
    uses: Sequence[MetricUse],
    days_used: Decimal,
    length: Decimal,
) -> Charges:
    """The lines with their sums and the projection (spec 2.11, 10.5). `days_used` and `length` are elapsed and all
    days of the period, as seconds / 86 400 (`usage.projection`). ValueError for an unknown currency.
    """
    lines = charge_lines(currency=currency, days_in_period=days_in_period, parts=parts, add_ons=add_ons, uses=uses)
    amounts = {line.metric_id: line.amount for line in lines if line.kind in (SEATS, USAGE)}
    metrics = {
        use.terms.metric_id: _metric_charge(use, amounts[use.terms.metric_id], currency, days_used, length)
        for use in uses
    }
    nothing = round_money(0, currency)
    overage = sum((line.amount for line in lines if line.kind == USAGE), start=nothing)
    fixed = sum((line.amount for line in lines if line.kind != USAGE), start=nothing)
    # The days decide, not the metrics: an account without any metric has a projected total too.
    too_early = project(quantity=ZERO, days_used=days_used, days_in_period=length) is None
    projected_overage = None
    if not too_early:
        projected_overage = sum((metric.projected_amount or ZERO for metric in metrics.values()), start=nothing)
    return Charges(
        currency=currency,
        lines=tuple(lines),
        metrics=metrics,
        fixed=fixed,
        total_overage=overage,
        so_far=fixed + overage,
        projected_overage=projected_overage,
        projected_total=None if projected_overage is None else fixed + projected_overage,
    )


def metric_charges(
    *, currency: str, days_in_period: int, uses: Iterable[MetricUse], days_used: Decimal, length: Decimal
) -> dict[int, MetricCharge]:
    """What `account_charges` says of each metric, by its id, without writing lines. Arguments as there."""
    charges = {}
    for use in uses:
        terms = use.terms
        if terms.is_level:
            amount = terms.seats_amount(use.pool_days, days_in_period, currency)
        else:
            amount = terms.amount(use.pool, currency)
        charges[terms.metric_id] = _metric_charge(use, amount, currency, days_used, length)
    return charges


def _metric_charge(use: MetricUse, amount: Decimal, currency: str, days_used: Decimal, length: Decimal) -> MetricCharge:
    terms, pool = use.terms, use.pool
    shown = shown_quantity(pool, unit_size=terms.unit_size)
    projected = projected_quantity = projected_amount = None
    if not terms.is_level:
        projected = project(quantity=pool, days_used=days_used, days_in_period=length)
    if projected is not None and days_used == length:
        # The period is over: what was used is where it was heading.
        projected, projected_quantity, projected_amount = pool, shown, amount
    elif projected is not None:
        projected_quantity = shown_quantity(projected, unit_size=terms.unit_size)
        projected_amount = terms.amount(projected, currency)
    return MetricCharge(
        terms=terms,
        pool=pool,
        pool_quantity=shown,
        overage_quantity=_overage(terms, pool),
        overage_amount=amount,
        contracted_amount=terms.contracted_amount(currency),
        projected=projected,
        projected_quantity=projected_quantity,
        projected_amount=projected_amount,
    )


def _plan_lines(parts: Sequence[PlanPart], currency: str) -> list[ChargeLine]:
    if not parts:
        return []
    amounts = split(segments=[(part.price or ZERO, part.days) for part in parts], currency=currency)
    all_days = sum(part.days for part in parts)
    lines = []
    for part, amount in zip(parts, amounts, strict=True):
        if part.price is None:
            continue
        is_whole = part.days == all_days
        span = "" if is_whole else f", {date_span(part.first_day, part.last_day)}"
        lines.append(
            ChargeLine(
                kind=PLAN,
                description=f"{part.name} plan{span}",
                quantity=Decimal(1) if is_whole else shown_quantity(Decimal(part.days), unit_size=all_days),
                unit_price=part.price,
                amount=amount,
                detail={
                    "plan": part.name,
                    "days": part.days,
                    "days_in_period": all_days,
                    "first_day": part.first_day.isoformat(),
                    "last_day": part.last_day.isoformat(),
                },
            )
        )
    return lines


def _contracted_line(terms: MetricTerms, currency: str) -> ChargeLine | None:
    if terms.contracted_price is None or terms.included is None:
        return None
    return ChargeLine(
        kind=CONTRACTED,
        description=f"{terms.name}, contracted",
        metric_id=terms.metric_id,
        quantity=plain(terms.included),
        unit_price=terms.contracted_price,
        amount=terms.contracted_amount(currency),
    )


def _seats_line(use: MetricUse, days_in_period: int, currency: str) -> ChargeLine:
    """Seats are billed by the day: the ledger's quantity is seat-days, the printed one their share of the period."""
    terms = use.terms
    pool = use.pool_days
    total = sum(pool, start=ZERO)
    ledger = tuple((workspace, sum(days, start=ZERO)) for workspace, days in use.days.items() if any(days))
    runs = [{"seats": f"{plain(seats):f}", "days": len(list(run))} for seats, run in groupby(pool)]
    return ChargeLine(
        kind=SEATS,
        description=terms.name,
        metric_id=terms.metric_id,
        quantity=shown_quantity(total, unit_size=days_in_period),
        included=terms.included,
        unit_price=terms.unit_price,
        amount=terms.seats_amount(pool, days_in_period, currency),
        workspaces=ledger,
        ledger=ledger,
        detail={"runs": runs, "seat_days": f"{plain(total):f}", "days_in_period": days_in_period},
    )


def _usage_line(use: MetricUse, currency: str) -> ChargeLine:
    terms, size, pool = use.terms, use.terms.unit_size, use.pool
    used = tuple((workspace, quantity) for workspace, quantity in use.quantities.items() if quantity)
    return ChargeLine(
        kind=USAGE,
        description=terms.name,
        metric_id=terms.metric_id,
        quantity=shown_quantity(pool, unit_size=size),
        included=terms.included,
        overage=_overage(terms, pool),
        unit_price=terms.unit_price,
        amount=terms.amount(pool, currency),
        workspaces=tuple((workspace, shown_quantity(used_here, unit_size=size)) for workspace, used_here in used),
        ledger=used,
        # A name such as “Phone” does not say what is counted.
        detail={"terms": terms.kind, **({"unit": terms.unit} if size != 1 else {})},
    )


def _overage(terms: MetricTerms, pool: Decimal) -> Decimal:
    """Display units above what is included; all of it for pay-as-you-go, none for unlimited (spec 10.5)."""
    if terms.rate is None or pool <= 0:
        return ZERO
    excess = EXACT.subtract(pool, EXACT.multiply(terms.included or ZERO, terms.unit_size))
    return shown_quantity(excess, unit_size=terms.unit_size) if excess > 0 else ZERO
