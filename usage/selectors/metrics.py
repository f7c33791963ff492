"""Metrics beside rows that name them: a few metrics stand behind many rows, so each is read once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from usage.models import Metric
from usage.written import Written, any_of


class _OfMetric(Protocol):
    metric_id: int
    metric: Metric


_METRICS: Final = Written(lambda ids: Metric.objects.filter(any_of("pk", ids)))


def put_metrics(*lists: Iterable[_OfMetric], known: Iterable[Metric] = ()) -> None:
    """Give every row its metric, in 1 query for all, none when all of them are `known`; rows of the same metric share
    one."""
    rows = [row for rows in lists for row in rows]
    metrics = {metric.pk: metric for metric in known}
    if missing := {row.metric_id for row in rows} - metrics.keys():
        metrics |= {metric.pk: metric for metric in _METRICS(ids=sorted(missing))}
    for row in rows:
        row.metric = metrics[row.metric_id]
