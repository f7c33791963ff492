"""What the small charts show: seats, the history of a metric, bars, the chart of a document (spec 6.4, 6.5)."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from usage import charts
from usage.charts.parts import DailyChart

STARTS = datetime(2026, 11, 7, 23, tzinfo=UTC)
ENDS = datetime(2026, 12, 7, 23, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 13, 30, tzinfo=UTC)
FIRST = date(2026, 11, 8)


class TestSeats:
    def level(self, **given_: object) -> DailyChart:
        facts: dict[str, object] = {"id": "s", "name": "Seats", "unit": "seats", "starts_at": STARTS, "ends_at": ENDS}
        return charts.level_chart(**{**facts, "as_of": NOW, "zone": "Europe/Berlin", **given_})  # type: ignore[arg-type]

    def test_days_without_report_carry_the_level_on(self) -> None:
        drawn = self.level(days={FIRST: Decimal(8), date(2026, 11, 11): Decimal(9)})
        assert [row[1] for row in drawn.rows] == ["8"] * 3 + ["9"] * 11
        assert drawn.sentence == "Seats held each day: 8 until 10 Nov, 9 since 11 Nov."
        assert (drawn.readout_day, drawn.readout) == ("Sat 21 Nov", "9 seats")

    def test_many_changes_are_told_by_their_range(self) -> None:
        drawn = self.level(days={FIRST + timedelta(days=day): Decimal(day + 1) for day in range(14)})
        assert drawn.sentence == "Seats held each day: between 1 and 14, 14 on 21 Nov."

    def test_no_seats_are_said_in_words(self) -> None:
        assert [note.words for note in self.level(days={}).notes] == ["No seats yet"]


class TestHistory:
    def periods(self, *quantities: int, included: int | None = 250) -> list[charts.HistoryPeriod]:
        last = len(quantities) - 1
        return [
            charts.HistoryPeriod(
                f"8 {index}", Decimal(q), None if included is None else Decimal(included), index == last
            )
            for index, q in enumerate(quantities)
        ]

    def test_the_running_period_is_dark_and_projected(self) -> None:
        drawn = charts.history_chart(name="Conversations", periods=self.periods(512, 604), projected=Decimal(900))
        assert [bar.kind for bar in drawn.bars] == ["", "now"]
        assert drawn.projection is not None
        assert drawn.sentence.endswith("8 0 512, 8 1 604; projected 900")

    def test_the_projection_stands_above_a_number_it_would_cover(self) -> None:
        drawn = charts.history_chart(
            name="Emails", periods=self.periods(8000, 8000, 8000, 7300, 3500), projected=Decimal(7700)
        )
        *_, last_number, _, ahead = drawn.labels
        assert (last_number.words, ahead.words) == ("7,300", "Projected 7,700")
        assert float(last_number.y) - float(ahead.y) >= 12  # a line of text

    def test_a_new_included_amount_is_a_step_with_its_number(self) -> None:
        periods = [*self.periods(512)[:1], charts.HistoryPeriod("8 Nov", Decimal(900), Decimal(1000))]
        drawn = charts.history_chart(name="Conversations", periods=periods)
        assert len(drawn.steps) == 3
        assert [note.words for note in drawn.notes] == ["250", "1,000"]

    def test_without_periods_it_says_so(self) -> None:
        assert charts.history_chart(name="SMS", periods=[]).sentence == "SMS by billing period: nothing recorded yet"

    def test_many_periods_leave_their_numbers_to_the_table(self) -> None:
        drawn = charts.history_chart(name="SMS", periods=self.periods(*range(24), included=None))
        assert drawn.labels == ()
        assert len(drawn.periods) == 6


class TestUsageBar:
    def parts(self, *quantities: int) -> list[charts.Part]:
        return [charts.Part(name, Decimal(q)) for name, q in zip(("Atlas", "Birch", "Cedar"), quantities, strict=False)]

    def test_it_says_what_is_left(self) -> None:
        drawn = charts.usage_bar(parts=self.parts(296, 92), included=Decimal(400), word="contracted")
        assert drawn.sentence == "388 of 400 contracted used: Atlas 296, Birch 92. 12 left of 400"
        assert [segment.width for segment in drawn.segments] == ["74%", "23%"]
        assert drawn.mark == ""

    def test_beyond_the_included_amount_it_is_full_with_a_mark_inside(self) -> None:
        drawn = charts.usage_bar(parts=self.parts(748, 295), included=Decimal(1000))
        assert drawn.rest is not None
        assert drawn.rest.words == "43 over the 1,000 included"
        assert drawn.segments[-1].kind == "ubar-over"
        assert drawn.mark == "95.88%"

    def test_many_workspaces_stand_together(self) -> None:
        drawn = charts.usage_bar(parts=self.parts(1, 2, 3), included=Decimal(10))
        assert [key.words for key in drawn.keys] == ["Atlas 1", "2 other workspaces 5"]

    def test_nothing_used_of_nothing_included(self) -> None:
        drawn = charts.usage_bar(parts=self.parts(0), included=Decimal(0))
        assert drawn.segments == ()

    def test_a_level_that_was_passed_is_a_full_bar(self) -> None:
        drawn = charts.level_bar(name="AI Voice", used=Decimal(22), level=Decimal(20), words="Limit 20", tone="limit")
        assert [(s.kind, s.width) for s in drawn.segments] == [("ubar-limit", "100%")]
        assert drawn.sentence == "AI Voice: 22 of 20"
        nought = charts.level_bar(name="AI Voice", used=Decimal(0), level=Decimal(0), words="Limit 0", tone="limit")
        assert nought.segments[0].width == "100%"


def test_the_chart_of_a_document_says_in_words_what_it_draws() -> None:
    panel = charts.PaperPanel(name="Conversations", days=[Decimal(100)] * 15, included=Decimal(1000))
    free = charts.PaperPanel(name="WhatsApp", days=[Decimal(0)] * 15)
    drawn = charts.paper_chart(panels=[panel, free], first_on=date(2026, 10, 8), last_on=date(2026, 10, 22))
    assert drawn.alt == (
        "Running totals of all workspaces, 8 Oct to 22 Oct. Conversations: 1,500, included 1,000. WhatsApp: 0."
    )
    assert drawn.panels[0].over
    assert drawn.panels[1].included_y == drawn.panels[1].over == ""
    assert drawn.panels[1].bars == ()
