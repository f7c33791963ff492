"""The pieces a chart is made of, ready for a template: attributes as text, words as words. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from usage.charts.labels import Label, Point
from usage.charts.scale import Column, TimeAxis, percent, text
from usage.formats import day_and_month

MIN_BAR = 150  # 1.5 px: little is not nothing


class Tick(NamedTuple):
    y: str
    words: str


class Box(NamedTuple):
    """A rectangle: x and width in per cent, y and height in px. `kind` is a class or empty."""

    x: str
    y: str
    width: str
    height: str
    kind: str = ""


class Words(NamedTuple):
    """A text in the plot. `kind` adds classes (`strong`, `on-future`, …)."""

    x: str
    y: str
    dx: str
    anchor: str
    words: str
    kind: str = ""


class Reference(NamedTuple):
    """A horizontal line with its label; `kind` is included, alert or limit; `y` is "" when it lies above the axis."""

    kind: str
    y: str
    label: Words


class Dot(NamedTuple):
    kind: str
    x: str
    y: str
    radius: str


@dataclass(frozen=True, slots=True)
class DailyChart:
    """Geometry and words of `{% chart %}` and `{% chart_table %}`. Empty strings and tuples are not drawn.

    `begun` are the days so far: `titles` is what the scrubber reads of each, `rows` are the lines of the table behind
    the chart, with the texts of `columns`.
    """

    id: str
    title: str
    height: str
    sentence: str
    readout_day: str
    readout: str
    axis: tuple[Tick, ...]
    grid: tuple[str, ...]
    bases: tuple[str, ...]
    panel: tuple[Words, ...]
    future: Box | None
    bars: tuple[Box, ...]
    areas: tuple[str, ...]
    over: str
    previous: str
    projections: tuple[str, ...]
    pool: str
    line: str
    references: tuple[Reference, ...]
    dots: tuple[Dot, ...]
    labels: tuple[Words, ...]
    notes: tuple[Words, ...]
    days: tuple[Words, ...]
    begun: tuple[Column, ...]
    titles: tuple[str, ...]
    hit_y: str
    hit_height: str
    scrub_label: str
    scrub_max: int
    scrub_value: int
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    view_box: str


def points(curve: Sequence[Point]) -> str:
    return " ".join([f"{text(x)},{text(y)}" for x, y in curve])


def points_above(curve: Sequence[Point], level: int) -> str:
    """The part of the curve above a level, closed along it at the exact crossings; "" when none is."""
    above: list[Point] = []
    for (x0, y0), (x1, y1) in pairwise(curve):
        if (y0 < level) != (y1 < level):
            above.append((x0 + (x1 - x0) * (level - y0) // (y1 - y0), level))
        if y1 < level:
            above.append((x1, y1))
    if above and curve[-1][1] < level:
        above.append((curve[-1][0], level))
    return points(above)


def words_at(label: Label, *, kind: str = "", now: int = 10_000) -> Words:
    """The label as an SVG text; over the days to come its halo takes their shade."""
    classes = [kind] if kind else []
    if label.x_mid > now:
        classes.append("on-future")
    place = label.place
    return Words(
        x=percent(place.x),
        y=text(place.y),
        dx=text(place.dx),
        anchor=place.anchor,
        words=label.words,
        kind=" ".join(classes),
    )


def bar(column: Column, *, top: int, bottom: int, kind: str = "") -> Box:
    """A day's bar, at least 1.5 px high."""
    top = min(top, bottom - MIN_BAR)
    return Box(column.bar_x, text(top), column.bar_width, text(bottom - top), kind)


def day_names(axis: TimeAxis, y: str) -> tuple[Words, ...]:
    """The few days that are named below the lower panel."""
    names = []
    for column in axis.label_columns():
        anchor = "start" if column.left == 0 else "end" if column.left > 9700 else "middle"
        names.append(Words(percent(column.left), y, "0", anchor, day_and_month(column.on)))
    return tuple(names)
