"""The levels of an alert (spec 3.1, 3.10). A level is reached when `quantity >= level`, compared exactly.

Of usage the statements of an evaluation (`alerts.services.statements`) work them out where the totals are, by the rule
that `newly_reached` states for whoever builds on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from usage.rounding import decimal_of, exact

OWN_PERCENTS: Final = (50, 80, 100)


def levels_of(threshold: Decimal, also_50_80: bool) -> list[tuple[int, Decimal]]:
    """The levels of an alert as (percent, quantity), ascending; exact, so 50 % of 5 is 2.5 (spec 3.1).

    ValueError when the threshold is not positive: there is no such alert.
    """
    whole = exact(threshold, "threshold")
    if whole <= 0:
        raise ValueError(f"threshold must be greater than 0, not {threshold}")
    percents = OWN_PERCENTS if also_50_80 else (100,)
    return [(percent, decimal_of(whole * percent / 100)) for percent in percents]


def newly_reached(*, baseline: Decimal, now: Decimal, levels: Iterable[Decimal]) -> list[Decimal]:
    """The levels with `baseline` < level <= `now`, ascending, each once; all in one unit.

    `baseline` is the quantity when the threshold came into force: what was passed before is never told (spec 3.4).
    """
    return sorted({level for level in levels if baseline < level <= now})
