"""Charts: numbers in, SVG geometry out. Pure; the look stands in static/css/charts.css, the elements in templates.

Owns: axes, panels, where labels stand, the words of a chart (sentence, tooltips, table rows).
Does not own: reading usage, colours, HTML.

Every position is a whole number of hundredths (of a per cent across, of a pixel down), so that nothing is ever a float
and the same numbers always give the same picture. Quantities are Decimals in the metric's display unit.
"""

from usage.charts.bar import Part, UsageBar, level_bar, usage_bar
from usage.charts.daily import closed_chart, daily_chart
from usage.charts.history import HistoryChart, HistoryPeriod, history_chart
from usage.charts.level import level_chart
from usage.charts.paper import PaperChart, PaperPanel, paper_chart
from usage.charts.parts import DailyChart

__all__ = [
    "DailyChart",
    "HistoryChart",
    "HistoryPeriod",
    "PaperChart",
    "PaperPanel",
    "Part",
    "UsageBar",
    "closed_chart",
    "daily_chart",
    "history_chart",
    "level_bar",
    "level_chart",
    "paper_chart",
    "usage_bar",
]
