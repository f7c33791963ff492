"""The usage bar: this workspace, the others, a blue mark at the included amount once passed, amber beyond. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from usage.charts.scale import FULL, percent
from usage.formats import figure

MIN_PART = 80  # 0.8 %: a workspace that used anything is visible


@dataclass(frozen=True, slots=True)
class Part:
    """A workspace's quantity in display units."""

    name: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Segment:
    kind: str
    x: str
    width: str


@dataclass(frozen=True, slots=True)
class Key:
    words: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class UsageBar:
    """Geometry and words of `{% usage_bar %}`."""

    sentence: str
    segments: tuple[Segment, ...]
    gaps: tuple[str, ...]
    mark: str
    keys: tuple[Key, ...]
    rest: Key | None
    height: str = "10"


def _share(quantity: Decimal, whole: Decimal) -> int:
    if whole <= 0:
        return 0
    return int((quantity * FULL / whole).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def usage_bar(*, parts: Sequence[Part], included: Decimal, word: str = "included") -> UsageBar:
    """Usage of an included or contracted amount; the first part is the workspace of the page, the rest are the others.

    More than one other workspace stands together as “n others”. `word` is included or contracted.
    """
    shown = list(parts)
    if len(shown) > 2:
        others = sum((part.quantity for part in shown[1:]), Decimal(0))
        shown = [shown[0], Part(f"{len(parts) - 1} other workspaces", others)]
    used = sum((part.quantity for part in shown), Decimal(0))
    whole = max(used, included)
    segments, gaps = [], []
    at = 0
    for index, part in enumerate(shown):
        width = _share(part.quantity, whole)
        if part.quantity > 0:
            width = min(max(width, MIN_PART), FULL - at)
            if at:
                gaps.append(percent(at))
            segments.append(Segment(f"ubar-{index + 1}", percent(at), percent(width)))
        at += width
    mark = ""
    if used > included:
        edge = _share(included, whole)
        segments.append(Segment("ubar-over", percent(edge), percent(FULL - edge)))
        mark = percent(edge)
        rest = Key(f"{figure(used - included)} over the {figure(included)} {word}", "key key-over")
    else:
        rest = Key(f"{figure(included - used)} left of {figure(included)}")
    keys = tuple(Key(f"{p.name} {figure(p.quantity)}", "key" if i == 0 else "key key-2") for i, p in enumerate(shown))
    told = ", ".join(f"{part.name} {figure(part.quantity)}" for part in shown)
    return UsageBar(
        sentence=f"{figure(used)} of {figure(included)} {word} used: {told}. {rest.words}",
        segments=tuple(segments),
        gaps=tuple(gaps),
        mark=mark,
        keys=keys,
        rest=rest,
    )


def level_bar(*, name: str, used: Decimal, level: Decimal, words: str, tone: str = "") -> UsageBar:
    """One quantity against one level (dashboard, “Near a level”). `words` names the level; tone: "", over or limit."""
    width = min(_share(used, level), FULL) if level > 0 else FULL
    kind = {"": "ubar-1", "over": "ubar-over", "limit": "ubar-limit"}[tone]
    rest = f"{figure(used - level)} over" if tone == "over" else f"{figure(used)} of {figure(level)}"
    return UsageBar(
        sentence=f"{name}: {rest}",
        segments=(Segment(kind, "0%", percent(width)),),
        gaps=(),
        mark="",
        keys=(Key(words),),
        rest=Key(rest),
        height="8",
    )
