"""The chart of one metric in one period: running total above, per day below, one exact time axis (spec 6.4). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate
from typing import Any

from usage.charts import placing, words
from usage.charts.labels import Point
from usage.charts.parts import Box, DailyChart, Dot, Tick, Words, bar, day_names, points, points_above
from usage.charts.scale import FULL, Column, Scale, percent, scale_to, text, time_axis

ZERO = Decimal(0)
DAY = timedelta(days=1)
TOP = 1800  # air for the label of the highest line
BETWEEN = 3400  # from the upper panel's base to the lower panel's top
SIZES = {"wide": (20_000, 5200), "split": (17_600, 5200), "half": (15_600, 4000), "small": (14_000, 3600)}
FAR = 25  # an alert or limit this many times above everything else would flatten the line that matters


@dataclass(slots=True)
class _Series:
    """One running total: its days, their sums, and the curve they draw."""

    days: list[Decimal] = field(default_factory=list)
    sums: list[Decimal] = field(default_factory=list)
    projected: Decimal | None = None
    curve: list[Point] = field(default_factory=list)
    ahead: list[Point] = field(default_factory=list)

    @property
    def total(self) -> Decimal:
        return self.sums[-1] if self.sums else ZERO

    def draw(self, columns: Sequence[Column], scale: Scale, now: int) -> None:
        steps = zip(columns, self.sums, strict=True)
        self.curve = [(0, scale.bottom), *[(min(column.right, now), scale.y(total)) for column, total in steps]]
        if self.projected is not None:
            self.ahead = [self.curve[-1], (FULL, scale.y(self.projected))]


def daily_chart(
    *,
    id: str,
    name: str,
    unit: str,
    workspace: str,
    starts_at: datetime,
    ends_at: datetime,
    as_of: datetime,
    zone: str,
    own: Mapping[date, Decimal],
    pool: Mapping[date, Decimal] | None = None,
    included: Decimal | None = None,
    included_word: str = "Included",
    alert: Decimal | None = None,
    limit: Decimal | None = None,
    projected: Decimal | None = None,
    pool_projected: Decimal | None = None,
    previous: Sequence[Decimal] = (),
    whole: bool = True,
    size: str = "wide",
) -> DailyChart:
    """The chart of a counted metric (spec 6.4): the line ends at the elapsed fraction, the projection at 100 %.

    `own` and `pool` map local days (of `zone`, IANA) to quantities in display units; days without usage may be missing.
    `pool` is all workspaces of the account, given only when there are several; the blue line then belongs to it.
    `included` None draws none (pay-as-you-go, unlimited); `included_word` is Included or Contracted. `as_of` is the
    instant at which the totals were read; from `ends_at` on the period is complete and nothing is projected.
    `projected` is drawn exactly and said in whole units (half-up). `previous` holds the last period's days in order.
    `whole` is False for units that split (minutes). Raises ValueError for an empty period and KeyError for an unknown
    `size` (wide, split, half, small).
    """
    upper, lower = SIZES[size]
    axis = time_axis(starts_at=starts_at, ends_at=ends_at, zone=zone)
    now = axis.x(as_of)
    done = as_of >= ends_at
    begun = [column for column in axis.columns if column.left < now]
    ours = _series(begun, own)
    everyone = _series(begun, pool or {})
    before = list(accumulate(previous))
    has_usage = ours.total > 0 or everyone.total > 0
    if has_usage and not done:
        ours.projected = projected
        everyone.projected = pool_projected if pool is not None else None

    marks = [
        *words.make_mark("included", included, included_word, " shared" if pool is not None else ""),
        *words.make_mark("alert", alert, "Alert"),
        *words.make_mark("limit", limit, "Limit"),
    ]
    known = [ours.total, everyone.total, ours.projected, everyone.projected, included, *before[-1:]]
    base = max(value for value in known if value is not None)
    settled = as_of - starts_at >= DAY
    near = [mark for mark in marks if not settled or not base or mark.value <= base * FAR]
    scale = scale_to(max([base, *(mark.value for mark in near)]), top=TOP, bottom=TOP + upper, steps=4, whole=whole)
    floor = scale.bottom + BETWEEN + lower
    busiest = max(ours.days, default=ZERO)
    day_scale = scale_to(busiest, top=floor - lower, bottom=floor, steps=2, whole=whole, headroom=Decimal(1))
    if has_usage:
        ours.draw(begun, scale, now)
        if pool is not None:
            everyone.draw(begun, scale, now)
    past = _spread(before, scale)

    references, labels, notes = placing.placed(
        top=scale.top,
        bottom=scale.bottom,
        now=now,
        marks=tuple((mark.kind, mark.words, scale.y(mark.value) if mark in near else None) for mark in marks),
        lines=(tuple(ours.curve), tuple(everyone.curve), tuple(past), tuple(ours.ahead), tuple(everyone.ahead)),
        ends=tuple(_named_ends(ours, everyone)),
        workspace=workspace,
        remark=_note(has_usage=has_usage, early=not settled, done=done),
        has_usage=has_usage,
    )
    heights = [(tick, scale.y(tick)) for tick in scale.ticks()]
    top_line = everyone.curve or ours.curve
    pool_line, line = points(everyone.curve), points(ours.curve)
    day, rest = words.readout(begun, ours.days, ours.total if has_usage else None, done=done)
    return DailyChart(
        id=id,
        title="Running total" if done else "Total this period",
        height=text(floor + 2400),
        sentence=words.sentence(
            name=name,
            unit=unit,
            workspace=workspace,
            total=ours.total if has_usage else None,
            pool_total=everyone.total if pool is not None else None,
            marks=marks,
            projected=words.estimate(ours.projected),
            pool_projected=words.estimate(everyone.projected),
            done=done,
        ),
        readout_day=day,
        readout=rest,
        axis=_axis(heights, scale, day_scale, has_bars=any(ours.days)),
        grid=tuple(text(y) for _, y in heights[1:]),
        bases=(text(scale.bottom), text(floor)),
        panel=(Words(x="0", y=text(scale.bottom + 2600), dx="0", anchor="start", words="Per day"),),
        future=_future(now, scale) if has_usage else None,
        bars=_bars(begun, ours.days, day_scale, running=not done),
        areas=tuple(_area(drawn, now, scale) for drawn in (pool_line, line) if drawn),
        over=points_above(top_line, scale.y(included)) if included is not None and top_line else "",
        previous=points(past),
        projections=tuple(points(series.ahead) for series in (everyone, ours) if series.ahead),
        pool=pool_line,
        line=line,
        references=references,
        dots=_dots(ours, everyone),
        labels=labels,
        notes=notes,
        days=day_names(axis, text(floor + 1800)),
        begun=tuple(begun),
        titles=words.titles(begun, ours.days, ours.sums, everyone.sums if pool is not None else (), workspace)
        if has_usage
        else (),
        hit_y=text(scale.top),
        hit_height=text(floor - scale.top),
        scrub_label=f"Day in {name}",
        scrub_max=len(axis.columns) - 1,
        scrub_value=max(len(begun) - 1, 0),
        caption=f"{name} per day, {workspace}",
        columns=("Day", "That day", f"{workspace} so far", *(["All workspaces so far"] if pool is not None else [])),
        rows=words.rows(begun, ours.days, ours.sums, everyone.sums if pool is not None else ()),
        view_box=f"0 0 100 {text(floor + 2400)}",
    )


def closed_chart(*, own: Mapping[date, Decimal], pool: Mapping[date, Decimal] | None, **facts: Any) -> DailyChart:
    """`daily_chart` of a period that is over, made once for as long as its numbers are the same: people turn back to
    the same few periods. It depends on nothing but its arguments, so what is kept cannot be out of date."""
    return _kept(tuple(own.items()), None if pool is None else tuple(pool.items()), **facts)


Days = tuple[tuple[date, Decimal], ...]


@lru_cache(maxsize=256)
def _kept(own: Days, pool: Days | None, **facts: Any) -> DailyChart:
    return daily_chart(own=dict(own), pool=None if pool is None else dict(pool), **facts)


def _series(columns: Sequence[Column], usage: Mapping[date, Decimal]) -> _Series:
    """The begun days; what a clock ahead of ours dated after today belongs to today."""
    if not columns:
        return _Series()
    days = [usage.get(column.on, ZERO) for column in columns]
    days[-1] += sum((quantity for on, quantity in usage.items() if on > columns[-1].on), ZERO)
    return _Series(days=days, sums=list(accumulate(days)))


def _spread(sums: Sequence[Decimal], scale: Scale) -> list[Point]:
    """The last period over this one's whole width: its share of time, not its dates, is what compares."""
    if not sums:
        return []
    return [(0, scale.bottom), *((FULL * (i + 1) // len(sums), scale.y(total)) for i, total in enumerate(sums))]


def _named_ends(ours: _Series, everyone: _Series) -> list[tuple[str, Point]]:
    ends = []
    for series, prefix in ((everyone, "Projected, all"), (ours, "Projected")):
        value = words.estimate(series.projected)
        if series.ahead and value is not None:
            ends.append((f"{prefix} {words.label_number(value)}", series.ahead[-1]))
    return ends


def _note(*, has_usage: bool, early: bool, done: bool) -> tuple[tuple[str, str], ...]:
    if not has_usage:
        return ((words.no_usage(done=done), ""),)
    if early:
        long = "Too early to project: less than 24 hours of data"
        return ((long, "chart-wide"), ("Too early to project", "chart-narrow"))
    return ()


def _axis(
    heights: Sequence[tuple[Decimal, int]], scale: Scale, day_scale: Scale, *, has_bars: bool
) -> tuple[Tick, ...]:
    ticks = [Tick(text(y + 400), scale.words(tick)) for tick, y in heights]
    if has_bars:
        ticks.append(Tick(text(day_scale.top + 400), day_scale.words(day_scale.top_value)))
    return (*ticks, Tick(text(day_scale.bottom + 400), "0"))


def _future(now: int, scale: Scale) -> Box | None:
    if now >= FULL:
        return None
    return Box(x=percent(now), y=text(scale.top), width=percent(FULL - now), height=text(scale.bottom - scale.top))


def _bars(columns: Sequence[Column], days: Sequence[Decimal], scale: Scale, *, running: bool) -> tuple[Box, ...]:
    last = len(days) - 1
    return tuple(
        bar(
            column,
            top=scale.y(quantity),
            bottom=scale.bottom,
            kind="now" if running and index == last else "",
        )
        for index, (column, quantity) in enumerate(zip(columns, days, strict=True))
        if quantity > 0
    )


def _area(line: str, now: int, scale: Scale) -> str:
    """What lies below a line, which ends now."""
    base = text(scale.bottom)
    return f"0,{base} {line} {text(now)},{base}"


def _dots(ours: _Series, everyone: _Series) -> tuple[Dot, ...]:
    wanted = [
        ("chart-dot-pool", everyone.curve, "4"),
        ("chart-dot", ours.curve, "5"),
        ("chart-dot-end", everyone.ahead, "3.5"),
        ("chart-dot-end", ours.ahead, "3.5"),
    ]
    return tuple(
        Dot(kind, percent(curve[-1][0]), text(curve[-1][1]), radius) for kind, curve, radius in wanted if curve
    )
