"""Where labels stand: every place is scored, the best is taken. Pure.

Text keeps its size while the chart's width changes, so each place is judged at the widths that phones give and at
a wide one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTHS = (230, 300, 620)  # pixels of the plot: a small phone, a phone, a wide card
CHARACTER = {False: 640, True: 690}  # hundredths of a pixel per character at 12 px, regular and bold
ASCENT, DESCENT = 1000, 300
NEVER = 1 << 30

Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Place:
    """A spot for a text: `x` in hundredths of a per cent, `dx` and the baseline `y` in hundredths of a pixel."""

    x: int
    dx: int
    y: int
    anchor: str = "start"  # start, middle or end


@dataclass(frozen=True, slots=True)
class Label:
    """A text that was given its place; `x_mid` is its middle in a wide card."""

    words: str
    place: Place
    x_mid: int


@dataclass(frozen=True, slots=True)
class _Box:
    left: int
    right: int
    top: int
    bottom: int

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def _box(words: str, place: Place, *, bold: bool, width: int) -> _Box:
    size = len(words) * CHARACTER[bold]
    at = place.x * width // 100 + place.dx
    left = {"start": at, "middle": at - size // 2, "end": at - size}[place.anchor]
    return _Box(left=left, right=left + size, top=place.y - ASCENT, bottom=place.y + DESCENT)


def y_at(curve: Sequence[Point], x: int) -> int | None:
    """The curve's height at `x` (hundredths of a per cent), None outside of it."""
    if not curve or x < curve[0][0] or x > curve[-1][0]:
        return None
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
    _taken: dict[int, list[_Box]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for width in WIDTHS:
            spots = ((x * width // 100, y) for x, y in self.dots)
            self._taken[width] = [_Box(left=x - 500, right=x + 500, top=y - 500, bottom=y + 500) for x, y in spots]

    def put(self, words: str, places: Sequence[Place], *, bold: bool = False, own_line: int | None = None) -> Label:
        """Takes the best of `places` (earlier ones win a tie) and keeps it free from now on."""
        best, least = places[0], NEVER
        for index, place in enumerate(places):
            if index >= least:
                break
            cost = self._cost(words, place, bold=bold, own_line=own_line, start=index, enough=least)
            if cost < least:
                best, least = place, cost
        boxes = {width: _box(words, best, bold=bold, width=width) for width in WIDTHS}
        for width, box in boxes.items():
            self._taken[width].append(box)
        wide = boxes[WIDTHS[-1]]
        return Label(words=words, place=best, x_mid=(wide.left + wide.right) // 2 * 100 // WIDTHS[-1])

    def _cost(self, words: str, place: Place, *, bold: bool, own_line: int | None, start: int, enough: int) -> int:
        """The sum over all widths; stops as soon as it is no better than `enough`."""
        top, bottom = place.y - ASCENT, place.y + DESCENT
        cost = start
        if top < self.top - 1400 or bottom > self.bottom + 200:
            cost += 600 * len(WIDTHS)
        for line in self.lines:
            if line != own_line and top - 250 < line < bottom + 250:
                cost += 60 * len(WIDTHS)
        for width in WIDTHS:
            if cost >= enough:
                return cost
            box = _box(words, place, bold=bold, width=width)
            outside = max(-box.left, box.right - width * 100) - 400
            if outside > 0:
                cost += 60 + outside // 25
            for other in self._taken[width]:
                if box.meets(other):
                    cost += 200
            left, right = box.left * 100 // width, box.right * 100 // width
            for curve in self.curves:
                if _touches(curve, left, right, top - 150, bottom + 150):
                    cost += 50
        return cost


def _touches(curve: Sequence[Point], left: int, right: int, top: int, bottom: int) -> bool:
    """The curve runs through the box. It never falls, so its ends within the box's width say it all."""
    left, right = max(left, curve[0][0]), min(right, curve[-1][0])
    if left > right:
        return False
    highest = y_at(curve, right)
    if highest is None or highest >= bottom:
        return False
    lowest = y_at(curve, left)
    return lowest is not None and lowest > top
