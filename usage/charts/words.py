"""The words of a daily chart: marks, tooltips, table rows, the sentence a screen reader says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from usage.charts.scale import MILLION, Column
from usage.formats import figure, number, short_number


@dataclass(frozen=True, slots=True)
class Mark:
    """A level that is drawn as a line across the running total; `kind` is included, alert or limit."""

    kind: str
    value: Decimal
    words: str


def make_mark(kind: str, value: Decimal | None, word: str, suffix: str = "") -> list[Mark]:
    """No value, no mark."""
    return [] if value is None else [Mark(kind, value, f"{word} {label_number(value)}{suffix}")]


def label_number(value: Decimal) -> str:
    """Labels are exact up to a million: a threshold must be recognised as the number that was typed."""
    return short_number(value, from_=MILLION)


def estimate(value: Decimal | None) -> Decimal | None:
    """A projection is no more exact than a whole unit (half-up)."""
    return None if value is None else value.quantize(Decimal(1), rounding=ROUND_HALF_UP)


def titles(
    columns: Sequence[Column], days: Sequence[Decimal], sums: Sequence[Decimal], pool: Sequence[Decimal], workspace: str
) -> tuple[str, ...]:
    """What the tooltip of each day says."""
    so_far = [figure(total) for total in sums]
    if pool:
        so_far = [f"{workspace} {own}, all {figure(total)}" for own, total in zip(so_far, pool, strict=True)]
    return tuple(
        f"{column.name}: {figure(day)} that day, {total} so far"
        for column, day, total in zip(columns, days, so_far, strict=True)
    )


def rows(
    columns: Sequence[Column], days: Sequence[Decimal], sums: Sequence[Decimal], pool: Sequence[Decimal]
) -> tuple[tuple[str, ...], ...]:
    """The same days as a table."""
    series = [days, sums, pool] if pool else [days, sums]
    names = [column.name for column in columns]
    return tuple(zip(names, *(map(number, each) for each in series), strict=True))


def readout(
    columns: Sequence[Column], days: Sequence[Decimal], total: Decimal | None, *, done: bool
) -> tuple[str, str]:
    """What stands above the plot until somebody reads a day: (day in bold or "", the rest). `total` None: no usage."""
    if total is None or not columns:
        return "", "Nothing recorded" if done else "Nothing recorded yet"
    if done:
        return "", f"{figure(total)} in the period"
    return columns[-1].name, f"{figure(days[-1])} so far today"


def no_usage(*, done: bool) -> str:
    """What a chart without usage says: of a running period, or of one that is over."""
    return "No usage in this period" if done else "No usage yet this period"


def sentence(
    *,
    name: str,
    unit: str,
    workspace: str,
    total: Decimal | None,
    pool_total: Decimal | None,
    marks: Sequence[Mark],
    projected: Decimal | None,
    pool_projected: Decimal | None,
    done: bool,
) -> str:
    """The chart in words; `total` None: no usage, `pool_total` None: no other workspaces."""
    if total is None:
        return f"{name}: {'; '.join([no_usage(done=done), *(mark.words for mark in marks)])}."
    everywhere = "" if pool_total is None else f", {figure(pool_total)} in all workspaces"
    facts = [
        f"{figure(total)} {unit} in {workspace}{'' if done else ' so far'}{everywhere}",
        *(mark.words for mark in marks),
    ]
    if projected is not None:
        everywhere = "" if pool_projected is None else f", all workspaces {figure(pool_projected)}"
        facts.append(f"projected {figure(projected)}{everywhere}")
    return f"{name}: {'; '.join(facts)}. The same figures are in the table below."
