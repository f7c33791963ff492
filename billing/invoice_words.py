"""A line's amount as an equation that people can follow (spec 5.10): words around the numbers frozen on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from billing.models import InvoiceLine
from usage.formats import money, number, unit_price

MINUS, PLUS, TIMES, EQUALS, OVER = "−", "+", "×", "=", "÷"
SHOWN: Final = 6  # workspaces by name; the others are summed


@dataclass(frozen=True, slots=True)
class Step:
    """A number with its sign and what it is."""

    label: str
    value: str
    sign: str = ""
    is_result: bool = False


def equation_of(line: InvoiceLine, *, currency: str) -> list[Step]:
    """How the amount of a line came about, from what was frozen on it."""
    steps = _STEPS.get(line.kind, _plain)(line, currency)
    return [*steps, Step("on the document", money(line.amount, currency), EQUALS if steps else "", is_result=True)]


def _usage(line: InvoiceLine, currency: str) -> list[Step]:
    steps = _workspaces(line) or [Step("used", number(line.quantity or 0))]
    if line.detail.get("terms") == "unlimited":
        return [*steps, Step("unlimited", money(0, currency), TIMES)]
    if line.included is not None:
        over = number(line.overage or 0)
        word = "contracted" if line.detail.get("terms") == "contracted" else "included"
        steps += [Step(word, number(line.included), MINUS), Step(f"over {word}", over, EQUALS)]
    if line.unit_price is not None:
        steps.append(Step("a unit", unit_price(line.unit_price, currency), TIMES))
    return steps


def _seats(line: InvoiceLine, currency: str) -> list[Step]:
    steps = [Step("seat-days", number(Decimal(line.detail.get("seat_days", "0"))))]
    if line.included:
        steps.append(Step("included seats on each day", number(line.included), MINUS))
    steps.append(Step("days in the period", str(line.detail.get("days_in_period", "")), OVER))
    if line.unit_price is not None:
        steps.append(Step("a seat and period", unit_price(line.unit_price, currency), TIMES))
    return steps


def _adjustment(line: InvoiceLine, currency: str) -> list[Step]:
    return [
        Step("price of all that is known now", money(Decimal(line.detail["now"]), currency)),
        Step("billed before", money(Decimal(line.detail["billed_before"]), currency), MINUS),
    ]


def _plan(line: InvoiceLine, currency: str) -> list[Step]:
    steps = [Step("for the whole period", unit_price(line.unit_price or 0, currency))]
    days, whole = line.detail.get("days"), line.detail.get("days_in_period")
    if days and days != whole:
        steps.append(Step("of the period's days", f"{days}/{whole}", TIMES))
    return steps


def _plain(line: InvoiceLine, currency: str) -> list[Step]:
    if line.quantity is None or line.unit_price is None:
        return []
    return [Step("quantity", number(line.quantity)), Step("each", unit_price(line.unit_price, currency), TIMES)]


def _workspaces(line: InvoiceLine) -> list[Step]:
    found: Sequence[dict[str, Any]] = line.detail.get("workspaces", ())
    shown, rest = found[:SHOWN], found[SHOWN:]
    parts = [(each["name"], Decimal(each["quantity"])) for each in shown]
    if rest:
        parts.append((f"{len(rest)} more workspaces", sum((Decimal(each["quantity"]) for each in rest), Decimal(0))))
    return [Step(name, number(quantity), PLUS if index else "") for index, (name, quantity) in enumerate(parts)]


_STEPS: Final[dict[str, Callable[[InvoiceLine, str], list[Step]]]] = {
    InvoiceLine.Kind.USAGE: _usage,
    InvoiceLine.Kind.SEATS: _seats,
    InvoiceLine.Kind.ADJUSTMENT: _adjustment,
    InvoiceLine.Kind.PLAN: _plan,
}
