"""Parts of a period: what a plan costs for its days (spec 5.5) and seats for theirs (spec 5.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import groupby

from billing.money import round_money
from usage.rounding import EXACT, checked, decimal_of, exact


@dataclass(frozen=True, slots=True)
class PlanChange:
    """From `starts_on` (a local day, whole) on the account has this plan; `price` None = no plan."""

    starts_on: date
    plan_id: int | None
    name: str
    price: Decimal | None


@dataclass(frozen=True, slots=True)
class PlanPart:
    """Whole local days of a period under one plan; `price` is for the whole period, None = no plan on these days."""

    name: str
    price: Decimal | None
    days: int
    first_day: date
    last_day: date


def plan_parts(*, days: Sequence[date], before: PlanChange | None, changes: Sequence[PlanChange]) -> list[PlanPart]:
    """The local `days` of a period (ascending) as parts under one plan each (spec 5.5).

    `before` is what held when the period began; the day of a change belongs to the new plan, and of several changes
    on one day the last one given counts. Days without a plan are a part without price. Neighbours of the same plan
    are one part.
    """
    first = before or PlanChange(starts_on=days[0], plan_id=None, name="", price=None)
    if not changes:
        return [_part(first, days)]
    held = []
    for day in days:
        current = first
        for change in changes:
            if change.starts_on <= day:
                current = change
        held.append((day, current))
    runs = [list(run) for _, run in groupby(held, key=lambda pair: (pair[1].plan_id, pair[1].price))]
    return [_part(run[0][1], [day for day, _ in run]) for run in runs]


def _part(plan: PlanChange, days: Sequence[date]) -> PlanPart:
    return PlanPart(name=plan.name, price=plan.price, days=len(days), first_day=days[0], last_day=days[-1])


def split(*, segments: Sequence[tuple[Decimal, int]], currency: str) -> tuple[Decimal, ...]:
    """What each segment of one period costs: `segments` are (price for the whole period, whole local days), in order.

    The exact share is price x days / all days. Shares are rounded cumulatively, half-up, to the currency's minor unit:
    each part is the rounded sum up to its end minus the rounded sum up to its beginning, so the parts add up to the
    rounded exact sum, to the cent. A segment without days costs 0. ValueError for negative days, no days at all, and an
    unknown currency.
    """
    days = [exact(count, "days") for _, count in segments]
    if any(count < 0 for count in days):
        raise ValueError("days must not be negative")
    total = sum(days)
    if not total:
        raise ValueError("segments have no days")
    if len(segments) == 1:
        return (round_money(checked(segments[0][0], "price"), currency),)
    parts = []
    due, billed = Fraction(0), round_money(0, currency)
    for (price, _), count in zip(segments, days, strict=True):
        due += exact(price, "price") * count / total
        rounded = round_money(due, currency)
        parts.append(EXACT.subtract(rounded, billed))
        billed = rounded
    return tuple(parts)


def seat_charge(*, days: Sequence[Decimal], price: Decimal, days_in_period: int) -> Decimal:
    """Sum over the days of seats / days in period x price: exact, to be rounded once by the caller (spec 5.4).

    `days` are the seats of each local day (`usage.seats.seats_per_day`); days not given count nothing. `price` is for
    one seat held the whole period. ValueError when the period has no days or fewer than are given.
    """
    if days_in_period < 1 or len(days) > days_in_period:
        raise ValueError(f"days_in_period is {days_in_period}, with {len(days)} days given")
    # Seats change on few days, so each number is taken once, with its days.
    if not days:
        return Decimal(0)
    held = sum((exact(seats, "seats") * count for seats, count in Counter(days).items()), start=Fraction(0))
    return decimal_of(held * exact(price, "price") / days_in_period)
