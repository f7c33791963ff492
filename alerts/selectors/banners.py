"""What stands at the top of pages: the limits that are reached (spec 4.3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from usage.formats import day_and_month
from usage.models import Workspace
from usage.periods import local_day
from usage.rounding import format_quantity, shown_quantity
from usage.sql import prepared

# Telephony is billed separately; a voice limit does not stop it (spec 4.7).
_UNAFFECTED = {"voice_resolutions": " Telephony charges are not affected."}


# The row that counts knows its limit; before the period's first event the limit in force is read from the dated rows.
# One index step for each metric that ever had a limit in the workspace.
_REACHED = """
SELECT m.key, m.name, m.agent_name, m.unit, m.unit_singular, m.unit_size, p.ends_at, p.zone, found.quantity
  FROM (SELECT starts_at, ends_at, zone FROM usage_period
         WHERE account_id = %(account)s AND starts_at <= %(now)s AND ends_at > %(now)s
         ORDER BY starts_at DESC LIMIT 1) AS p
 CROSS JOIN (SELECT DISTINCT metric_id FROM usage_usagelimit
              WHERE account_id = %(account)s AND workspace_id = %(workspace)s) AS limited
  JOIN usage_metric m ON m.id = limited.metric_id
  LEFT JOIN usage_usagetotal t
         ON t.account_id = %(account)s AND t.workspace_id = %(workspace)s AND t.metric_id = m.id
        AND t.period = p.starts_at
 CROSS JOIN LATERAL (
        SELECT CASE WHEN t.period IS NOT NULL THEN t.hard_limit ELSE (
            SELECT u.quantity FROM usage_usagelimit u
             WHERE u.account_id = %(account)s AND u.workspace_id = %(workspace)s AND u.metric_id = m.id
               AND u.from_period <= p.starts_at ORDER BY u.from_period DESC LIMIT 1) END AS quantity) AS found
 WHERE coalesce(t.quantity, 0) >= found.quantity
 ORDER BY m.position, m.key
"""


@dataclass(frozen=True, slots=True)
class Banner:
    """One sentence; `tone` as in components/banner.html, `metric` the key of the metric it is about."""

    tone: str
    title: str
    text: str
    metric: str


def banners_for(*, workspace: Workspace, now: datetime) -> list[Banner]:
    """The limits that are reached at this moment, from the rows that count, a limit of 0 also before any usage (spec
    4.3); 1 query."""
    arguments = {"account": workspace.account_id, "workspace": workspace.pk, "now": now}
    banners = []
    for key, name, agent, unit, singular, unit_size, ends_at, zone, limit in prepared(_REACHED, arguments):
        shown = shown_quantity(limit, unit_size=unit_size)
        reached = format_quantity(shown, unit=singular if shown == 1 else unit)
        until = day_and_month(local_day(ends_at, zone))
        banners.append(
            Banner(
                tone="limit",
                title=f"{agent or name} is off in {workspace} until {until}.",
                text=f"The limit of {reached} is reached.{_UNAFFECTED.get(key, '')}",
                metric=key,
            )
        )
    return banners
