"""`{% load admin_rows %}`: the table of a list in admin (`usage.admin.rows`)."""

from __future__ import annotations

from typing import Any

from django import template

from usage.admin.rows import table

register = template.Library()


@register.inclusion_tag("admin/change_list_results.html")
def result_table(cl: Any) -> dict[str, Any]:
    """Django's `{% result_list cl %}`, to the letter."""
    return table(cl)
