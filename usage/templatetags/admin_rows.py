"""`{% load admin_rows %}`: the tables of lists and of records in admin (`usage.admin.rows`)."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.safestring import SafeString

from usage.admin import fields
from usage.admin.rows import inline_table, table

register = template.Library()


@register.inclusion_tag("admin/change_list_results.html")
def result_table(cl: Any) -> dict[str, Any]:
    """Django's `{% result_list cl %}`, to the letter."""
    return table(cl)


@register.inclusion_tag("admin/edit_inline/read_only_rows.html")
def inline_rows(inline: Any, formset: Any) -> dict[str, Any]:
    return inline_table(inline, formset)


@register.simple_tag
def field_lines(fieldset: Any) -> SafeString:
    return fields.field_lines(fieldset)


@register.simple_tag
def inline_form_rows(inline: Any) -> SafeString:
    return fields.inline_form_rows(inline)
