"""`{% load charts %}`: charts as SVG, the tables behind them, and the frame of a scrolling table.

A usage page draws some thousand of these elements, so each chart is written in one go: positions, which are numbers of
`usage.charts`, stand in the format string; words are its arguments and are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from usage.charts.bar import UsageBar
from usage.charts.history import HistoryChart
from usage.charts.parts import Box, DailyChart, Words
from usage.markup import Html, Markup
from usage.templatetags.headroom import icon

register = template.Library()


class _Drawing(Markup):
    """Elements from the back to the front."""

    def texts(self, texts: Iterable[Words], css: str = "") -> None:
        for item in texts:
            self.add(
                f'<text class="{css} {item.kind}" x="{item.x}" dx="{item.dx}" y="{item.y}"'
                f' text-anchor="{item.anchor}">{{}}</text>',
                item.words,
            )

    def grid(self, lines: Iterable[str], bases: Iterable[str]) -> None:
        """Hairlines, and the stronger base of each panel."""
        self.add('<g class="chart-grid">')
        self.parts += [f'<line x2="100%" y1="{y}" y2="{y}"/>' for y in lines]
        self.parts += [f'<line class="base" x2="100%" y1="{y}" y2="{y}"/>' for y in bases]
        self.add("</g>")

    def bars(self, bars: Iterable[Box]) -> None:
        """The bars, today's (or the running period's) marked."""
        self.add('<g class="chart-bars">')
        self.parts += [
            f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="1.5"/>'
            for x, y, width, height, kind in bars
        ]
        self.add("</g>")

    def curves(self, element: str, css: str, curves: Iterable[str]) -> None:
        self.parts += [f'<{element} class="{css}" points="{points}"/>' for points in curves if points]

    def open_canvas(self, chart: DailyChart | HistoryChart) -> None:
        """The numbers of the vertical axes; then the plot begins."""
        self.add('<div class="chart-canvas">')
        self.add(f'<svg class="chart-axis" width="40" height="{chart.height}" aria-hidden="true">')
        for tick in chart.axis:
            self.add(f'<text x="32" y="{tick.y}" text-anchor="end">{{}}</text>', tick.words)
        self.add('</svg><div role="img" aria-label="{}">', chart.sentence)
        self.add(f'<svg width="100%" height="{chart.height}" aria-hidden="true">')


@register.simple_tag(name="chart")
def daily_chart(chart: DailyChart) -> Html:
    """A daily chart (`daily_chart`, `level_chart`). The table behind it: `chart_table`."""
    drawing = _Drawing()
    drawing.add('<figure class="chart" id="{}"><p class="chart-readout"><span>{}</span><output>', chart.id, chart.title)
    if chart.readout_day:
        drawing.add("<b>{}</b> ", chart.readout_day)
    drawing.add("{}</output></p>", chart.readout)
    drawing.open_canvas(chart)
    _plot(drawing, chart)
    drawing.add("</svg></div>")
    if chart.titles:
        drawing.add(
            f'<input class="chart-scrub" type="range" min="0" max="{chart.scrub_max}" value="{chart.scrub_value}"'
            ' aria-label="{}" hidden>',
            chart.scrub_label,
        )
    drawing.add("</div></figure>")
    return drawing.html()


def _plot(drawing: _Drawing, chart: DailyChart) -> None:
    """All of a daily chart but its vertical axes."""
    if chart.future:
        box = chart.future
        drawing.add(
            f'<rect class="chart-future" x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}"/>',
        )
    drawing.grid(chart.grid, chart.bases)
    drawing.texts(chart.panel, "chart-panel")
    drawing.bars(chart.bars)
    drawing.add(
        f'<svg width="100%" height="{chart.height}" viewBox="{chart.view_box}" preserveAspectRatio="none">',
    )
    drawing.curves("polyline", "chart-prev", [chart.previous])
    drawing.curves("polygon", "chart-area", chart.areas)
    drawing.curves("polygon", "chart-over", [chart.over])
    drawing.curves("polyline", "chart-proj", chart.projections)
    drawing.curves("polyline", "chart-pool", [chart.pool])
    drawing.curves("polyline", "chart-line", [chart.line])
    drawing.add("</svg>")
    for ref in chart.references:
        # One that lies above the axis has its label alone.
        line = f'<line x2="100%" y1="{ref.y}" y2="{ref.y}"/>' if ref.y else ""
        drawing.add(f'<g class="ref ref-{ref.kind}">{line}')
        drawing.texts([ref.label])
        drawing.add("</g>")
    for dot in chart.dots:
        drawing.add(f'<circle class="{dot.kind}" cx="{dot.x}" cy="{dot.y}" r="{dot.radius}"/>')
    drawing.texts(chart.labels, "chart-label")
    drawing.texts(chart.notes, "chart-empty")
    drawing.add('<g class="chart-x">')
    drawing.texts(chart.days)
    drawing.add("</g>")
    if chart.titles:
        # A transparent column per day with its title: what the pointer and the scrubber read.
        drawing.add('<g class="chart-hits">')
        drawing.parts += [
            f'<rect x="{day.x}" y="{chart.hit_y}" width="{day.width}" height="{chart.hit_height}">'
            "<title>{}</title></rect>"
            for day in chart.begun
        ]
        drawing.words += chart.titles
        drawing.add("</g>")


@register.simple_tag
def chart_table(chart: DailyChart) -> Html:
    """The table behind a daily chart, folded; nothing before there is a day."""
    drawing = _Drawing()
    if not chart.rows:
        return drawing.html()
    drawing.add(f'<details class="more" id="{{}}-table"><summary>{icon("chevron")}Show as table</summary>', chart.id)
    drawing.add('<div class="table-wrap" tabindex="0" role="region" aria-label="{}, table">', chart.caption)
    drawing.add('<table class="table table-dense"><caption>{}</caption><thead><tr>', chart.caption)
    drawing.add(
        '<th scope="col">{}</th>' + '<th scope="col" class="num">{}</th>' * (len(chart.columns) - 1), *chart.columns
    )
    drawing.add("</tr></thead><tbody>")
    row = '<tr><th scope="row">{}</th>' + '<td class="num">{}</td>' * (len(chart.columns) - 1) + "</tr>"
    drawing.parts += [row] * len(chart.rows)
    drawing.words += chain.from_iterable(chart.rows)
    drawing.add("</tbody></table></div></details>")
    return drawing.html()


@register.simple_tag
def history_chart(chart: HistoryChart, *, name: str = "") -> Html:
    """Bars per billing period. `name` of what they show: with a legend, which small multiples do without."""
    drawing = _Drawing()
    drawing.add('<figure class="chart">')
    drawing.open_canvas(chart)
    _history_plot(drawing, chart)
    drawing.add("</svg></div></div>")
    if name:
        _legend(drawing, chart, name)
    drawing.add("</figure>")
    return drawing.html()


def _history_plot(drawing: _Drawing, chart: HistoryChart) -> None:
    """All of a history chart but its vertical axis."""
    drawing.grid(chart.grid, chart.bases)
    drawing.bars(chart.bars)
    for line in (chart.projection, chart.projection_stem):
        if line:
            drawing.add(f'<line class="chart-proj" x1="{line.x1}" x2="{line.x2}" y1="{line.y1}" y2="{line.y2}"/>')
    drawing.add('<g class="ref ref-included">')
    for step in chart.steps:
        drawing.add(f'<line x1="{step.x1}" x2="{step.x2}" y1="{step.y1}" y2="{step.y2}"/>')
    drawing.texts(chart.notes)
    drawing.add("</g>")
    drawing.texts(chart.labels, "chart-label")
    drawing.add('<g class="chart-x">')
    drawing.texts(chart.periods)
    drawing.add("</g>")


_KEY = '<li><svg width="22" height="12" aria-hidden="true">{}</svg>{{}}</li>'
_BAR_KEY = _KEY.format('<g class="chart-bars"><rect x="7" width="8" height="12" rx="1.5"/></g>')
_INCLUDED_KEY = _KEY.format('<g class="ref ref-included"><line x2="22" y1="6" y2="6"/></g>')
_PROJECTED_KEY = _KEY.format('<line class="chart-proj" x2="22" y1="6" y2="6"/>')


def _legend(drawing: _Drawing, chart: HistoryChart, name: str) -> None:
    drawing.add(f'<ul class="chart-legend">{_BAR_KEY}', name)
    if chart.has_included:
        drawing.add(_INCLUDED_KEY, "Included")
    if chart.has_projection:
        drawing.add(_PROJECTED_KEY, "Projected")
    drawing.add("</ul>")


@register.simple_tag
def usage_bar(bar: UsageBar) -> Html:
    """How much of an amount is used."""
    drawing = _Drawing()
    drawing.add('<div><div class="ubar" role="img" aria-label="{}">', bar.sentence)
    drawing.add(f'<svg width="100%" height="{bar.height}" aria-hidden="true">')
    drawing.add(f'<rect class="ubar-track" width="100%" height="{bar.height}"/>')
    for part in bar.segments:
        drawing.add(f'<rect class="{part.kind}" x="{part.x}" width="{part.width}" height="{bar.height}"/>')
    marks = [("ubar-gap", gap) for gap in bar.gaps]
    marks += [("ubar-mark", bar.mark), ("ubar-mark-in", bar.mark)] if bar.mark else []
    for css, x in marks:
        drawing.add(f'<line class="{css}" x1="{x}" x2="{x}" y2="{bar.height}"/>')
    drawing.add('</svg></div><p class="ubar-legend">')
    for key in bar.keys:
        drawing.add(f'<span class="{key.kind}">{{}}</span>', key.words)
    if bar.rest:
        drawing.add(f'<span class="left {bar.rest.kind}">{{}}</span>', bar.rest.words)
    drawing.add("</p></div>")
    return drawing.html()


@register.simple_block_tag
def table_wrap(content: str, label: str) -> SafeString:
    """`{% table_wrap "Issued" %}<table>…</table>{% endtable_wrap %}`: scrolls inside itself, also by keyboard."""
    return format_html(
        '<div class="table-wrap" tabindex="0" role="region" aria-label="{}, table">{}</div>', label, content
    )
