"""When to tell, and what was told. Teammates set alerts on the pages, applications over the API."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from alerts.models import Firing, LimitState, PlanAlertSwitch, SpendAlert, UsageAlert
from usage import formats
from usage.admin import registry
from usage.admin.base import ReadOnlyAdmin
from usage.admin.columns import chosen, filled, first_day, linked, list_link, money, quantity, worded
from usage.rounding import shown_quantity

FROM = first_day("from_period")
PERIOD = first_day("period", "billing period from")
LEVELS = {level: str(level) for level in (50, 80, 90, 100)}

registry.ACCOUNT.lists += [
    ("Usage alerts", "alerts_usagealert"),
    ("Spend alert", "alerts_spendalert"),
    ("Told", "alerts_firing"),
    ("Notifications", "alerts_notification"),
    ("E-mails and webhooks", "alerts_delivery"),
    ("Webhook endpoints", "alerts_webhookendpoint"),
]
registry.WORKSPACE.lists += [
    ("Usage alerts", "alerts_usagealert"),
    ("Told", "alerts_firing"),
    ("Notifications", "alerts_notification"),
    ("Conversations", "alerts_conversation"),
    ("Workflows", "alerts_workflow"),
]


@admin.register(UsageAlert)
class UsageAlertAdmin(ReadOnlyAdmin):
    """Thresholds as dated rows; the last one at or before a period holds."""

    list_display = (
        linked("workspace"),
        linked("account"),
        "metric",
        FROM,
        quantity("threshold"),
        "also_50_80",
        quantity("baseline"),
        "history",
    )
    list_display_links = (FROM,)
    list_filter = (
        "metric",
        "also_50_80",
        filled("threshold", "state", empty="Off", filled="On"),
        chosen("account"),
        chosen("workspace"),
    )
    list_select_related = ("workspace", "account", "metric")
    search_fields = ("workspace__key", "workspace__name", "account__key", "account__name", "metric__key")
    ordering = ("-from_period", "-pk")
    fields = (
        linked("account"),
        linked("workspace"),
        linked("metric"),
        FROM,
        quantity("threshold"),
        "also_50_80",
        quantity("baseline"),
        "created_at",
    )

    @admin.display(description="who changed it")
    def history(self, alert: UsageAlert) -> Any:
        return list_link("usage_auditentry", "Audit trail", workspace__id__exact=alert.workspace_id, q="alert.changed")


@admin.register(PlanAlertSwitch)
class PlanAlertSwitchAdmin(ReadOnlyAdmin):
    """Where 80, 90 and 100 % of the included amount were switched off or on again; no row = on."""

    list_display = (linked("account"), "metric", "is_on", PERIOD)
    list_display_links = ("metric",)
    list_filter = ("metric", "is_on", chosen("account"))
    list_select_related = ("account", "metric")
    search_fields = ("account__key", "account__name", "metric__key")


@admin.register(SpendAlert)
class SpendAlertAdmin(ReadOnlyAdmin):
    """Thresholds in money as dated rows."""

    list_display = (
        linked("account"),
        FROM,
        money("threshold", currency="account.currency"),
        "also_50_80",
        money("baseline", currency="account.currency"),
    )
    list_display_links = (FROM,)
    list_filter = (filled("threshold", "state", empty="Off", filled="On"), chosen("account"))
    list_select_related = ("account",)
    search_fields = ("account__key", "account__name")
    ordering = ("-from_period", "-pk")
    fields = (*list_display, "created_at")


def _reached(name: str) -> Any:
    """Usage in the metric's unit, or money for spend alerts."""

    @admin.display(description=name, ordering=name)
    def column(firing: Firing) -> str:
        value = getattr(firing, name)
        if firing.metric is None:
            return formats.money(value, firing.account.currency)
        return formats.number(shown_quantity(value, unit_size=firing.metric.unit_size)) + f" {firing.metric.unit}"

    return column


@admin.register(Firing)
class FiringAdmin(ReadOnlyAdmin):
    """What was decided to be told, once per rule, scope, period, level and threshold."""

    list_display = (
        "fired_at",
        "rule",
        "level_percent",
        "metric",
        _reached("threshold"),
        _reached("quantity"),
        linked("workspace"),
        linked("account"),
        PERIOD,
    )
    list_filter = (
        "rule",
        worded("level", "level", LEVELS),
        "metric",
        "fired_at",
        chosen("account"),
        chosen("workspace"),
    )
    list_select_related = ("workspace", "account", "metric")
    ordering = ("-pk",)
    search_fields = ("workspace__key", "account__key", "metric__key")
    fields = (
        "fired_at",
        "rule",
        "level_percent",
        linked("account"),
        linked("workspace"),
        linked("metric"),
        PERIOD,
        _reached("threshold"),
        _reached("quantity"),
        _reached("baseline"),
    )

    @admin.display(description="level", ordering="level")
    def level_percent(self, firing: Firing) -> str:
        return f"{firing.level}%"


@admin.register(LimitState)
class LimitStateAdmin(ReadOnlyAdmin):
    """What was last told of each limit. The fact itself stands on the total."""

    list_display = (
        linked("workspace"),
        linked("account"),
        "metric",
        "is_reached",
        quantity("limit"),
        quantity("quantity"),
        "told_at",
        "changes",
    )
    list_display_links = ("told_at",)
    list_filter = ("is_reached", "metric", chosen("account"), chosen("workspace"))
    list_select_related = ("workspace", "account", "metric")
    search_fields = ("workspace__key", "account__key", "metric__key")
    fields = (*list_display, PERIOD)
