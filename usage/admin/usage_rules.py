"""What is measured, and the hard limits."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from usage.admin.base import ReadOnlyAdmin
from usage.admin.by_service import ServiceAdmin, ServiceForm
from usage.admin.columns import chosen, first_day, linked, list_link, quantity
from usage.models import Metric, UsageLimit
from usage.services.audit import Actor
from usage.services.metrics import MEANING, has_usage, save_metric

FROM = first_day("from_period")


class MetricForm(ServiceForm):
    class Meta:
        model = Metric
        fields = "__all__"
        help_texts = {
            "key": "Small letters, digits, “-” and “_”; for ever. The API and exports name it.",
            "event_type": "The type your product sends, as “conversation.created”.",
        }
        widgets = {"filters": forms.Textarea(attrs={"rows": 2, "cols": 40})}

    def apply(self, by: Actor) -> Metric:
        return save_metric(metric=self.instance, by=by)


@admin.register(Metric)
class MetricAdmin(ServiceAdmin):
    """What is counted. Names are free to change; what usage was stored with is not."""

    form = MetricForm
    add_form = MetricForm
    list_display = (
        "name",
        "key",
        "event_type",
        "kind",
        "group",
        "unit",
        "supports_alerts",
        "supports_limit",
        "is_active",
    )
    list_filter = ("is_active", "kind", "group", "supports_limit")
    search_fields = ("key", "name", "event_type", "group")
    fieldsets = (
        (None, {"fields": ("key", "name", "group", "position", "is_active")}),
        ("Which events", {"fields": ("event_type", "filters")}),
        ("How they count", {"fields": ("kind", "unit", "unit_singular", "unit_size")}),
        ("Calls", {"fields": ("increment_first", "increment_next", "minimum_seconds"), "classes": ("collapse",)}),
        ("Alerts and limits", {"fields": ("supports_alerts", "supports_limit", "agent_name", "channel")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ()
        return MEANING if has_usage(obj) else ("key",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Switch a metric off instead: usage, terms and invoices name it."""
        return False


@admin.register(UsageLimit)
class UsageLimitAdmin(ReadOnlyAdmin):
    """Hard limits as dated rows. Teammates set them on the usage page, applications over the API: both check the
    included amount and tell who changed it."""

    list_display = (
        linked("workspace"),
        linked("account"),
        "metric",
        FROM,
        quantity("quantity", "limit"),
        "created_at",
        "history",
    )
    list_display_links = (FROM,)
    list_filter = ("metric", chosen("account"), chosen("workspace"))
    list_select_related = ("account", "workspace", "metric")
    search_fields = ("workspace__key", "workspace__name", "account__key", "account__name", "metric__key")
    ordering = ("-from_period", "-pk")
    fields = (
        linked("account"),
        linked("workspace"),
        linked("metric"),
        FROM,
        quantity("quantity", "limit"),
        "created_at",
    )

    @admin.display(description="who changed it")
    def history(self, limit: UsageLimit) -> Any:
        return list_link("usage_auditentry", "Audit trail", workspace__id__exact=limit.workspace_id, q="limit.changed")
