"""Spend alerts: a threshold in money on the account's charges so far (spec 3.10)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import connection

from alerts.levels import levels_of
from alerts.models import Firing, Notification, SpendAlert
from alerts.services.firings import FiringRow, fire
from alerts.services.news import News
from billing.selectors.charges import charges_so_far
from usage.models import Period

# The threshold in force in the running period, and in an ended one with usage that nobody has looked at yet; there only
# as long as nothing arrived late, because late usage never alerts (spec 3.6).
_IN_FORCE: Final = """
WITH alerting AS MATERIALIZED (
    SELECT DISTINCT s.account_id, a.ended_at
      FROM alerts_spendalert s JOIN usage_account a ON a.id = s.account_id
     WHERE (%(sandbox)s OR NOT a.is_sandbox)
       AND (%(accounts)s::bigint[] IS NULL OR s.account_id = ANY(%(accounts)s::bigint[]))
), spans AS MATERIALIZED (
    SELECT p.id, p.account_id, p.starts_at
      FROM alerting x
      JOIN usage_period p ON p.account_id = x.account_id
     WHERE p.starts_at <= %(now)s AND (p.ends_at > %(now)s OR (
           p.ends_at > %(now)s::timestamptz - interval '35 days'
           AND EXISTS (SELECT 1 FROM usage_usagetotal t
                    WHERE t.account_id = p.account_id AND t.period = p.starts_at AND t.evaluated_seq < t.seq)
           AND NOT EXISTS (SELECT 1 FROM usage_usagetotal t
                    WHERE t.account_id = p.account_id AND t.period = p.starts_at AND t.quantity <> t.quantity_in_time)))
)
SELECT s.id, x.id
  FROM spans x
 CROSS JOIN LATERAL (
       SELECT s.id, s.threshold FROM alerts_spendalert s
        WHERE s.account_id = x.account_id AND s.from_period <= x.starts_at ORDER BY s.from_period DESC LIMIT 1) s
 WHERE s.threshold IS NOT NULL
 UNION ALL
-- Without an alert: an account whose running period nobody has opened yet; fixed charges are due in it all the same.
SELECT NULL, x.account_id FROM alerting x
 WHERE (x.ended_at IS NULL OR x.ended_at > %(now)s)
   AND NOT EXISTS (SELECT 1 FROM usage_period p WHERE p.account_id = x.account_id AND p.ends_at > %(now)s)
 ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class SpendTold:
    """Firings written, what to tell, and the accounts whose running period must be opened before they can be judged."""

    firings: int = 0
    news: tuple[News, ...] = ()
    unopened: tuple[int, ...] = ()


def tell_spend(*, params: dict[str, Any], now: datetime) -> SpendTold:
    """Write the firings of all spend alerts in the scope. One reading of charges per account
    with a spend alert. Must run inside a transaction; the caller tells the news in it. Aware `now`.
    """
    with connection.cursor() as cursor:
        cursor.execute(_IN_FORCE, {**params, "now": now})
        found = cursor.fetchall()
    unopened = tuple(account for alert, account in found if alert is None)
    pairs = [(alert, period) for alert, period in found if alert is not None]
    if not pairs:
        return SpendTold(unopened=unopened)
    alerts = SpendAlert.objects.select_related("account").in_bulk([alert for alert, _ in pairs])
    periods = Period.objects.in_bulk([period for _, period in pairs])
    rows = []
    for alert_id, period_id in pairs:
        rows += _reached(alerts[alert_id], periods[period_id], now=now)
    fired = fire(rows, now=now)
    highest: dict[tuple[int, datetime, Decimal], FiringRow] = {}
    for row in sorted(fired, key=lambda row: row.level):
        highest[row.account_id, row.period, row.threshold] = row
    news = tuple(
        News(
            kind=Notification.Kind.SPEND_ALERT,
            account_id=row.account_id,
            workspace_id=None,
            metric_id=None,
            period=row.period,
            level=row.level,
            threshold=row.threshold,
            quantity=row.quantity,
            at=now,
            once=f"{row.period.isoformat()}:{row.level}:{row.threshold.normalize():f}",
        )
        for row in highest.values()
    )
    return SpendTold(len(fired), news, unopened)


def _reached(alert: SpendAlert, period: Period, *, now: datetime) -> list[FiringRow]:
    if alert.threshold is None:
        return []
    # An ended period is charged as at its last instant; its usage is complete then.
    moment = min(now, period.ends_at)
    charged = charges_so_far(account=alert.account, period=period, now=moment).so_far
    baseline = alert.baseline if alert.from_period == period.starts_at else Decimal(0)
    return [
        FiringRow(
            rule=Firing.Rule.SPEND_ALERT,
            account_id=alert.account_id,
            workspace_id=None,
            metric_id=None,
            period=period.starts_at,
            level=percent,
            threshold=alert.threshold,
            quantity=charged,
            baseline=baseline,
        )
        for percent, level in levels_of(alert.threshold, alert.also_50_80)
        if baseline < level <= charged
    ]
