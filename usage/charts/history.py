"""History: a bar per billing period, included as a blue step, the running one dark with its projection (6.5). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from usage.charts.labels import size_of
from usage.charts.parts import MIN_BAR, Box, Tick, Words
from usage.charts.scale import FULL, Scale, percent, scale_to, text
from usage.charts.words import estimate, label_number
from usage.formats import figure, short_number

TOP = 2000
BOTTOMS = {"wide": 20_400, "small": 12_400}
LINE = 1300  # between the baselines of two labels
NARROW, PHONE = 230, 286  # pixels of the plot: a small phone, a phone


@dataclass(frozen=True, slots=True)
class HistoryPeriod:
    """One billing period: `label` names its first day (`8 Nov`); `included` None has no blue step; display units."""

    label: str
    quantity: Decimal
    included: Decimal | None = None
    is_running: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A piece of the blue step: from (x1, y1) to (x2, y2)."""

    x1: str
    x2: str
    y1: str
    y2: str


@dataclass(frozen=True, slots=True)
class HistoryChart:
    """Geometry and words of `{% history_chart %}`."""

    height: str
    sentence: str
    axis: tuple[Tick, ...]
    grid: tuple[str, ...]
    bases: tuple[str, ...]
    bars: tuple[Box, ...]
    titles: tuple[str, ...]
    steps: tuple[Step, ...]
    projection: Step | None
    projection_stem: Step | None
    labels: tuple[Words, ...]
    notes: tuple[Words, ...]
    periods: tuple[Words, ...]
    has_included: bool
    has_projection: bool


def history_chart(
    *,
    name: str,
    periods: Sequence[HistoryPeriod],
    projected: Decimal | None = None,
    whole: bool = True,
    size: str = "wide",
) -> HistoryChart:
    """Bars of `periods`, oldest first. `projected` belongs to the running period, which is the last one.

    Up to eight bars carry their number where it fits; more of them lose it on a phone, from 13 on the table alone has
    it.
    Raises KeyError for an unknown `size` (wide, small).
    """
    bottom = BOTTOMS[size]
    count = len(periods)
    running = bool(periods) and periods[-1].is_running
    ahead = projected if running else None
    quantities = [period.quantity for period in periods]
    included = [period.included for period in periods if period.included is not None]
    highest = max([*quantities, *included, *([ahead] if ahead is not None else [])], default=Decimal(0))
    scale = scale_to(highest, top=TOP, bottom=bottom, steps=4, whole=whole)
    step = FULL // count if count else FULL
    lefts = [FULL * index // count for index in range(count)]
    every = -(-count // 6) if count > 8 else 1
    numbers = [short_number(quantity, from_=10_000) for quantity in quantities]
    numbers_kind = _numbers_kind(numbers)
    labels, bars, names = [], [], []
    ends: list[tuple[int, int]] = []
    for index, (period, left) in enumerate(zip(periods, lefts, strict=True)):
        middle = left + step // 2
        top = min(scale.y(period.quantity), bottom - MIN_BAR) if period.quantity > 0 else bottom
        bars.append(
            Box(
                x=percent(left + step * 28 // 100),
                y=text(top),
                width=percent(step * 44 // 100),
                height=text(bottom - top),
                kind="now" if period.is_running else "",
            )
        )
        if count <= 12:
            beside = period.is_running and ahead is not None
            place = ("-5", "end") if beside else ("0", "middle")
            labels.append(Words(percent(middle), text(top - 700), *place, numbers[index], numbers_kind))
        number = size_of(numbers[index], bold=True) if count <= 12 else 0
        ends.append((max(middle * NARROW // 100 + number // 2, (left + step * 72 // 100) * NARROW // 100), top))
        if (count - 1 - index) % every == 0:
            names.append(Words(percent(middle), text(bottom + 2000), "0", "middle", period.label))
    projection, stem, label = _projection(ahead, lefts, step, scale, quantities)
    if ahead is not None and label:
        # Above the bars, and their numbers, that it would cover on the narrowest plot.
        left = NARROW * 100 - size_of(label, bold=False)
        tops = [top - 700 - (LINE if count <= 12 else 0) for end, top in ends[:-1] if end > left]
        labels.append(Words("100%", text(min([scale.y(ahead) - 700, *tops])), "0", "end", label))
    steps, notes = _steps(periods, lefts, step, scale)
    value = estimate(ahead)
    told = [f"{period.label} {figure(period.quantity)}" for period in periods]
    return HistoryChart(
        height=text(bottom + 2600),
        sentence=f"{name} by billing period: {', '.join(told) or 'nothing recorded yet'}"
        + (f"; projected {figure(value)}" if value is not None else ""),
        axis=tuple(Tick(text(scale.y(tick) + 400), scale.words(tick)) for tick in scale.ticks()),
        grid=tuple(text(scale.y(tick)) for tick in scale.ticks()[1:]),
        bases=(text(bottom),),
        bars=tuple(bars),
        titles=tuple(f"{period.label}: {figure(period.quantity)}" for period in periods),
        steps=steps,
        projection=projection,
        projection_stem=stem,
        labels=tuple(labels),
        notes=notes,
        periods=tuple(names),
        has_included=bool(included),
        has_projection=value is not None,
    )


def _projection(
    ahead: Decimal | None,
    lefts: Sequence[int],
    step: int,
    scale: Scale,
    quantities: Sequence[Decimal],
) -> tuple[Step | None, Step | None, str]:
    """A dashed lid over the running bar, a stem down to it, and what stands at the right edge; "" without."""
    value = estimate(ahead)
    if ahead is None or value is None or ahead <= quantities[-1]:
        return None, None, ""
    left, y = lefts[-1], scale.y(ahead)
    middle = percent(left + step // 2)
    lid = Step(percent(left + step * 28 // 100), percent(left + step * 72 // 100), text(y), text(y))
    return lid, Step(middle, middle, text(scale.y(quantities[-1])), text(y)), f"Projected {label_number(value)}"


def _numbers_kind(numbers: Sequence[str]) -> str:
    """How the numbers look: neighbours would touch on a phone (chart-note) or on a small one (chart-number)."""
    length = len(numbers) * max((size_of(words, bold=True) for words in numbers), default=0)
    if len(numbers) > 8 or length > PHONE * 100:
        return "strong chart-note"
    return "strong chart-number" if length > NARROW * 100 else "strong"


def _steps(
    periods: Sequence[HistoryPeriod], lefts: Sequence[int], step: int, scale: Scale
) -> tuple[tuple[Step, ...], tuple[Words, ...]]:
    """The included amount as a step; its number stands where it changes."""
    steps: list[Step] = []
    notes: list[Words] = []
    before: Decimal | None = None
    for index, period in enumerate(periods):
        left, right = lefts[index], lefts[index + 1] if index + 1 < len(lefts) else FULL
        if period.included is None:
            before = None
            continue
        y = scale.y(period.included)
        if before is not None and before != period.included:
            steps.append(Step(percent(left), percent(left), text(scale.y(before)), text(y)))
        if before != period.included:
            # Between two bars, above the higher of the two levels: the one place that is free.
            above = min(y, y if before is None else scale.y(before)) - 700
            anchor = "middle" if left else "start"
            notes.append(Words(percent(left), text(above), "0", anchor, short_number(period.included), "chart-note"))
        steps.append(Step(percent(left), percent(right), text(y), text(y)))
        before = period.included
    return tuple(steps), tuple(notes)
