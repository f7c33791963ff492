"""The chart of a level that is held, not counted (seats): one panel, a bar per local day (spec 2.2, 5.4). Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise

from usage.charts.parts import Box, DailyChart, Tick, Words, bar, day_names
from usage.charts.scale import FULL, Column, percent, scale_to, text, time_axis
from usage.formats import day_and_month, number

TOP = 1800
# As high as the cards beside it; alone in a row lower, because one series of bars says little.
BOTTOMS = {"wide": 18_000, "split": 18_000, "half": 24_800, "small": 22_800}


def level_chart(
    *,
    id: str,
    name: str,
    unit: str,
    starts_at: datetime,
    ends_at: datetime,
    as_of: datetime,
    zone: str,
    days: Mapping[date, Decimal],
    whole: bool = True,
    size: str = "half",
) -> DailyChart:
    """A bar per begun day. Nothing is projected and there is no included line: a level has no overage.

    `days` maps local days to the highest level held on them; a missing day carries the last one on (0 at first).
    Errors as in `daily_chart`.
    """
    bottom = BOTTOMS[size]
    axis = time_axis(starts_at=starts_at, ends_at=ends_at, zone=zone)
    now = axis.x(as_of)
    begun = [column for column in axis.columns if column.left < now]
    levels: list[Decimal] = []
    for column in begun:
        levels.append(days.get(column.on, levels[-1] if levels else Decimal(0)))
    scale = scale_to(max(levels, default=Decimal(0)), top=TOP, bottom=bottom, steps=4, whole=whole)
    done = as_of >= ends_at
    last = len(levels) - 1
    return DailyChart(
        id=id,
        title=f"{name} held each day",
        height=text(bottom + 2400),
        sentence=f"{name} held each day: {_runs(begun, levels)}.",
        readout_day="" if done or not begun else begun[-1].name,
        readout=f"{number(levels[-1])} {unit}" if levels else "Nothing recorded yet",
        axis=tuple(Tick(text(scale.y(tick) + 400), scale.words(tick)) for tick in scale.ticks()),
        grid=tuple(text(scale.y(tick)) for tick in scale.ticks()[1:]),
        bases=(text(bottom),),
        panel=(),
        future=Box(percent(now), text(TOP), percent(FULL - now), text(bottom - TOP)) if begun and now < FULL else None,
        bars=tuple(
            bar(
                column,
                top=scale.y(level),
                bottom=bottom,
                kind="now" if index == last and not done else "",
            )
            for index, (column, level) in enumerate(zip(begun, levels, strict=True))
            if level > 0
        ),
        areas=(),
        over="",
        previous="",
        projections=(),
        pool="",
        line="",
        references=(),
        dots=(),
        labels=(),
        notes=() if any(levels) else (Words("50%", text((TOP + bottom) // 2), "0", "middle", f"No {unit} yet"),),
        days=day_names(axis, text(bottom + 1800)),
        begun=tuple(begun),
        titles=tuple(f"{c.name}: {number(level)} {unit}" for c, level in zip(begun, levels, strict=True)),
        hit_y=text(TOP),
        hit_height=text(bottom - TOP),
        scrub_label=f"Day in {name}",
        scrub_max=len(axis.columns) - 1,
        scrub_value=max(last, 0),
        caption=f"{name} held per day",
        columns=("Day", name),
        rows=tuple((c.name, number(level)) for c, level in zip(begun, levels, strict=True)),
        view_box=f"0 0 100 {text(bottom + 2400)}",
    )


def _runs(columns: list[Column], levels: list[Decimal]) -> str:
    """`8 until 10 Nov, 9 since 11 Nov`; many changes are told by their range."""
    if not levels:
        return "nothing recorded yet"
    runs: list[tuple[Decimal, date]] = []
    for column, level in zip(columns, levels, strict=True):
        if not runs or runs[-1][0] != level:
            runs.append((level, column.on))
    if len(runs) == 1:
        return number(levels[-1])
    if len(runs) > 4:
        today = f"{number(levels[-1])} on {day_and_month(columns[-1].on)}"
        return f"between {number(min(levels))} and {number(max(levels))}, {today}"
    told = []
    for (level, _), (_, following) in pairwise(runs):
        before = columns[[column.on for column in columns].index(following) - 1].on
        told.append(f"{number(level)} until {day_and_month(before)}")
    return ", ".join([*told, f"{number(runs[-1][0])} since {day_and_month(runs[-1][1])}"])
