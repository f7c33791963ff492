"""The ledger: how much of each workspace's usage each line bills."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from billing.models import BilledUsage
from usage import formats
from usage.admin.base import ReadOnlyAdmin
from usage.admin.columns import chosen, first_day, linked
from usage.models import Metric
from usage.rounding import shown_quantity

PERIOD = first_day("period", "billing period from")


@admin.register(BilledUsage)
class BilledUsageAdmin(ReadOnlyAdmin):
    """Unbilled usage of a period = its total − the sum of these rows (spec 5.10)."""

    list_display = (
        linked("account"),
        linked("workspace"),
        "metric",
        PERIOD,
        "billed",
        linked("line.invoice", "invoice"),
        linked("line"),
    )
    list_display_links = (PERIOD,)
    list_filter = ("metric", chosen("account"), chosen("workspace"))
    list_select_related = ("account", "workspace", "metric", "line__invoice")
    unlisted = ("line__detail", "line__invoice__frozen")
    search_fields = ("account__key", "workspace__key", "metric__key", "line__invoice__number")
    ordering = ("-pk",)
    fields = list_display

    @admin.display(description="quantity", ordering="quantity")
    def billed(self, row: BilledUsage) -> Any:
        if row.metric.kind == Metric.Kind.LEVEL:
            return f"{formats.number(row.quantity)} seat-days"
        shown = shown_quantity(row.quantity, unit_size=row.metric.unit_size)
        return f"{formats.number(shown)} {row.metric.unit}"
