"""`{% load admin_rows %}`: the tables of lists and of records in admin (`usage.admin.rows`)."""

from __future__ import annotations

from typing import Any

from django import template

from usage.admin.rows import inline_table, table

register = template.Library()


@register.inclusion_tag("admin/change_list_results.html")
def result_table(cl: Any) -> dict[str, Any]:
    """Django's `{% result_list cl %}`, to the letter."""
    return table(cl)


@register.inclusion_tag("admin/edit_inline/read_only_rows.html")
def inline_rows(inline: Any, formset: Any) -> dict[str, Any]:
    return inline_table(inline, formset)
