"""`{% load headroom %}`: icons, money, quantities and times as every template shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from django import template
from django.template.base import Node, Parser, TextNode, Token
from django.template.context import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString

from usage import formats, periods
from usage.icons import ICONS
from usage.markup import Html, Markup

register = template.Library()

_FACT = ("label", "value", "note", "total")
_LONG = 14  # characters from which on a figure is set smaller


@register.simple_tag
@lru_cache(maxsize=256)
def icon(name: str, label: str = "") -> SafeString:
    """The drawing `name`; decorative unless a `label` names it. An unknown name is a programming error: KeyError."""
    path = ICONS[name]
    if label:
        return format_html(
            '<svg class="icon" width="18" height="18" viewBox="0 0 20 20" role="img" aria-label="{}">'
            '<path d="{}"/></svg>',
            label,
            path,
        )
    return format_html(
        '<svg class="icon" width="18" height="18" viewBox="0 0 20 20" aria-hidden="true"><path d="{}"/></svg>', path
    )


_drawn_each_time = register.tags["icon"]


@register.tag("icon")
def _icon(parser: Parser, token: Token) -> Node:
    """An icon that the template itself names is part of the template's text, drawn once."""
    node = _drawn_each_time(parser, token)
    given = [*node.args, *node.kwargs.values()]
    is_constant = not any(each.is_var or each.filters for each in given)
    return TextNode(node.render(Context())) if is_constant else node


@register.simple_tag
def badge(text: str, tone: str = "", icon_name: str = "") -> Html:
    """A state in one or two words; tone: blue, alert, limit, ok or "" (see static/css/components.css)."""
    markup = Markup()
    css = f"badge badge-{tone}" if tone else "badge"
    markup.add(f'<span class="{css}">{icon(icon_name) if icon_name else ""}{{}}</span>', text)
    return markup.html()


@register.simple_tag
def figure(value: str, unit: str = "", *, large: bool = False) -> Html:
    """The number of a card, formatted already; `large` for the one figure of a page."""
    markup = Markup()
    css = f"figure{' figure-lg' if large else ''}{' figure-long' if len(value) > _LONG else ''}"
    markup.add(f'<p class="{css}"><span class="figure-value">{{}}</span>', value)
    if unit:
        markup.add(' <span class="figure-unit">{}</span>', unit)
    markup.add("</p>")
    return markup.html()


@register.simple_tag
def facts(rows: Iterable[Mapping[str, object] | object]) -> Html:
    """`{% facts [{label, value, note, total}] %}`: label left, value right, a note beside it; `total` is the sum, bold.
    Values are formatted already."""
    markup = Markup()
    markup.add('<dl class="facts">')
    for row in rows:
        known = row if isinstance(row, Mapping) else {name: getattr(row, name) for name in _FACT}
        label, value, note, total = (known.get(name) or "" for name in _FACT)
        markup.add('<div class="total">' if total else "<div>")
        markup.add("<dt>{}</dt><dd>{}", str(label), str(value))
        if note:
            markup.add(' <span class="note">{}</span>', str(note))
        markup.add("</dd></div>")
    markup.add("</dl>")
    return markup.html()


def _decimal(value: object) -> Decimal | None:
    """Templates also show frozen documents, where numbers are strings."""
    if value is None or value == "":
        return None
    if isinstance(value, Decimal):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation as error:
        raise template.TemplateSyntaxError(f"not a number: {value!r}") from error


def _date(value: object) -> date | None:
    if not value:
        return None
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    return date.fromisoformat(str(value)[:10])


def _instant(value: object) -> datetime | None:
    if not value:
        return None
    return value if isinstance(value, datetime) else datetime.fromisoformat(str(value))


@register.filter
def money(value: object, currency: str) -> str:
    """`{{ amount|money:"USD" }}`: the currency's decimals, half-up; nothing at all shows as an en dash."""
    amount = _decimal(value)
    return "–" if amount is None else formats.money(amount, currency)


@register.filter
def unit_price(value: object, currency: str) -> str:
    """`{{ price|unit_price:"USD" }}`: exact, at least the currency's decimals."""
    amount = _decimal(value)
    return "–" if amount is None else formats.unit_price(amount, currency)


@register.filter
def quantity(value: object, unit: str = "") -> str:
    """`{{ used|quantity }}` or `{{ used|quantity:"minutes" }}`: exact, thousands separated; None is an en dash."""
    amount = _decimal(value)
    if amount is None:
        return "–"
    return f"{formats.number(amount)} {unit}" if unit else formats.number(amount)


@register.filter
def percent(value: object, digits: int = 0) -> str:
    """`{{ rate|percent:1 }}`: a value that is already in per cent."""
    amount = _decimal(value)
    return "–" if amount is None else formats.percent(amount, digits=digits)


@register.filter
def short_date(value: object) -> str:
    """`8 Nov 2026` for a date or an ISO string; a datetime counts as the day it names, so convert it first."""
    on = _date(value)
    return "–" if on is None else formats.short_date(on)


@register.filter
def long_date(value: object) -> str:
    """`8 November 2026`"""
    on = _date(value)
    return "–" if on is None else formats.long_date(on)


@register.filter
def day_month(value: object) -> str:
    """`8 Nov`"""
    on = _date(value)
    return "–" if on is None else formats.day_and_month(on)


@register.filter
def local_day(value: object, zone: str) -> date | None:
    """The calendar day of an instant in the account's zone: `{{ at|local_day:account.time_zone|short_date }}`."""
    at = _instant(value)
    return None if at is None else periods.local_day(at, zone)


_TIMES: Final[Mapping[str, Callable[[datetime], str]]] = {
    "minute": lambda local: f"{formats.short_date(local)}, {local:%H:%M}",
    "second": lambda local: f"{formats.short_date(local)}, {local:%H:%M:%S}",
    "clock": lambda local: f"{local:%H:%M}",
    "day": formats.short_date,
    "short": formats.day_and_month,
}


@register.simple_tag
def local_time(value: object, zone: str, style: str = "minute") -> str:
    """`<time>` in the account's zone; styles: `minute`, `second`, `clock` (14:30), `day` (8 Nov 2026), `short`."""
    at = _instant(value)
    if at is None:
        return "–"
    local = at.astimezone(ZoneInfo(zone))
    # Digits and names of months: nothing in it is anybody's word, and a list has a hundred of them.
    return Html(f'<time datetime="{local.isoformat(timespec="seconds")}">{_TIMES[style](local)}</time>')


@register.simple_tag
def local_time_text(value: object, zone: str, style: str = "minute") -> str:
    """The words of `local_time` without the element, for text e-mails."""
    at = _instant(value)
    if at is None:
        return "–"
    return {"minute": formats.local_minute, "second": formats.local_second}[style](at, zone)


@register.simple_tag
def period_span(starts_at: datetime, ends_at: datetime, zone: str) -> str:
    """`8 Nov – 7 Dec 2026` for a half-open period."""
    return formats.period_span(starts_at, ends_at, zone)


@register.filter
def date_span(first: object, last: object) -> str:
    """`{{ first|date_span:last }}` for two dates or ISO strings, both included."""
    start, end = _date(first), _date(last)
    return formats.date_span(start, end) if start and end else "–"


@register.filter
def initials(name: str) -> str:
    """Two letters for an avatar: `AM` for Ada Moreno, `A` for Ada."""
    words = [word for word in str(name).replace("@", " ").replace(".", " ").split() if word[:1].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[1:][-1:])).upper()
