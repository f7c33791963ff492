"""Alerts and limits of everybody in one go, beside the join that no evaluation could do without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.services.evaluate import evaluate
from config.bench.ground import Ground, query, tidy
from config.bench.measure import Row, Sample, alternate, row, typical

# Every running total with each of its levels.
_JOIN: Final = """
SELECT count(*) FROM (
    SELECT t.account_id, t.workspace_id, t.metric_id, t.period,
           count(*) FILTER (WHERE t.quantity_in_time >= u.threshold * l.level / 100)
      FROM usage_usagetotal t
      JOIN alerts_usagealert u ON u.account_id = t.account_id AND u.workspace_id = t.workspace_id
                              AND u.metric_id = t.metric_id AND u.from_period <= t.period
     CROSS JOIN (VALUES (50), (80), (100)) AS l (level)
     WHERE t.period >= %s
     GROUP BY 1, 2, 3, 4) AS x
"""
_TOUCH: Final = """
UPDATE usage_usagetotal SET seq = seq + 1
 WHERE period >= %s AND (account_id * 31 + workspace_id * 7 + metric_id + %s) %% 100 < %s
"""


def sweeps(ground: Ground) -> Iterator[Row]:
    """All running totals changed; 1 % of them changed."""
    running = min(ground.closings)
    statements: list[int] = []

    def join(number: int) -> Sample:
        with ground.watch_here() as watch:
            query(_JOIN, [running])
        return watch.sample(1)

    def sweep(share: int) -> Callable[[int], Sample]:
        def run(number: int) -> Sample:
            query(_TOUCH, [running, number, share])
            tidy("usage_usagetotal")
            with CaptureQueriesContext(connection) as sent, ground.watch_here() as watch:
                done = evaluate(account_ids=None, now=ground.now)
            if done.unsettled or done.firings:
                raise RuntimeError(f"the evaluation found what nobody put there: {done}")
            statements.append(len(sent))
            return watch.sample(1)

        return run

    evaluate(account_ids=None, now=ground.now)  # of what was sent before
    tidy()
    joined, full, few = alternate(ground.sizes.rounds, join, sweep(100), sweep(1))
    floor, value = (typical(samples, lambda s: s.seconds) * 1e3 for samples in (joined, full))
    yield row("evaluation_all", "ms", value, floor=floor, most=2000)
    yield row("evaluation_statements", "statements", max(statements), most=12)
    yield row("evaluation_1_percent", "ms", typical(few, lambda s: s.seconds) * 1e3, most=100)
