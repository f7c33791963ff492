"""Where labels stand: every place is scored, the best is taken. Pure.

Text keeps its size while the chart's width changes, so each place is judged at the narrowest width a phone gives and at
a wide one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

WIDTHS = (230, 620)  # pixels of the plot: phone, and a wide card
CHARACTER = {False: 640, True: 690}  # hundredths of a pixel per character at 12 px, regular and bold
ASCENT, DESCENT = 1000, 300

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
    index = bisect_right(curve, (x, 1 << 60))
    if index == len(curve):
        return curve[-1][1]
    (x0, y0), (x1, y1) = curve[index - 1], curve[index]
    return y0 if x1 == x0 else y0 + (y1 - y0) * (x - x0) // (x1 - x0)


@dataclass
class Plan:
    """What is drawn already, and which texts stand where."""

    top: int
    bottom: int
    curves: list[Sequence[Point]] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    dots: list[Point] = field(default_factory=list)
    _taken: list[tuple[str, Place, bool]] = field(default_factory=list)

    def put(self, words: str, places: Sequence[Place], *, bold: bool = False, own_line: int | None = None) -> Label:
        """Takes the best of `places` (earlier ones win a tie) and keeps it free from now on."""
        best = min(
            enumerate(places),
            key=lambda item: self._cost(words, item[1], bold=bold, own_line=own_line) + item[0],
        )[1]
        self._taken.append((words, best, bold))
        wide = _box(words, best, bold=bold, width=WIDTHS[1])
        return Label(words=words, place=best, x_mid=(wide.left + wide.right) // 2 * 100 // WIDTHS[1])

    def _cost(self, words: str, place: Place, *, bold: bool, own_line: int | None) -> int:
        return sum(self._cost_at(words, place, bold=bold, own_line=own_line, width=width) for width in WIDTHS)

    def _cost_at(self, words: str, place: Place, *, bold: bool, own_line: int | None, width: int) -> int:
        box = _box(words, place, bold=bold, width=width)
        cost = 0
        if box.left < -400 or box.right > width * 100 + 400:
            cost += 600
        if box.top < self.top - 1400 or box.bottom > self.bottom + 200:
            cost += 600
        for line in self.lines:
            if line != own_line and box.top - 100 < line < box.bottom + 100:
                cost += 60
        for curve in self.curves:
            if self._touches(curve, box, width):
                cost += 50
        for x, y in self.dots:
            at = x * width // 100
            if box.meets(_Box(left=at - 500, right=at + 500, top=y - 500, bottom=y + 500)):
                cost += 50
        for other, spot, heavy in self._taken:
            if box.meets(_box(other, spot, bold=heavy, width=width)):
                cost += 200
        return cost

    @staticmethod
    def _touches(curve: Sequence[Point], box: _Box, width: int) -> bool:
        """The curve runs through the box: it is inside at one of four places, or changes sides between two."""
        sides = set()
        for step in range(4):
            x = (box.left + (box.right - box.left) * step // 3) * 100 // width
            y = y_at(curve, x)
            if y is None:
                continue
            if box.top - 150 < y < box.bottom + 150:
                return True
            sides.add(y < box.top)
        return len(sides) == 2
