"""What a chart shows: exact places, honest words, labels that can be read (spec 6.4, 6.5)."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import combinations, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage import charts
from usage.charts.labels import WIDTHS, Box, Place, box_at, size_of
from usage.charts.parts import DailyChart, Words
from usage.charts.scale import nice_step, scale_to

BERLIN = "Europe/Berlin"
STARTS = datetime(2026, 11, 7, 23, tzinfo=UTC)
ENDS = datetime(2026, 12, 7, 23, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 13, 30, tzinfo=UTC)
FIRST = date(2026, 11, 8)


def days(*quantities: int | str, first: date = FIRST) -> dict[date, Decimal]:
    return {first + timedelta(days=offset): Decimal(quantity) for offset, quantity in enumerate(quantities)}


def even(total: int, count: int = 14, first: date = FIRST) -> dict[date, Decimal]:
    shares = [total * (index + 1) // count - total * index // count for index in range(count)]
    return days(*shares, first=first)


def chart(own: dict[date, Decimal], **given_: object) -> DailyChart:
    facts: dict[str, object] = {
        "id": "c",
        "name": "Conversations",
        "unit": "conversations",
        "workspace": "Atlas",
        "starts_at": STARTS,
        "ends_at": ENDS,
        "as_of": NOW,
        "zone": BERLIN,
        "own": own,
    }
    return charts.daily_chart(**{**facts, **given_})  # type: ignore[arg-type]


def curve(points: str) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(x), Decimal(y)) for x, y in (pair.split(",") for pair in points.split())]


def texts(drawn: DailyChart) -> list[Words]:
    return [*(reference.label for reference in drawn.references), *drawn.labels, *drawn.notes]


class TestTime:
    def test_the_line_ends_at_the_elapsed_fraction_of_the_period(self) -> None:
        drawn = chart(even(748))
        assert curve(drawn.line)[-1][0] == Decimal("45.35")  # 13.6 of 30 days
        assert drawn.future is not None
        assert drawn.future.x == "45.35%"

    def test_the_projection_starts_where_the_line_ends_and_ends_with_the_period(self) -> None:
        drawn = chart(even(748), projected=Decimal(1649))
        ahead = curve(drawn.projections[0])
        assert ahead[0] == curve(drawn.line)[-1]
        assert ahead[-1][0] == 100

    def test_the_columns_tile_the_period_also_over_a_change_of_clocks(self) -> None:
        starts, ends = datetime(2026, 10, 7, 22, tzinfo=UTC), datetime(2026, 11, 7, 23, tzinfo=UTC)
        drawn = chart(even(310, 31, date(2026, 10, 8)), starts_at=starts, ends_at=ends, as_of=ends)
        edges = [(Decimal(day.x[:-1]), Decimal(day.width[:-1])) for day in drawn.begun]
        assert len(edges) == 31
        assert all(left + width == following for (left, width), (following, _) in pairwise(edges))
        assert sum(edges[-1]) == 100
        long_day = edges[17]  # 25 October has 25 hours
        assert long_day[1] > edges[16][1]

    def test_a_period_that_is_over_speaks_of_itself(self) -> None:
        drawn = chart({}, as_of=ENDS)
        assert (drawn.title, drawn.readout) == ("Running total", "Nothing recorded")
        assert [note.words for note in drawn.notes] == ["No usage in this period"]
        assert "No usage in this period" in drawn.sentence

    def test_a_period_that_begins_at_noon_has_a_short_first_day(self) -> None:
        starts = datetime(2026, 11, 8, 12, tzinfo=ZoneInfo(BERLIN))
        drawn = chart(even(100), starts_at=starts, ends_at=starts + timedelta(days=30))
        assert Decimal(drawn.begun[0].width[:-1]) < Decimal(drawn.begun[1].width[:-1])

    def test_a_past_period_is_complete_and_projects_nothing(self) -> None:
        drawn = chart(even(1049, 30), as_of=ENDS + timedelta(days=3), projected=Decimal(1), included=Decimal(1000))
        assert curve(drawn.line)[-1][0] == 100
        assert drawn.projections == ()
        assert drawn.future is None
        assert (drawn.readout_day, drawn.readout) == ("", "1,049 in the period")

    def test_a_past_period_is_drawn_anew_when_its_numbers_change(self) -> None:
        facts = {"id": "c", "name": "Conversations", "unit": "conversations", "workspace": "Atlas", "zone": BERLIN}
        times = {"starts_at": STARTS, "ends_at": ENDS, "as_of": ENDS}

        def drawn(total: int) -> tuple[DailyChart, DailyChart]:
            own, pool = even(total, 30), even(2 * total, 30)
            return (
                charts.closed_chart(own=own, pool=pool, **facts, **times),
                charts.daily_chart(own=own, pool=pool, **facts, **times),  # type: ignore[arg-type]
            )

        for total in (900, 901, 900):
            kept, fresh = drawn(total)
            assert kept == fresh
            assert kept.rows[-1][2:] == (f"{total:,}", f"{2 * total:,}")

    def test_usage_dated_after_today_belongs_to_today(self) -> None:
        drawn = chart({**even(100), date(2026, 11, 22): Decimal(5)})
        assert drawn.rows[-1][1:] == ("13", "105")

    def test_a_period_must_not_be_empty(self) -> None:
        with pytest.raises(ValueError, match="ends after it starts"):
            chart({}, ends_at=STARTS)


class TestLines:
    def test_pay_as_you_go_has_no_blue_line(self) -> None:
        assert [ref.kind for ref in chart(even(22), alert=Decimal(15), limit=Decimal(20)).references] == [
            "limit",
            "alert",
        ]

    def test_the_blue_line_says_that_the_amount_is_shared(self) -> None:
        drawn = chart(even(296), pool=even(388), included=Decimal(400), included_word="Contracted")
        assert drawn.references[-1].kind == "included"
        assert drawn.references[-1].label.words == "Contracted 400 shared"

    def test_the_part_above_included_begins_exactly_where_the_pool_crosses_it(self) -> None:
        drawn = chart(even(700), pool=even(1400), included=Decimal(1000))
        blue = Decimal(drawn.references[-1].y)
        over = curve(drawn.over)
        assert over[0][1] == over[-1][1] == blue
        assert all(y <= blue for _, y in over)
        assert over[-1][0] == curve(drawn.pool)[-1][0]

    def test_nothing_is_over_when_the_included_amount_is_just_reached(self) -> None:
        assert chart(even(1000), included=Decimal(1000)).over == ""

    def test_an_alert_far_above_everything_is_told_without_flattening_the_line(self) -> None:
        drawn = chart(even(30), projected=Decimal(64), limit=Decimal(100_000))
        assert drawn.references[0].y == ""
        assert drawn.references[0].label.words == "Limit 100,000, above this scale"
        assert min(y for _, y in curve(drawn.line)) < 150

    def test_two_projections_closer_than_nine_pixels_are_named_once(self) -> None:
        drawn = chart(even(390), pool=even(395), projected=Decimal(860), pool_projected=Decimal(871))
        assert [label.words for label in drawn.labels if label.words.startswith("Projected")] == ["Projected, all 871"]

    def test_one_workspace_alone_needs_no_name_at_its_line(self) -> None:
        assert chart(even(100)).labels == ()

    def test_the_last_period_is_spread_over_this_one(self) -> None:
        drawn = chart(even(700), previous=[Decimal(10)] * 31)
        assert curve(drawn.previous)[-1][0] == 100
        assert "Last period" in [label.words for label in drawn.labels]


class TestEdges:
    def test_without_usage_the_lines_stand_and_words_say_so(self) -> None:
        drawn = chart({}, included=Decimal(400), alert=Decimal(300), projected=Decimal(0))
        assert len(drawn.references) == 2
        assert [note.words for note in drawn.notes] == ["No usage yet this period"]
        assert (drawn.line, drawn.bars, drawn.titles) == ("", (), ())
        assert drawn.readout == "Nothing recorded yet"

    def test_on_the_first_day_it_is_too_early_to_project(self) -> None:
        drawn = chart(days(17), as_of=STARTS + timedelta(hours=10), included=Decimal(400))
        assert drawn.notes[0].words == "Too early to project: less than 24 hours of data"
        assert len(drawn.bars) == len(drawn.dots) == 1

    def test_little_is_not_nothing(self) -> None:
        drawn = chart({**even(100_000), FIRST: Decimal("0.000001")})
        assert Decimal(drawn.bars[0].height) == Decimal("1.5")

    def test_huge_numbers_are_short_on_the_axis_and_exact_in_words(self) -> None:
        drawn = chart(even(48_211_900), limit=Decimal(120_000_000))
        assert [tick.words for tick in drawn.axis][:4] == ["0", "50M", "100M", "150M"]
        assert "48,211,900 conversations" in drawn.sentence
        assert drawn.rows[-1][-1] == "48,211,900"

    def test_labels_are_exact_up_to_a_million(self) -> None:
        assert chart(even(1), alert=Decimal(123_456)).references[0].label.words.startswith("Alert 123,456")

    def test_before_the_period_there_is_nothing(self) -> None:
        drawn = chart(even(10), as_of=STARTS - timedelta(days=1))
        assert drawn.rows == ()

    def test_a_year_names_a_few_months(self) -> None:
        starts = datetime(2026, 1, 31, tzinfo=UTC)
        drawn = chart({}, starts_at=starts, ends_at=datetime(2027, 1, 31, tzinfo=UTC), zone="UTC")
        assert [day.words for day in drawn.days] == ["31 Jan", "30 Apr", "31 Jul", "31 Oct"]

    def test_a_workspace_name_is_cut_before_it_covers_the_plot(self) -> None:
        drawn = chart(even(100), pool=even(200), workspace="A very long workspace name with words")
        assert max(len(label.words) for label in drawn.labels) <= 18


class TestWords:
    def test_the_sentence_names_usage_lines_and_projection(self) -> None:
        drawn = chart(
            even(296),
            pool=even(388),
            included=Decimal(400),
            included_word="Contracted",
            alert=Decimal(500),
            limit=Decimal(600),
            projected=Decimal("653.2"),
            pool_projected=Decimal("855.7"),
        )
        assert drawn.sentence == (
            "Conversations: 296 conversations in Atlas so far, 388 in all workspaces; Contracted 400 shared; "
            "Alert 500; Limit 600; projected 653, all workspaces 856. The same figures are in the table below."
        )

    def test_each_day_can_be_read(self) -> None:
        drawn = chart(days(9, 25), pool=days(13, 35))
        assert drawn.titles[1] == "Mon 9 Nov: 25 that day, Atlas 34, all 48 so far"
        assert drawn.rows[1][1:] == ("25", "34", "48")
        assert drawn.columns == ("Day", "That day", "Atlas so far", "All workspaces so far")
        assert (drawn.readout_day, drawn.readout) == ("Sat 21 Nov", "0 so far today")


@given(
    quantities=st.lists(st.integers(0, 10**6), min_size=1, max_size=14),
    others=st.lists(st.integers(0, 10**6), min_size=1, max_size=14),
    included=st.none() | st.integers(1, 10**7),
    alert=st.none() | st.integers(1, 10**7),
    limit=st.none() | st.integers(0, 10**7),
    has_others=st.booleans(),
)
def test_whatever_the_numbers_are_the_chart_stays_inside_its_panels_and_its_table_adds_up(
    quantities: list[int],
    others: list[int],
    included: int | None,
    alert: int | None,
    limit: int | None,
    has_others: bool,
) -> None:
    own, other = days(*quantities), days(*others)
    pool = {on: own.get(on, Decimal(0)) + other.get(on, Decimal(0)) for on in {*own, *other}} if has_others else None
    levels = {
        name: None if value is None else Decimal(value)
        for name, value in {"included": included, "alert": alert, "limit": limit}.items()
    }
    drawn = chart(own, pool=pool, **levels, projected=Decimal(sum(quantities) * 2), pool_projected=Decimal(10**7))
    for drawn_line in (drawn.line, drawn.pool, drawn.over, *drawn.projections):
        for x, y in curve(drawn_line):
            assert 0 <= x <= 100
            assert 18 <= y <= 218
    for a, b in pairwise(curve(drawn.line)):
        assert a[0] <= b[0]
        assert a[1] >= b[1]
    for box in drawn.bars:
        assert Decimal(box.y) >= 252
        assert Decimal(box.y) + Decimal(box.height) == 304
    assert sum(Decimal(row[1].replace(",", "")) for row in drawn.rows) == sum(quantities)


def meet(one: Box, other: Box) -> bool:
    return one[0] < other[1] and other[0] < one[1] and one[2] < other[3] and other[2] < one[3]


@pytest.mark.parametrize(
    ("own", "pool", "levels"),
    [
        (296, 388, {"included": 400, "alert": 500, "limit": 600}),
        (748, 1043, {"included": 1000, "alert": 800}),
        (22, None, {"alert": 15, "limit": 20}),
        (312, None, {"included": 500}),
        (352, 443, {"included": 500}),
    ],
)
def test_labels_do_not_cover_each_other(own: int, pool: int | None, levels: dict[str, int]) -> None:
    drawn = chart(
        even(own),
        pool=None if pool is None else even(pool),
        projected=Decimal(own * 22) / 10,
        pool_projected=None if pool is None else Decimal(pool * 22) / 10,
        **{name: Decimal(level) for name, level in levels.items()},
    )
    for width in WIDTHS[1:]:
        boxes = [
            box_at(
                Place(
                    int(Decimal(item.x[:-1]) * 100),
                    int(Decimal(item.dx) * 100),
                    int(Decimal(item.y) * 100),
                    item.anchor,
                ),
                size_of(item.words, bold="strong" in item.kind),
                width,
            )
            for item in texts(drawn)
        ]
        assert not any(meet(one, other) for one, other in combinations(boxes, 2))


class TestAxes:
    @given(st.decimals("0.000001", "1e13", allow_nan=False), st.booleans())
    def test_an_axis_holds_its_highest_value_with_at_most_five_nice_steps(self, highest: Decimal, whole: bool) -> None:
        scale = scale_to(highest, top=0, bottom=20_000, steps=4, whole=whole)
        assert scale.top_value >= highest
        assert scale.top_value >= 1
        assert 1 <= len(scale.ticks()) - 1 <= 4
        digits = scale.step.normalize().as_tuple().digits
        assert digits in ((1,), (2,), (5,), (2, 5))
        assert not whole or scale.step == scale.step.to_integral_value()

    def test_whole_units_never_step_by_a_half(self) -> None:
        assert nice_step(Decimal("2.1"), whole=True) == 5
        assert nice_step(Decimal("2.1"), whole=False) == Decimal("2.5")
