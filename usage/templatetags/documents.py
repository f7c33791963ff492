"""`{% load documents %}`: how the lines of a frozen document read in print, and its chart as an image.

Documents are read from what was frozen when they were issued: numbers may be Decimals or strings, dates ISO strings.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from babel import Locale
from django import template
from django.template.loader import render_to_string

from usage import formats
from usage.charts import PaperPanel, paper_chart

register = template.Library()

MANY_WORKSPACES = 12  # rows of one metric that still stay together on a page


def _get(line: object, name: str) -> Any:
    """A field of a line, whether it is a model instance or a plain dict."""
    return line.get(name) if isinstance(line, Mapping) else getattr(line, name, None)


def _detail(line: object) -> Mapping[str, Any]:
    detail = _get(line, "detail")
    return detail if isinstance(detail, Mapping) else {}


@register.filter
def of_kind(lines: Iterable[object], kinds: str) -> list[object]:
    """The lines of some kinds, in order: `{{ document.lines|of_kind:"plan add_on" }}`."""
    wanted = kinds.split()
    return [line for line in lines if _get(line, "kind") in wanted]


@register.filter
def amount_of(lines: Iterable[object]) -> Decimal:
    """What the lines come to, in money: amounts are rounded already, so nothing is rounded here."""
    return sum((Decimal(str(_get(line, "amount"))) for line in lines), start=Decimal(0))


@register.filter
def line_workspaces(line: object) -> Sequence[Mapping[str, Any]]:
    """[{name, quantity}] of a line, as printed below it."""
    return list(_detail(line).get("workspaces") or _get(line, "workspaces") or ())


@register.filter
def is_long(line: object) -> bool:
    """Too many workspaces to keep the line on one page."""
    return len(line_workspaces(line)) > MANY_WORKSPACES


@register.filter
def line_title(line: object) -> str:
    """The description, with `detail["unit"]` if given; usage also says its only workspace, and pay-as-you-go."""
    words = [str(_get(line, "description"))]
    if _detail(line).get("unit"):
        words.append(str(_detail(line)["unit"]))
    if _get(line, "kind") == "usage":
        workspaces = line_workspaces(line)
        if len(workspaces) == 1:
            words.append(str(workspaces[0]["name"]))
        if _detail(line).get("terms") == "pay_as_you_go":
            words.append("pay-as-you-go")
    return ", ".join(words)


@register.filter
def line_included(line: object) -> str:
    """What the Included column says: the amount, Unlimited, or an en dash for pay-as-you-go."""
    if _detail(line).get("terms") == "unlimited":
        return "Unlimited"
    included = _get(line, "included")
    return "–" if included is None else formats.number(Decimal(str(included)))


@register.filter
def line_quantity(line: object) -> str:
    """The Quantity column: parts of a plan as days, everything else as a number."""
    detail = _detail(line)
    if _get(line, "kind") == "plan" and detail.get("days") and detail["days"] != detail.get("days_in_period"):
        return f"{detail['days']}\u00a0/\u00a0{detail['days_in_period']}"
    quantity = _get(line, "quantity")
    if quantity is None:
        return "–"
    return formats.number(
        Decimal(str(quantity)).quantize(Decimal("0.0001")) if detail.get("runs") else Decimal(str(quantity))
    )


@register.filter
def line_note(line: object, currency: str) -> str:
    """The small print below a description: days of a plan, runs of seats, workspaces (of usage, if several)."""
    detail = _detail(line)
    kind = _get(line, "kind")
    if kind == "plan" and detail.get("days") and detail["days"] != detail.get("days_in_period"):
        price = formats.unit_price(Decimal(str(_get(line, "unit_price"))), currency)
        return f"{detail['days']} of {detail['days_in_period']} days of {price}"
    if kind == "seats":
        return _seats_note(detail)
    if kind in ("adjustment", "credit") or (kind == "usage" and len(line_workspaces(line)) > 1):
        shown = [f"{item['name']} {formats.number(Decimal(str(item['quantity'])))}" for item in line_workspaces(line)]
        return " · ".join(shown[:MANY_WORKSPACES]) + (" · …" if len(shown) > MANY_WORKSPACES else "")
    return str(_get(line, "note") or "")


def _seats_note(detail: Mapping[str, Any]) -> str:
    runs = [run for run in detail.get("runs") or () if run.get("days")]
    if not runs:
        return ""
    told = [f"{run['seats']} on {run['days']} day{'' if run['days'] == 1 else 's'}" for run in runs[:6]]
    more = ", …" if len(runs) > 6 else ""
    return f"{', '.join(told)}{more}: {detail.get('seat_days')} seat-days in {detail.get('days_in_period')} days"


@register.filter
def country_name(code: str) -> str:
    """`Germany` for DE; a code that nobody knows stays as it is."""
    return str(Locale("en").territories.get(str(code).upper(), code))


@register.filter
def iban(value: str) -> str:
    """In groups of four, as banks print it."""
    bare = str(value).replace(" ", "")
    return " ".join(bare[start : start + 4] for start in range(0, len(bare), 4))


@register.simple_tag
def document_chart(panels: Sequence[Mapping[str, Any]], first_day: object, last_day: object) -> dict[str, str] | None:
    """{src, alt} of the small chart: an SVG inside the address, so that rendering needs no file and no network.

    `panels`: [{name, total, included, terms, days: [[ISO date, quantity], …]}], as frozen. None without any.
    """
    shown = [
        PaperPanel(
            name=str(panel["name"]),
            days=[Decimal(str(quantity)) for _, quantity in panel["days"]],
            included=None if panel.get("included") is None else Decimal(str(panel["included"])),
            word="Contracted" if panel.get("terms") == "contracted" else "Included",
            total=None if panel.get("total") is None else Decimal(str(panel["total"])),
        )
        for panel in panels or ()
        if panel.get("days")
    ]
    if not shown:
        return None
    first_on, last_on = (date.fromisoformat(str(day)[:10]) for day in (first_day, last_day))
    chart = paper_chart(panels=shown, first_on=first_on, last_on=last_on)
    svg = render_to_string("documents/chart.svg", {"chart": chart})
    return {"src": f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}", "alt": chart.alt}
