"""The ordinary consume, as applications ask while a customer waits, in one plain statement (spec 4.8).

A statement of a database function costs as much as a small statement of its own; here all are one. Whatever is not
granted by it has changed nothing and is left to `headroom_take`, which sweeps, compares and says why.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db import IntegrityError

from usage.events import event_key
from usage.faultpoints import reach
from usage.functions import STEP
from usage.services.api_keys import ADMITTED, Admission
from usage.services.consume import CONSUME_SOURCE, Answer, Grant, ask, grant_of
from usage.services.locks import lock_number

# What may be older than the account's lock is only what never changes (periods), what the lock does not order (keys,
# metrics), and the event's absence, which its insert proves. The total's row is judged as it is once it is free:
# PostgreSQL looks anew at a row that changed while it waited. A grant that passes a level is not ordinary, because the
# news must commit with it.
_GRANT: Final = f"""{ADMITTED}, placed AS MATERIALIZED (
    SELECT admitted.account, admitted.workspace, m.id AS metric, m.unit_size, p.starts_at, p.ends_at,
           (%(now)s AT TIME ZONE p.zone)::date AS day, headroom_stored(%(quantity)s, m.unit_size, {STEP}) AS n,
           headroom_received_at(admitted.account, %(now)s, {lock_number(0)}) AS received_at
      FROM admitted
      JOIN usage_metric m ON m.key = %(metric)s AND m.is_active AND m.kind <> 'level'
     CROSS JOIN LATERAL (
           SELECT starts_at, ends_at, zone FROM usage_period
            WHERE account_id = admitted.account AND starts_at <= %(now)s ORDER BY starts_at DESC LIMIT 1) AS p
     WHERE p.ends_at > %(now)s
       AND NOT EXISTS (SELECT FROM usage_usageevent e WHERE e.account_id = admitted.account AND e.key = %(key)s)
), counted AS (
    UPDATE usage_usagetotal t
       SET quantity = t.quantity + n,
           quantity_in_time = t.quantity_in_time + CASE WHEN placed.received_at < placed.ends_at THEN n ELSE 0 END,
           seq = t.seq + 1, last_received_at = greatest(t.last_received_at, placed.received_at)
      FROM placed
     WHERE t.account_id = placed.account AND t.workspace_id = placed.workspace AND t.metric_id = placed.metric
       AND t.period = placed.starts_at AND n > 0 AND placed.received_at IS NOT NULL
       AND (t.hard_limit IS NULL OR t.quantity + t.reserved + n <= t.hard_limit)
       AND (t.next_level IS NULL OR t.next_level <= t.quantity OR t.next_level > t.quantity + n)
    RETURNING placed.account, placed.workspace, placed.metric, placed.unit_size, placed.starts_at, placed.ends_at,
              placed.day, placed.n, placed.received_at, t.quantity, t.reserved, t.hard_limit
), kept AS (
    INSERT INTO usage_usageevent (account_id, key, content, workspace_id, metric_id, period, day, quantity, occurred_at,
                                  received_at, source, event_id, is_void)
    SELECT account, %(key)s, %(key)s, workspace, metric, starts_at, day, n, %(now)s, received_at, '{CONSUME_SOURCE}',
           %(id)s, false
      FROM counted
), summed AS (
    INSERT INTO usage_usageday AS d (account_id, workspace_id, metric_id, period, day, quantity)
    SELECT account, workspace, metric, starts_at, day, n FROM counted
    ON CONFLICT (account_id, workspace_id, metric_id, period, day)
    DO UPDATE SET quantity = d.quantity + EXCLUDED.quantity
)
SELECT 'granted', unit_size, ends_at, quantity, reserved, hard_limit, NULL, false FROM counted
"""  # noqa: S608 - made of constants

_TAKE: Final = f"""{ADMITTED}
SELECT t.* FROM admitted CROSS JOIN LATERAL headroom_take(
    admitted.account, admitted.workspace, %(metric)s, %(quantity)s, '{CONSUME_SOURCE}', %(id)s, %(key)s, %(now)s, NULL,
    %(may_pass)s, {lock_number(0)}) AS t
"""  # noqa: S608 - made of constants
_ORDINARY: Final = frozenset({"granted", "limit_reached", "duplicate"})


def consume_at_once(*, admission: Admission, metric_key: str, quantity: Decimal, consume_id: str) -> Grant | None:
    """The caller's admission and `consume` together, at the instant of the admission; `quantity` in display units, > 0.

    None: nothing was counted, because the call is refused or out of the ordinary; ask `authenticate_for`, then
    `consume`.
    """
    reach("consume.before_count")
    arguments = admission.parameters() | {
        "metric": metric_key,
        "quantity": quantity,
        "id": consume_id,
        "key": event_key(CONSUME_SOURCE, consume_id),
    }
    try:
        rows = ask(_GRANT, arguments) or ask(_TAKE, arguments | {"may_pass": not settings.LIVE_EVALUATION})
    except IntegrityError:  # lost a race for this id
        return None
    if not rows:
        return None
    answer = Answer._make(rows[0])
    if answer.outcome not in _ORDINARY:
        return None
    reach("consume.after_commit")
    return grant_of(answer)
