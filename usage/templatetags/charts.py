"""`{% load charts %}`: the long lists of a chart as SVG and table rows, and the frame of a scrolling table.

A usage page draws some thousand of these elements; `format_html_join` writes (and escapes) them in a fraction of the
time that template loops take.
"""

from __future__ import annotations

from collections.abc import Iterable

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from usage.charts.history import HistoryChart
from usage.charts.parts import DailyChart, Words

register = template.Library()


@register.simple_tag
def chart_bars(chart: DailyChart | HistoryChart) -> SafeString:
    """The bars, today's (or the running period's) marked."""
    return format_html_join(
        "",
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="1.5"/>',
        ((bar.kind, bar.x, bar.y, bar.width, bar.height) for bar in chart.bars),
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
    cells = '<td class="num">{}</td>' * (len(chart.columns) - 1)
    return format_html_join(
        "", f'<tr><th scope="row">{{}}</th>{cells}</tr>', ((row.day, *row.cells) for row in chart.rows)
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
    lines = [*(("", y, y) for y in chart.grid), *(("base", y, y) for y in chart.bases)]
    return format_html_join("", '<line class="{}" x1="0" x2="100%" y1="{}" y2="{}"/>', lines)


@register.simple_tag
def chart_texts(texts: Iterable[Words], css: str = "") -> SafeString:
    """Texts at their places; `css` is the class that all of them share."""
    return format_html_join(
        "",
        '<text class="{} {}" x="{}" dx="{}" y="{}" text-anchor="{}">{}</text>',
        ((css, item.kind, item.x, item.dx, item.y, item.anchor, item.words) for item in texts),
    )


@register.simple_tag
def chart_references(chart: DailyChart) -> SafeString:
    """Included, alert and limit: line and label. One that lies above the axis has its label alone."""
    return format_html_join(
        "",
        '<g class="ref ref-{}"><line x1="0" x2="{}" y1="{}" y2="{}"/>'
        '<text class="{}" x="{}" dx="{}" y="{}" text-anchor="{}">{}</text></g>',
        (
            (ref.kind, "100%" if ref.y else "0", ref.y or "0", ref.y or "0", *_label(ref.label))
            for ref in chart.references
        ),
    )


def _label(words: Words) -> tuple[str, str, str, str, str, str]:
    return words.kind, words.x, words.dx, words.y, words.anchor, words.words


@register.simple_block_tag
def table_wrap(content: str, label: str) -> SafeString:
    """`{% table_wrap "Issued" %}<table>…</table>{% endtable_wrap %}`: scrolls inside itself, also by keyboard."""
    return format_html(
        '<div class="table-wrap" tabindex="0" role="region" aria-label="{}, table">{}</div>', label, content
    )
