"""Which billing periods wait for their invoice (spec 5.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

# No period is shorter, so one that is not stored yet need not be opened to know that it still runs.
SHORTEST_PERIOD: Final = timedelta(days=27)


@dataclass(frozen=True, slots=True)
class Due:
    """The oldest unbilled period of an account, which began at `period`; `ends_at` is None when it is not stored."""

    account_id: int
    period: datetime
    ends_at: datetime | None
    grace: timedelta


# What a regular invoice after the account's end could bill: usage received or corrected since the last one's cut.
_LATE: Final = """
EXISTS (SELECT 1 FROM usage_usagetotal t WHERE t.account_id = a.id AND t.last_received_at > next.cut_at)
OR EXISTS (
    SELECT 1 FROM usage_period q, usage_workspace w, usage_metric m, usage_usageevent e
     WHERE q.account_id = a.id AND w.account_id = a.id AND m.kind = 'level' AND e.account_id = a.id
       AND e.workspace_id = w.id AND e.metric_id = m.id AND e.period = q.starts_at AND e.received_at > next.cut_at)
"""

# The next period to bill begins where the last billed one ended, or where the account first bought something.
_DUE: Final = f"""
SELECT a.id, next.starts_at, p.ends_at, coalesce(b.grace_hours, 1)
  FROM usage_account a
  LEFT JOIN billing_billingprofile b ON b.account_id = a.id
 CROSS JOIN LATERAL (
        SELECT last.cut_at, coalesce(
            last.period_ends_at,
            least((SELECT min(s.period) FROM billing_subscription s WHERE s.account_id = a.id),
                  (SELECT min(d.from_period) FROM billing_addonsubscription d WHERE d.account_id = a.id),
                  (SELECT min(c.from_period) FROM billing_contract c WHERE c.account_id = a.id))) AS starts_at
          FROM (SELECT) AS one
          LEFT JOIN LATERAL (
                SELECT i.period_ends_at, i.cut_at FROM billing_invoice i
                 WHERE i.account_id = a.id AND i.reason = 'regular' ORDER BY i.period DESC LIMIT 1) AS last ON true
        OFFSET 0) AS next -- worked out once, not wherever it is named
  LEFT JOIN usage_period p ON p.account_id = a.id AND p.starts_at = next.starts_at
 WHERE next.starts_at IS NOT NULL
   AND (a.ended_at IS NULL OR next.starts_at < a.ended_at OR {_LATE})
   AND (%(accounts)s::bigint[] IS NULL OR a.id = ANY(%(accounts)s))
   AND (%(sandbox)s OR NOT a.is_sandbox)
   AND coalesce(p.ends_at, next.starts_at + %(shortest)s) <= %(now)s
 ORDER BY a.id
"""  # noqa: S608 - made of constants


def due_periods(*, now: datetime, account_ids: Sequence[int] | None = None, include_sandbox: bool = False) -> list[Due]:
    """The oldest unbilled period of every account where it has ended at `now` (or is not stored and may have), in 1
    query, by account id. After an account's end a period is due only while there is late usage to bill. Sandbox
    accounts have their own clock and are left out unless asked for (spec 7.4)."""
    arguments: dict[str, Any] = {
        "now": now,
        "accounts": None if account_ids is None else list(account_ids),
        "sandbox": include_sandbox,
        "shortest": SHORTEST_PERIOD,
    }
    with connection.cursor() as cursor:
        cursor.execute(_DUE, arguments)
        return [Due(account, start, end, timedelta(hours=hours)) for account, start, end, hours in cursor.fetchall()]
