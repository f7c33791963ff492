"""Which places the texts of a daily chart may take, best first. Pure; the choice itself is in `labels`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

from usage.charts.labels import Label, Place, Plan, Point, y_at
from usage.charts.parts import Reference, Words, words_at
from usage.charts.scale import FULL, text

Curve = tuple[Point, ...]
Line = tuple[str, str, int | None]  # kind, words, and the height; None: far above the scale


@lru_cache(maxsize=512)
def placed(
    *,
    top: int,
    bottom: int,
    now: int,
    marks: tuple[Line, ...],
    lines: tuple[Curve, Curve, Curve, Curve, Curve],
    ends: tuple[tuple[str, Point], ...],
    workspace: str,
    remark: tuple[tuple[str, str], ...],
    has_usage: bool,
) -> tuple[tuple[Reference, ...], tuple[Words, ...], tuple[Words, ...]]:
    """References, labels and notes of a chart: its dearest part, so it is kept for whoever asks for the same again. It
    depends on nothing but its arguments.

    `lines` are this workspace's, everyone's, the last period's and the two projections; empty ones are not drawn.
    """
    own, everyone, past, ahead, everyone_ahead = lines
    plan = Plan(
        top=top,
        bottom=bottom,
        curves=[curve for curve in lines if curve],
        lines=[y for _, _, y in marks if y is not None],
        dots=[curve[-1] for curve in (own, everyone, ahead, everyone_ahead) if curve],
    )
    references = tuple(_reference(mark, plan, now) for mark in reversed(marks))
    labels = (
        *_projections(ends, plan, now),
        *_last_period(past, plan, now),
        *_both_lines(own, everyone, workspace, plan, now),
    )
    return references, labels, _note(remark, plan, now if has_usage else FULL)


def _reference(mark: Line, plan: Plan, now: int) -> Reference:
    """A line, its label at the left end above it, else below, else at the right. Far above the scale: words alone."""
    kind, words, y = mark
    if y is None:
        words = f"{words}, above this scale"
        rows = [plan.top - 400, plan.top + 1300, plan.top + 3000]
        places = (place for row in rows for place in (Place(0, 600, row), Place(FULL, -600, row, "end")))
        return Reference(kind, "", words_at(plan.put(words, places, bold=True), now=now))
    sides = ((0, 600, "start"), (FULL, -600, "end"), (FULL // 2, 0, "middle"))
    places = (Place(x, dx, row, anchor) for x, dx, anchor in sides for row in (y - 600, y + 1400))
    return Reference(kind, text(y), words_at(plan.put(words, places, bold=True, own_line=y), now=now))


def _projections(ends: Sequence[tuple[str, Point]], plan: Plan, now: int) -> list[Words]:
    """(words, end of the line), the upper one first. Fewer than 40 px apart: only that one. Both lines rise, so
    the other name would stand on one of them."""
    found: list[Words] = []
    for index, (words, (x, y)) in enumerate(ends):
        if index and abs(y - ends[0][1][1]) < 4000:
            continue
        above, below = [(-800, y - 900), (-800, y - 1700)], [(-400, y + 1700), (-400, y + 2600)]
        # The lower of two lines is named below it: above it the other one runs.
        rows = [*(below + above if index else above + below), (-1400, y + 400)]
        places = (Place(x, dx, row, "end") for dx, row in rows)
        found.append(words_at(plan.put(words, places), now=now))
    return found


def _along(curve: Sequence[Point], share: int) -> Point:
    """The curve's point at `share` per cent of its own width."""
    x = curve[-1][0] * share // 100
    y = y_at(curve, x)
    return x, curve[-1][1] if y is None else y


def _last_period(curve: Sequence[Point], plan: Plan, now: int) -> list[Words]:
    if not curve:
        return []
    points = (_along(curve, share) for share in (55, 40, 70, 85))
    places = (place for x, y in points for place in (Place(x, 600, y + 1500), Place(x, -600, y - 900, "end")))
    return [words_at(plan.put("Last period", places), now=now)]


def _both_lines(line: Sequence[Point], pool: Sequence[Point], workspace: str, plan: Plan, now: int) -> list[Words]:
    """Names are only needed when there are two lines: ours right below its line, all workspaces left above theirs."""
    if not line or not pool:
        return []
    (own_x, own_y), (all_x, all_y) = line[-1], pool[-1]
    below = (Place(x, 800, y + 1700) for x, y in (_along(line, share) for share in (72, 50, 88, 35)))
    above = (Place(x, -600, y - 900, "end") for x, y in (_along(pool, share) for share in (72, 100, 50, 88, 35)))
    own = plan.put(
        workspace if len(workspace) <= 18 else workspace[:17].rstrip() + "…",
        chain(
            below,
            (Place(own_x, 1000, own_y + 1600), Place(own_x, 1000, own_y - 800)),
            (Place(own_x, -1000, own_y - row, "end") for row in (900, 2200)),
        ),
        bold=True,
    )
    beside = (
        Place(all_x, 1000, all_y - 800),
        Place(all_x, 1000, all_y - 2200),
        Place(all_x, -1000, all_y - 2200, "end"),
    )
    everyone = plan.put("All workspaces", chain(above, beside))
    return [words_at(own, kind="strong", now=now), words_at(everyone, now=now)]


def _note(texts: Sequence[tuple[str, str]], plan: Plan, now: int) -> tuple[Words, ...]:
    """A remark in the free middle of the plot; `texts` (words, class) share the place, the last is the shortest."""
    if not texts:
        return ()
    height = plan.bottom - plan.top
    places = [Place(FULL // 2, 0, plan.bottom - height * share // 100, "middle") for share in (42, 26, 60, 12, 78, 90)]
    label = plan.put(texts[-1][0], places)
    return tuple(words_at(Label(words, label.place, label.x_mid), kind=kind, now=now) for words, kind in texts)
