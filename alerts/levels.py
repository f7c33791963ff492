"""Which levels a quantity has reached (spec 3.1, 3.2, 3.4, 3.7). Reached means `quantity >= level`.

Levels and quantities are compared exactly, in one unit (stored units throughout, or display units throughout).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Final

from usage.rounding import EXACT, SMALLEST, decimal_of, exact

OWN_PERCENTS: Final = (50, 80, 100)
PLAN_PERCENTS: Final = (80, 90, 100)


def levels_of(threshold: Decimal, also_50_80: bool) -> list[tuple[int, Decimal]]:
    """The levels of an alert as (percent, quantity), ascending; exact, so 50 % of 5 is 2.5 (spec 3.1).

    ValueError when the threshold is not positive: there is no such alert.
    """
    if exact(threshold, "threshold") <= 0:
        raise ValueError(f"threshold must be greater than 0, not {threshold}")
    return [(percent, _share(threshold, percent)) for percent in (OWN_PERCENTS if also_50_80 else (100,))]


def plan_levels_of(included: Decimal | None) -> list[tuple[int, Decimal]]:
    """80, 90 and 100 % of the included amount as (percent, quantity); none for unlimited (None) and 0 (spec 3.7)."""
    if not included:
        return []
    return [(percent, _share(included, percent)) for percent in PLAN_PERCENTS]


def newly_reached(*, baseline: Decimal, now: Decimal, levels: Iterable[Decimal]) -> list[Decimal]:
    """The levels with `baseline` < level <= `now`, ascending, each once.

    `baseline` is the quantity when the threshold came into force: what was passed before is never told (spec 3.4).
    """
    return sorted({level for level in levels if baseline < level <= now})


def next_level(*, baseline: Decimal, now: Decimal, levels: Iterable[Decimal]) -> Decimal | None:
    """The quantity at which somebody must be told next: the smallest level above both `now` and `baseline`, or None.

    A quantity that fell below its baseline by a correction does not make the levels up to the baseline due again.
    """
    return min((level for level in levels if level > max(baseline, now)), default=None)


def pool_wake_level(*, own: Decimal, pool: Decimal, level: Decimal, workspaces: int) -> Decimal:
    """The own quantity at which a workspace must wake evaluation of a level over the account's pool (spec 3.7).

    own + (level - pool) / workspaces: the pool cannot reach `level` before one workspace has reached this, because the
    remaining part is the sum of their growths. Rounded down to 6 decimals, so that it is never late; at most early.
    ValueError without workspaces.
    """
    if workspaces < 1:
        raise ValueError(f"workspaces must be at least 1, not {workspaces}")
    remaining = max(Fraction(0), exact(level, "level") - exact(pool, "pool"))
    return decimal_of(exact(own, "own") + remaining / workspaces).quantize(SMALLEST, ROUND_FLOOR, EXACT)


def _share(whole: Decimal, percent: int) -> Decimal:
    return decimal_of(exact(whole, "level") * percent / 100)
