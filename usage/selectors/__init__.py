"""Reads of this app. No page touches raw events, except those that list them, a page at a time (Data 4)."""

from usage.selectors.access import workspace_for, workspaces_of
from usage.selectors.lookup import (
    EventRow,
    Page,
    events_of_line,
    find_event,
    iterate_events,
    list_days,
    list_reservations,
    list_totals,
)
from usage.selectors.totals import (
    MetricUsage,
    UsageRows,
    account_usage,
    checked_read,
    current_period,
    last_periods,
    period_of,
    periods_so_far,
    totals_read,
    usage_rows,
)

__all__ = [
    "EventRow",
    "MetricUsage",
    "Page",
    "UsageRows",
    "account_usage",
    "checked_read",
    "current_period",
    "events_of_line",
    "find_event",
    "iterate_events",
    "last_periods",
    "list_days",
    "list_reservations",
    "list_totals",
    "period_of",
    "periods_so_far",
    "totals_read",
    "usage_rows",
    "workspace_for",
    "workspaces_of",
]
