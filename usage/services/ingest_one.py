"""One event a request, as applications send what has just happened: two trips to the database instead of six.

The ordinary event only: its key is good, its total exists and passes no level. Everything else is left to
`usage.services.ingest`, which judges, tells and opens what there is to be told and opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import OperationalError

from usage.events import Flaw, MetricRule, ParsedEvent, measure
from usage.faultpoints import reach
from usage.periods import local_day
from usage.rounding import Increment
from usage.services.api_keys import ADMITTED, Admission
from usage.services.ingest import MAX_AHEAD, REPEATABLE, IngestResult
from usage.services.locks import after_cut, lock_number
from usage.sql import prepared

# The place of an event: one row for each metric of its type.
_PLACES: Final = f"""{ADMITTED}
SELECT admitted.account, admitted.workspace, a.last_cut_at, a.ended_at, p.starts_at, p.ends_at, p.zone,
       m.id, m.kind, m.unit_size, m.filters, m.increment_first, m.increment_next, m.minimum_seconds
  FROM admitted
  JOIN usage_account a ON a.id = admitted.account
  JOIN usage_metric m ON m.is_active AND m.event_type = %(type)s
 CROSS JOIN LATERAL (
       SELECT starts_at, ends_at, zone FROM usage_period
        WHERE account_id = admitted.account AND starts_at <= %(at)s ORDER BY starts_at DESC LIMIT 1) AS p
"""  # noqa: S608 - made of constants
_COUNT: Final = "SELECT * FROM headroom_count(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"


def ingest_one(*, admission: Admission, event: ParsedEvent) -> IngestResult | None:
    """Count the event at the admission's instant, for the workspace that it names (spec 2.3-2.5). None: nothing was
    counted, because the call is refused or out of the ordinary; ask `authenticate`, then `ingest`.

    The instant lies before the account's lock, unlike in `ingest`: a closing that came between has moved the cut, and
    then nothing is counted here.
    """
    now = admission.now
    about = {"type": event.type, "at": now if event.time is None else min(event.time, now)}
    places = prepared(_PLACES, admission.parameters() | about)
    if not places:
        return None
    account_id, workspace_id, cut_at, ended_at, starts_at, ends_at, zone = places[0][:7]
    rule = _rule(places, event)
    if rule is None or rule.kind == "level":
        return None
    try:
        quantity, happened_at, _ = measure(event, rule)
    except Flaw:
        return None
    received_at = after_cut(now, cut_at)
    occurred_at = received_at if happened_at is None else happened_at
    if not starts_at <= occurred_at < ends_at or occurred_at > received_at + MAX_AHEAD:
        return None
    if ended_at is not None and occurred_at >= ended_at:
        return None
    where = (account_id, workspace_id, rule.id, starts_at, ends_at, local_day(occurred_at, zone))
    what = (
        quantity,
        occurred_at,
        received_at,
        event.source,
        event.id,
        UUID(bytes=event.key),
        UUID(bytes=event.content),
    )
    reach("ingest.before_lock")
    try:
        (outcome, stored), *_ = prepared(
            _COUNT, [*where, *what, cut_at, ended_at, not settings.LIVE_EVALUATION, lock_number(0)]
        )
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) not in REPEATABLE:
            raise
        return None
    if outcome == "counted":
        reach("ingest.after_commit")
        return IngestResult(accepted=1)
    if outcome == "stored" and stored == event.content:
        return IngestResult(duplicate=1)
    return None


def _rule(places: Sequence[Sequence[Any]], event: ParsedEvent) -> MetricRule | None:
    rules = [
        MetricRule(metric_id, kind, unit_size, filters, Increment(first, following, minimum))
        for *_, metric_id, kind, unit_size, filters, first, following, minimum in places
    ]
    rules.sort(key=lambda rule: -len(rule.filters))
    return next((rule for rule in rules if rule.matches(event.data)), None)
