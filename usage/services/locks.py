"""The account's lock and the two instants that it orders (Data 5).

Ingest, corrections, consume and settle hold it shared; closing, limit and alert saves, plan and contract changes and
the sandbox clock hold it alone. What was received in (previous cut, cut] is then the same set for ever, whatever clocks
do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection

from usage.clocks import Clock
from usage.sql import prepared

# One number space for all advisory locks of the installation: the upper bits say what is locked, the lower ones which.
_ACCOUNT = 1 << 48
_MICROSECOND = timedelta(microseconds=1)


def lock_shared(account_id: int) -> None:
    """Hold the account's lock together with other counters until the transaction ends. Must run inside `atomic()`."""
    _lock("SELECT pg_advisory_xact_lock_shared(%s::bigint)", account_id)


def lock_account(account_id: int) -> None:
    """Hold the account's lock alone until the transaction ends. Must run inside `atomic()`."""
    _lock("SELECT pg_advisory_xact_lock(%s::bigint)", account_id)


def lock_accounts(account_ids: Sequence[int]) -> None:
    """`lock_account` for many, in order of their ids, so that two who lock many never wait for each other."""
    if not connection.in_atomic_block:
        raise RuntimeError("the account's lock is held until the transaction ends, so there must be one")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(x.number) FROM (SELECT unnest(%s::bigint[]) AS number ORDER BY 1) AS x",
            [[lock_number(account_id) for account_id in account_ids]],
        )


def lock_number(account_id: int) -> int:
    """The number of the account's advisory lock, for statements that take it themselves."""
    return _ACCOUNT + account_id


def _lock(query: str, account_id: int) -> None:
    if not connection.in_atomic_block:
        raise RuntimeError("the account's lock is held until the transaction ends, so there must be one")
    prepared(query, [lock_number(account_id)])


def received_at(account_id: int, clock: Clock) -> datetime:
    """When something counts as received: the clock's instant, but always after the last closing's cut.

    Call it once, after the lock.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT last_cut_at FROM usage_account WHERE id = %s", [account_id])
        row = cursor.fetchone()
    return after_cut(clock(), row[0] if row else None)


def after_cut(now: datetime, last_cut_at: datetime | None) -> datetime:
    """The later of `now` and the first instant after the cut."""
    return now if last_cut_at is None else max(now, last_cut_at + _MICROSECOND)


_LAST_RECEIVED = """
SELECT greatest(
    (SELECT max(last_received_at) FROM usage_usagetotal WHERE account_id = %(account)s),
    -- Levels (seats) have no total; the newest report of each period is one step into the index.
    (SELECT max(newest.received_at)
       FROM usage_metric m
       JOIN usage_workspace w ON w.account_id = %(account)s
       JOIN usage_period p ON p.account_id = %(account)s
      CROSS JOIN LATERAL (
            SELECT e.received_at FROM usage_usageevent e
             WHERE e.account_id = %(account)s AND e.workspace_id = w.id AND e.metric_id = m.id
               AND e.period = p.starts_at
             ORDER BY e.received_at DESC LIMIT 1) AS newest
      WHERE m.kind = 'level'))
"""


def cut_at(account_id: int, clock: Clock) -> datetime:
    """The instant of a closing's cut: the clock's, but never before anything that was already received.

    Call it once, after `lock_account`.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LAST_RECEIVED, {"account": account_id})
        row = cursor.fetchone()
    now = clock()
    return max(now, row[0]) if row and row[0] is not None else now
