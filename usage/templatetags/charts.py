"""`{% load charts %}`: a chart's plot as SVG, the table rows behind it, and the frame of a scrolling table.

A usage page draws some thousand of these elements, so each plot is written in one go: positions, which are numbers of
`usage.charts`, stand in the format string; words are its arguments and are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable

from django import template
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString

from usage.charts.bar import UsageBar
from usage.charts.history import HistoryChart
from usage.charts.parts import Box, DailyChart, Words

register = template.Library()


class _Drawn(str):
    """Elements whose words are escaped already: templates take them as they are."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


class _Drawing:
    """Elements from the back to the front, and the words in them."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.words: list[str] = []

    def add(self, element: str, *words: str) -> None:
        self.parts.append(element)
        self.words += words

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
            f'<rect class="{bar.kind}" x="{bar.x}" y="{bar.y}" width="{bar.width}" height="{bar.height}" rx="1.5"/>'
            for bar in bars
        ]
        self.add("</g>")

    def curves(self, element: str, css: str, curves: Iterable[str]) -> None:
        self.parts += [f'<{element} class="{css}" points="{points}"/>' for points in curves if points]

    def html(self) -> _Drawn:
        # Hundreds of words are escaped in one go: no text of the database holds a NUL.
        words = escape("\0".join(self.words)).split("\0")
        return _Drawn("".join(self.parts).format(*words))


@register.simple_tag
def chart_plot(chart: DailyChart) -> _Drawn:
    """All of a daily chart but its vertical axes."""
    drawing = _Drawing()
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
    if chart.hits:
        # A transparent column per day with its title: what the pointer and the scrubber read.
        drawing.add('<g class="chart-hits">')
        for hit in chart.hits:
            drawing.add(
                f'<rect x="{hit.x}" y="{chart.hit_y}" width="{hit.width}" height="{chart.hit_height}">'
                "<title>{}</title></rect>",
                hit.title,
            )
        drawing.add("</g>")
    return drawing.html()


@register.simple_tag
def history_plot(chart: HistoryChart) -> _Drawn:
    """All of a history chart but its vertical axis."""
    drawing = _Drawing()
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
    return drawing.html()


@register.simple_tag
def chart_ticks(chart: DailyChart | HistoryChart) -> _Drawn:
    """The numbers of the vertical axes."""
    drawing = _Drawing()
    for tick in chart.axis:
        drawing.add(f'<text x="32" y="{tick.y}" text-anchor="end">{{}}</text>', tick.words)
    return drawing.html()


@register.simple_tag
def usage_bar(bar: UsageBar) -> _Drawn:
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


@register.simple_tag
def chart_rows(chart: DailyChart) -> _Drawn:
    """The days as table rows."""
    row = '<tr><th scope="row">{}</th>' + '<td class="num">{}</td>' * (len(chart.columns) - 1) + "</tr>"
    drawing = _Drawing()
    for each in chart.rows:
        drawing.add(row, each.day, *each.cells)
    return drawing.html()


@register.simple_block_tag
def table_wrap(content: str, label: str) -> SafeString:
    """`{% table_wrap "Issued" %}<table>…</table>{% endtable_wrap %}`: scrolls inside itself, also by keyboard."""
    return format_html(
        '<div class="table-wrap" tabindex="0" role="region" aria-label="{}, table">{}</div>', label, content
    )
