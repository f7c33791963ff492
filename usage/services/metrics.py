"""Changing what is measured (spec 2.1, 2.2): one event belongs to one metric, and what was counted keeps its
meaning."""

from __future__ import annotations

import json
from typing import Any

from django.db import connection, transaction

from usage import strict_json
from usage.errors import Conflict, InvalidInput
from usage.models import Metric, UsageDay, UsageTotal
from usage.services.audit import Actor, record

# With these changed, quantities stored before would mean something else.
MEANING = ("key", "kind", "unit_size")


@transaction.atomic
def save_metric(*, metric: Metric, by: Actor) -> Metric:
    """Store a new or changed metric. Its event type and filters must not overlap with another's: of two admins at
    once the second waits. Raises InvalidInput naming the field, Conflict when usage forbids the change."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('headroom-metrics'))")
    if not isinstance(metric.filters, dict):
        raise InvalidInput('Filters are an object, as {"direction": "sent"}.', field="filters")
    _check_filters(metric.filters)
    other = overlapping_metric(metric)
    if other is not None:
        raise InvalidInput(f"An event could belong to this metric and to {other.name}.", field="event_type")
    stored = Metric.objects.filter(pk=metric.pk).first()
    if stored is not None and has_usage(stored):
        changed = [name for name in MEANING if getattr(stored, name) != getattr(metric, name)]
        if changed:
            raise Conflict("Usage is stored with the old meaning; create a new metric instead.", field=changed[0])
    metric.save()
    before = _as_audited(stored) if stored else {}
    after = _as_audited(metric)
    changes = [name for name in after if before.get(name) != after[name]]
    if changes:
        record(
            by=by,
            action="metric.changed" if stored else "metric.created",
            subject=metric.key,
            before={name: before[name] for name in changes} if stored else None,
            after={name: after[name] for name in changes},
        )
    return metric


def overlapping_metric(metric: Metric) -> Metric | None:
    """A metric that some event could belong to as well as to `metric`: the same type, and no attribute on which the
    two ask for different values."""
    for other in Metric.objects.filter(event_type=metric.event_type).exclude(pk=metric.pk):
        shared = metric.filters.keys() & other.filters.keys()
        if all(_same(metric.filters[name], other.filters[name]) for name in shared):
            return other
    return None


def has_usage(metric: Metric) -> bool:
    """Whether anything was ever counted for it."""
    return UsageTotal.objects.filter(metric=metric).exists() or UsageDay.objects.filter(metric=metric).exists()


def _same(first: Any, second: Any) -> bool:
    return strict_json.canonical(strict_json.exact(first)) == strict_json.canonical(strict_json.exact(second))


def _check_filters(filters: dict[str, Any]) -> None:
    """Refuse what no event can carry and no database can hold: NaN, NUL, half characters."""
    try:
        value, _ = strict_json.parse(json.dumps(filters))
    except strict_json.UnreadableJson:
        raise InvalidInput("Filters hold JSON values only.", field="filters") from None
    flaw = strict_json.first_flaw(value)
    if flaw:
        raise InvalidInput(f"Filters cannot be used: {flaw}.", field="filters")


def _as_audited(metric: Metric) -> dict[str, Any]:
    return {column.name: getattr(metric, column.name) for column in Metric._meta.concrete_fields if column.name != "id"}
