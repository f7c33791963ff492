"""The small chart of an invoice: running total and days of up to four metrics, in absolute units. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from itertools import accumulate

from usage.charts.parts import points, points_above
from usage.charts.scale import text
from usage.charts.words import label_number
from usage.formats import day_and_month, number

WIDTH, GAP = 50_000, 2800
PANEL = (WIDTH - GAP) // 2
TOP, BASE, FOOT, ROW = 2200, 12_200, 15_400, 17_600
DAY_TOP = 13_200


@dataclass(frozen=True, slots=True)
class PaperPanel:
    """A metric of the invoice: the pool's quantity on each local day of the period, in order, and what was included."""

    name: str
    days: Sequence[Decimal]
    included: Decimal | None = None
    word: str = "Included"
    total: Decimal | None = None  # as billed, where the days are rounded one by one


@dataclass(frozen=True, slots=True)
class PaperBar:
    x: str
    y: str
    width: str
    height: str


@dataclass(frozen=True, slots=True)
class PaperShape:
    name: str
    total: str
    left: str
    right: str
    middle: str
    title_y: str
    base: str
    foot: str
    foot_words: str
    line: str
    area: str
    over: str
    included_y: str
    included_words_y: str
    included_x: str
    included_words: str
    bars: tuple[PaperBar, ...]


@dataclass(frozen=True, slots=True)
class PaperChart:
    """Geometry of templates/documents/chart.svg; `alt` says the same in words."""

    width: str
    height: str
    first: str
    last: str
    alt: str
    panels: tuple[PaperShape, ...]


def paper_chart(*, panels: Sequence[PaperPanel], first_on: date, last_on: date) -> PaperChart:
    """Two panels a row, on the days `first_on` to `last_on` (both included). Takes the first four panels."""
    shown = list(panels)[:4]
    rows = max(1, -(-len(shown) // 2))
    told = []
    for panel in shown:
        total = panel.total if panel.total is not None else sum(panel.days, Decimal(0))
        limit = "" if panel.included is None else f", {panel.word.lower()} {number(panel.included)}"
        told.append(f"{panel.name}: {number(total)}{limit}.")
    return PaperChart(
        width=text(WIDTH),
        height=text(ROW * rows - 600),
        first=day_and_month(first_on),
        last=day_and_month(last_on),
        alt=" ".join(
            [f"Running totals of all workspaces, {day_and_month(first_on)} to {day_and_month(last_on)}.", *told]
        ),
        panels=tuple(_shape(panel, index) for index, panel in enumerate(shown)),
    )


def _shape(panel: PaperPanel, index: int) -> PaperShape:
    left = (index % 2) * (PANEL + GAP)
    down = (index // 2) * ROW
    count = max(len(panel.days), 1)
    sums = list(accumulate(panel.days))
    total = sums[-1] if sums else Decimal(0)
    highest = max(total, panel.included or Decimal(0), Decimal(1))
    height = BASE - TOP - 1000

    def y(value: Decimal) -> int:
        return down + BASE - int(value * height / highest)

    curve = [(left, down + BASE)]
    curve += [(left + PANEL * (i + 1) // count, y(value)) for i, value in enumerate(sums)]
    highest_day = max([*panel.days, Decimal(1)])
    bars = []
    for i, quantity in enumerate(panel.days):
        if quantity <= 0:
            continue
        x = left + PANEL * i // count
        size = max(int(quantity * (FOOT - DAY_TOP) / highest_day), 100)
        width = PANEL * 70 // count // 100
        bars.append(PaperBar(text(x + PANEL * 15 // count // 100), text(down + FOOT - size), text(width), text(size)))
    level = None if panel.included is None else y(panel.included)
    # Where the curve rises along the left edge its label would be crossed: low lines are named at the right end, below.
    label_y = "" if level is None else text(level - 400 if level - 400 > down + TOP else level + 1000)
    return PaperShape(
        name=panel.name if len(panel.name) <= 34 else panel.name[:33].rstrip() + "…",
        total=number(total if panel.total is None else panel.total),
        left=text(left),
        right=text(left + PANEL),
        middle=text(left + PANEL // 2),
        title_y=text(down + 1200),
        base=text(down + BASE),
        foot=text(down + FOOT),
        foot_words=text(down + FOOT + 1100),
        line=points(curve),
        area=points([*curve, (curve[-1][0], down + BASE)]),
        over="" if level is None else points_above(curve, level),
        included_y="" if level is None else text(level),
        included_words_y=label_y,
        included_x=text(left + 300),
        included_words="" if panel.included is None else f"{panel.word} {label_number(panel.included)}",
        bars=tuple(bars),
    )
