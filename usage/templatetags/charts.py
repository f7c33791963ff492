"""`{% load charts %}`: the long lists of a chart as SVG and table rows, and the frame of a scrolling table.

A usage page draws some thousand of these elements; `format_html_join` writes (and escapes) them in a fraction of the
time that template loops take.
"""

from __future__ import annotations

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from usage.charts.history import HistoryChart
from usage.charts.parts import DailyChart, Words

register = template.Library()


@register.simple_tag
def chart_bars(chart: DailyChart | HistoryChart, radius: str = "1.5") -> SafeString:
    """The bars, today's (or the running period's) marked."""
    return format_html_join(
        "",
        '<rect{} x="{}" y="{}" width="{}" height="{}" rx="{}"/>',
        (
            (format_html(' class="{}"', b.kind) if b.kind else "", b.x, b.y, b.width, b.height, radius)
            for b in chart.bars
        ),
    )


@register.simple_tag
def chart_hits(chart: DailyChart) -> SafeString:
    """A transparent column per day with its title: what the pointer and the scrubber read."""
    y, height = chart.hit_y, chart.hit_height
    return format_html_join(
        "",
        '<rect x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>',
        ((hit.x, y, hit.width, height, hit.title) for hit in chart.hits),
    )


@register.simple_tag
def chart_rows(chart: DailyChart) -> SafeString:
    """The days as table rows."""
    return format_html_join(
        "",
        '<tr><th scope="row">{}</th>{}</tr>',
        (
            (row.day, format_html_join("", '<td class="num">{}</td>', ((cell,) for cell in row.cells)))
            for row in chart.rows
        ),
    )


@register.simple_tag
def chart_ticks(chart: DailyChart | HistoryChart) -> SafeString:
    """The numbers of the vertical axes."""
    return format_html_join(
        "", '<text x="32" y="{}" text-anchor="end">{}</text>', ((tick.y, tick.words) for tick in chart.axis)
    )


@register.simple_tag
def chart_grid(chart: DailyChart | HistoryChart) -> SafeString:
    """Hairlines, and the stronger base of each panel."""
    bases = (chart.base,) if isinstance(chart, HistoryChart) else chart.bases
    lines = [("", y) for y in chart.grid] + [(format_html(' class="{}"', "base"), y) for y in bases]
    return format_html_join("", '<line{} x1="0" x2="100%" y1="{}" y2="{}"/>', ((kind, y, y) for kind, y in lines))


@register.simple_tag
def chart_text(words: Words, css: str = "") -> SafeString:
    """One text at its place; `css` is the class that all of its kind share."""
    classes = " ".join(part for part in (css, words.kind) if part)
    return format_html(
        '<text{} x="{}"{} y="{}"{}>{}</text>',
        format_html(' class="{}"', classes) if classes else "",
        words.x,
        format_html(' dx="{}"', words.dx) if words.dx else "",
        words.y,
        format_html(' text-anchor="{}"', words.anchor) if words.anchor else "",
        words.words,
    )


@register.simple_block_tag
def table_wrap(content: str, label: str) -> SafeString:
    """`{% table_wrap "Issued" %}<table>…</table>{% endtable_wrap %}`: scrolls inside itself, also by keyboard."""
    return format_html(
        '<div class="table-wrap" tabindex="0" role="region" aria-label="{}, table">{}</div>', label, content
    )
