"""How form fields become HTML: inputs and selects without a template, all else by Django's templates.

A field costs a template with an include for its attributes and one for each option; a form has dozens of fields, a list
that can be edited a hundred. The HTML is Django's, to the letter (`tests/front_door/test_widgets.py` compares).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from django.forms.renderers import DjangoTemplates
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

_WIDGETS: Final = "django/forms/widgets/"
_INPUTS: Final = frozenset(
    f"{_WIDGETS}{kind}.html"
    for kind in (
        "checkbox",
        "date",
        "datetime",
        "email",
        "hidden",
        "input",
        "number",
        "password",
        "text",
        "time",
        "url",
    )
)
_NO_ERRORS: Final = ("django/forms/errors/list/ul.html", "django/forms/errors/list/default.html")


class Renderer(DjangoTemplates):
    """Django's default renderer with short cuts for what forms consist of."""

    def render(self, template_name: str, context: dict[str, Any], request: Any = None) -> str:
        if template_name in _INPUTS:
            return _input(context["widget"])
        if template_name == f"{_WIDGETS}select.html":
            return _select(context["widget"])
        if template_name in _NO_ERRORS and not context["errors"]:
            return ""
        return super().render(template_name, context, request)


def _input(widget: Mapping[str, Any]) -> SafeString:
    value = widget["value"]
    shown = "" if value is None else format_html(' value="{}"', value)
    return format_html('<input type="{}" name="{}"{}{}>', widget["type"], widget["name"], shown, _attributes(widget))


def _select(widget: Mapping[str, Any]) -> SafeString:
    groups = format_html_join("", "{}", ((_group(name, options),) for name, options, _ in widget["optgroups"]))
    return format_html('<select name="{}"{}>{}\n</select>', widget["name"], _attributes(widget), groups)


def _group(name: Any, options: Iterable[Mapping[str, Any]]) -> SafeString:
    drawn = format_html_join(
        "",
        '\n  <option value="{}"{}>{}</option>',
        ((option["value"], _attributes(option), option["label"]) for option in options),
    )
    return format_html('\n  <optgroup label="{}">{}\n  </optgroup>', name, drawn) if name else drawn


def _attributes(widget: Mapping[str, Any]) -> SafeString:
    return format_html_join(
        "",
        "{}",
        (
            (format_html(" {}", name) if value is True else format_html(' {}="{}"', name, value),)
            for name, value in widget["attrs"].items()
            if value is not False
        ),
    )
