"""The usage page's data beside one indexed read of the rows that it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.bench.ground import Ground, Sender
from config.bench.measure import Row, Sample, alternate, row, typical
from config.screens_usage import page_meta, read_usage
from usage.models import Period, Workspace
from usage.sql import prepared

# Days and totals of all workspaces of the account, by their keys.
_RANGE: Final = """
SELECT d.workspace_id, d.metric_id, d.day, d.quantity
  FROM usage_usageday d WHERE d.account_id = %(account)s AND d.workspace_id = ANY(%(workspaces)s) AND d.period = %(at)s
 UNION ALL
SELECT t.workspace_id, t.metric_id, NULL, t.quantity
  FROM usage_usagetotal t
 WHERE t.account_id = %(account)s AND t.workspace_id = ANY(%(workspaces)s) AND t.period = %(at)s
"""


def usage_page(ground: Ground) -> Iterator[Row]:
    """The database's CPU for one reading of the page; and of an account with half of all
    events beside one with a fiftieth."""
    many, few = ground.senders[:2]
    workspaces = {
        sender.account_id: Workspace.objects.select_related("account").get(pk=_ids(sender)[0]) for sender in (many, few)
    }
    starts_at = Period.objects.filter(account=many.account_id).latest("starts_at").starts_at

    def page(sender: Sender) -> None:
        page_meta(read_usage(workspaces[sender.account_id]))

    def range_read(sender: Sender) -> None:
        prepared(_RANGE, {"account": sender.account_id, "workspaces": _ids(sender), "at": starts_at})

    def repeated(read: Callable[[Sender], None], sender: Sender) -> Callable[[int], Sample]:
        times = ground.sizes.calls(500)

        def run(number: int) -> Sample:
            with ground.watch_database() as watch:
                for _ in range(times):
                    read(sender)
            return watch.sample(times)

        return run

    with CaptureQueriesContext(connection) as sent:
        page(many)
    sides = alternate(ground.sizes.rounds, repeated(range_read, many), repeated(page, many), repeated(page, few))
    floor, value, with_few = (typical(samples, lambda s: s.cost) * 1e6 for samples in sides)
    yield row("usage_page_statements", "statements", len(sent), most=6)
    yield row("usage_page_database", "µs", value, floor=floor, most_ratio=2)
    yield row("usage_page_many_events", "µs", value, floor=with_few, most_ratio=1.1)


def _ids(sender: Sender) -> list[int]:
    return [pk for pk, _ in sender.workspaces]
