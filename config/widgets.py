"""How form fields become HTML: inputs, selects, labels without a template, all else by Django's templates.

A field costs a template with an include for its attributes and one for each option; a form has dozens of fields, a list
that can be edited a hundred. The HTML is Django's, to the letter (`tests/front_door/test_widgets.py` compares).
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Final

from django.forms.renderers import DjangoTemplates

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
        if template_name == f"{_WIDGETS}textarea.html":
            return _textarea(context["widget"])
        if template_name == "django/forms/label.html" and context["use_tag"]:
            return _label(context)
        if template_name in _NO_ERRORS and not context["errors"]:
            return ""
        return super().render(template_name, context, request)


def _input(widget: Mapping[str, Any]) -> str:
    value = widget["value"]
    shown = "" if value is None else f' value="{_text(value)}"'
    return f'<input type="{_text(widget["type"])}" name="{_text(widget["name"])}"{shown}{_attributes(widget)}>'


def _select(widget: Mapping[str, Any]) -> str:
    drawn = []
    for name, options, _ in widget["optgroups"]:
        inside = "".join(map(_option, options))
        drawn.append(f'\n  <optgroup label="{_text(name)}">{inside}\n  </optgroup>' if name else inside)
    return f'<select name="{_text(widget["name"])}"{_attributes(widget)}>{"".join(drawn)}\n</select>'


def _textarea(widget: Mapping[str, Any]) -> str:
    value = _text(widget["value"]) if widget["value"] else ""
    return f'<textarea name="{_text(widget["name"])}"{_attributes(widget)}>\n{value}</textarea>'


def _label(label: Mapping[str, Any]) -> str:
    return f"<{label['tag']}{_attributes(label)}>{_text(label['label'])}</{label['tag']}>"


def _option(option: Mapping[str, Any]) -> str:
    return f'\n  <option value="{_text(option["value"])}"{_attributes(option)}>{_text(option["label"])}</option>'


def _attributes(widget: Mapping[str, Any]) -> str:
    return "".join(
        f" {_text(name)}" if value is True else f' {_text(name)}="{_text(value)}"'
        for name, value in widget["attrs"].items()
        if value is not False
    )


def _text(value: Any) -> str:
    """Escaped, unless it is HTML already."""
    if hasattr(value, "__html__"):
        return str(value.__html__())
    text = str(value)
    return text if text.isalnum() else escape(text)  # names of attributes and most values have nothing to escape
