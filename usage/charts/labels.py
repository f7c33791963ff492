"""Where labels stand: every place is scored, the best is taken. Pure.

Text keeps its size while the chart's width changes, so each place is judged at the widths that phones give and at
a wide one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

WIDTHS = (230, 300, 620)  # pixels of the plot: a small phone, a phone, a wide card
CHARACTER = {False: 640, True: 690}  # hundredths of a pixel per character at 12 px, regular and bold
ASCENT, DESCENT = 1000, 300
NEVER = 1 << 30

Point = tuple[int, int]


class Place(NamedTuple):
    """A spot for a text: `x` in hundredths of a per cent, `dx` and the baseline `y` in hundredths of a pixel."""

    x: int
    dx: int
    y: int
    anchor: str = "start"  # start, middle or end


class Label(NamedTuple):
    """A text that was given its place; `x_mid` is its middle in a wide card."""

    words: str
    place: Place
    x_mid: int


Box = tuple[int, int, int, int]  # left, right, top, bottom, in hundredths of a pixel


def box_at(place: Place, size: int, width: int) -> Box:
    """What a text `size` long covers where the plot is `width` wide."""
    left = place.x * width // 100 + place.dx
    if place.anchor == "end":
        left -= size
    elif place.anchor == "middle":
        left -= size // 2
    return left, left + size, place.y - ASCENT, place.y + DESCENT


def size_of(words: str, *, bold: bool) -> int:
    """The length of a text in hundredths of a pixel."""
    return len(words) * CHARACTER[bold]


def y_at(curve: Sequence[Point], x: int) -> int | None:
    """The curve's height at `x` (hundredths of a per cent), None outside of it."""
    if not curve or x < curve[0][0] or x > curve[-1][0]:
        return None
    return _height(curve, x)


def _height(curve: Sequence[Point], x: int) -> int:
    index = bisect_right(curve, (x, NEVER))
    if index == len(curve):
        return curve[-1][1]
    (x0, y0), (x1, y1) = curve[index - 1], curve[index]
    return y0 if x1 == x0 else y0 + (y1 - y0) * (x - x0) // (x1 - x0)


@dataclass
class Plan:
    """What is drawn already, and which texts stand where. Curves are running totals: they never fall."""

    top: int
    bottom: int
    curves: list[Sequence[Point]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    dots: list[Point] = field(default_factory=list)
    _taken: dict[int, list[Box]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for width in WIDTHS:
            spots = ((x * width // 100, y) for x, y in self.dots)
            self._taken[width] = [(x - 500, x + 500, y - 500, y + 500) for x, y in spots]

    def put(self, words: str, places: Iterable[Place], *, bold: bool = False, own_line: int | None = None) -> Label:
        """Takes the best of `places` (earlier ones win a tie) and keeps it free from now on. At least one; most of them
        are never looked at."""
        size = size_of(words, bold=bold)
        least = NEVER
        for index, place in enumerate(places):
            if index >= least:
                break
            cost = self._cost(size, place, own_line=own_line, start=index, enough=least)
            if cost < least:
                best, least = place, cost
        for width, taken in self._taken.items():
            taken.append(box_at(best, size, width))
        left, right, _, _ = self._taken[WIDTHS[-1]][-1]
        return Label(words, best, (left + right) // 2 * 100 // WIDTHS[-1])

    def _cost(self, size: int, place: Place, *, own_line: int | None, start: int, enough: int) -> int:
        """The sum over all widths; stops as soon as it is no better than `enough`."""
        top, bottom = place.y - ASCENT, place.y + DESCENT
        cost = start
        if top < self.top - 1400 or bottom > self.bottom + 200:
            cost += 600 * len(WIDTHS)
        for line in self.lines:
            if line != own_line and top - 250 < line < bottom + 250:
                cost += 60 * len(WIDTHS)
        # Most curves begin above the text or end below it.
        curves = [each for each in self.curves if each[0][1] > top - 150 and each[-1][1] < bottom + 150]
        for width, taken in self._taken.items():
            if cost >= enough:
                return cost
            left, right, _, _ = box_at(place, size, width)
            outside = max(-left, right - width * 100) - 400
            if outside > 0:
                cost += 60 + outside // 25
            for start_x, end_x, start_y, end_y in taken:
                if left < end_x and start_x < right and top < end_y and start_y < bottom:
                    cost += 200
            for curve in curves:
                if _touches(curve, left * 100 // width, right * 100 // width, top - 150, bottom + 150):
                    cost += 50
        return cost


def _touches(curve: Sequence[Point], left: int, right: int, top: int, bottom: int) -> bool:
    """The curve runs through the box. It never falls, so its ends within the box's width say it all."""
    left, right = max(left, curve[0][0]), min(right, curve[-1][0])
    return left <= right and _height(curve, right) < bottom and _height(curve, left) > top
