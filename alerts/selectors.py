"""Reads: what is in force and scheduled, what was told, what is shown at the top of pages (spec 3.11, 4.10, 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from alerts.models import LimitState, Notification, NotificationRead, PlanAlertSwitch, SpendAlert, UsageAlert
from alerts.models.messages import WebhookEndpoint
from billing.models import BillingContact, PeriodTerms
from billing.selectors.terms import terms_for
from usage.formats import day_and_month, local_day
from usage.models import Account, Metric, Period, UsageLimit, UsageTotal, User, Workspace
from usage.rounding import format_quantity, shown_quantity
from usage.services.periods import next_period_of, open_period
from usage.sql import prepared
from usage.written import Written, any_of


@dataclass(frozen=True, slots=True)
class AlertSetting:
    """A usage alert (display units) or spend alert (money): `threshold` None = off."""

    threshold: Decimal | None
    also_50_80: bool
    from_period: datetime
    baseline: Decimal = Decimal(0)

    @property
    def is_on(self) -> bool:
        return self.threshold is not None


@dataclass(frozen=True, slots=True)
class LimitSetting:
    """A hard limit in display units; None = off."""

    limit: Decimal | None
    from_period: datetime

    @property
    def is_on(self) -> bool:
        return self.limit is not None


@dataclass(frozen=True, slots=True)
class State[Setting]:
    """What is in force in the running period (None = nothing), and what is scheduled from a later one (None = no
    change)."""

    in_force: Setting | None
    scheduled: Setting | None


_ALERTS: Final = Written(
    lambda account, workspace, metric: UsageAlert.objects.filter(
        account=account, workspace=workspace, metric=metric
    ).order_by("from_period")
)
_LIMITS: Final = Written(
    lambda account, workspace, metric: UsageLimit.objects.filter(
        account=account, workspace=workspace, metric=metric
    ).order_by("from_period")
)
_SPEND: Final = Written(lambda account: SpendAlert.objects.filter(account=account).order_by("from_period"))
_PLAN_SWITCH: Final = Written(
    lambda account, metric: PlanAlertSwitch.objects.filter(account=account, metric=metric).values_list(
        "is_on", flat=True
    )
)
_LIMIT_STATE: Final = Written(
    lambda account, workspace, metric: LimitState.objects.filter(account=account, workspace=workspace, metric=metric)
)


def alert_state_of(*, workspace: Workspace, metric: Metric, period: datetime) -> State[AlertSetting]:
    """The usage alert of a metric of a workspace in the period that starts at `period`; one query."""
    rows = _ALERTS(account=workspace.account_id, workspace=workspace.pk, metric=metric.pk)
    for row in rows:
        row.metric = metric
    return alert_state(rows, period)


def alert_state(rows: Sequence[UsageAlert], period: datetime) -> State[AlertSetting]:
    """What the rows of one line (oldest first, with their metric) say of the period that starts at `period`."""

    def setting(row: UsageAlert) -> AlertSetting:
        size = row.metric.unit_size
        return AlertSetting(
            threshold=None if row.threshold is None else shown_quantity(row.threshold, unit_size=size),
            also_50_80=row.also_50_80,
            from_period=row.from_period,
            baseline=shown_quantity(row.baseline, unit_size=size) if row.from_period == period else Decimal(0),
        )

    held = [setting(row) for row in rows if row.from_period <= period]
    later = [setting(row) for row in rows if row.from_period > period]
    in_force = held[-1] if held and held[-1].is_on else None
    return State(in_force, later[0] if later else None)


def spend_alert_of(*, account: Account, period: datetime) -> State[AlertSetting]:
    """The account's spend alert in the period that starts at `period`; one query."""
    rows = _SPEND(account=account.pk)
    settings_ = [
        AlertSetting(
            row.threshold, row.also_50_80, row.from_period, row.baseline if row.from_period == period else Decimal(0)
        )
        for row in rows
    ]
    held = [setting for setting in settings_ if setting.from_period <= period]
    later = [setting for setting in settings_ if setting.from_period > period]
    return State(held[-1] if held and held[-1].is_on else None, later[0] if later else None)


def limit_state(rows: Sequence[UsageLimit], period: datetime) -> State[LimitSetting]:
    """What the rows of one line (oldest first, with their metric) say of the period that starts at `period`."""
    limits = [
        LimitSetting(
            None if row.quantity is None else shown_quantity(row.quantity, unit_size=row.metric.unit_size),
            row.from_period,
        )
        for row in rows
    ]
    held = [limit for limit in limits if limit.from_period <= period]
    later = [limit for limit in limits if limit.from_period > period]
    in_force = held[-1] if held and held[-1].is_on else None
    scheduled = later[0] if later else None
    if scheduled is not None and scheduled.limit == (in_force.limit if in_force else None):
        scheduled = None  # it says what holds anyway
    return State(in_force, scheduled)


def limit_setting_of(*, workspace: Workspace, metric: Metric, period: datetime) -> State[LimitSetting]:
    """The hard limit of a metric of a workspace in the period that starts at `period`; one query."""
    rows = _LIMITS(account=workspace.account_id, workspace=workspace.pk, metric=metric.pk)
    for row in rows:
        row.metric = metric
    return limit_state(rows, period)


def plan_alert_is_on(*, account: Account, metric: Metric) -> bool:
    """Whether 80, 90 and 100 % of the included amount are told (spec 3.7)."""
    return all(_PLAN_SWITCH(account=account.pk, metric=metric.pk))


# --- Notifications ---


def notifications_of(*, workspace: Workspace) -> QuerySet[Notification]:
    """The messages of a workspace and those of its account as a whole, newest first (spec 3.11)."""
    return (
        Notification.objects.filter(account_id=workspace.account_id)
        .filter(Q(workspace=workspace) | Q(workspace=None))
        .select_related("metric", "workspace", "account")
        .order_by("-at", "-id")
    )


def notifications_for(*, user: User, workspace: Workspace) -> QuerySet[Notification]:
    """`notifications_of`, each with `is_read` for the user."""
    read = NotificationRead.objects.filter(notification=OuterRef("pk"), user=user)
    return notifications_of(workspace=workspace).annotate(is_read=Exists(read))


_LATEST: Final = Written(
    lambda user, account, workspace: (
        Notification.objects.filter(Q(workspace=workspace) | Q(workspace=None), account=account)
        .annotate(is_read=Exists(NotificationRead.objects.filter(notification=OuterRef("pk"), user=user)))
        .order_by("-at", "-id")[:20]
    )
)


def latest_notifications(*, user: User, workspace: Workspace, number: int) -> Sequence[Notification]:
    """The newest of `notifications_for`, up to 20."""
    return _LATEST(user=user.pk, account=workspace.account_id, workspace=workspace.pk)[:number]


_UNREAD = """
SELECT count(*)
  FROM (SELECT FROM alerts_notification n
         WHERE n.account_id = %(account)s AND (n.workspace_id = %(workspace)s OR n.workspace_id IS NULL)
           AND NOT EXISTS (SELECT FROM alerts_notificationread r
                            WHERE r.notification_id = n.id AND r.user_id = %(user)s)
         LIMIT 100) AS unread
"""


def unread_count(*, user: User, workspace: Workspace) -> int:
    """How many of them the user has not read, up to 100: the bell shows no more."""
    arguments = {"account": workspace.account_id, "workspace": workspace.pk, "user": user.pk}
    found: int = prepared(_UNREAD, arguments)[0][0]
    return found


# --- What stands at the top of pages
# -------------------------------------------------------------------------------------


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


# --- The drawer
# ----------------------------------------------------------------------------------------------------------


_PLACES: Final = Written(lambda account: Workspace.objects.filter(account=account).order_by("name", "key"))
_TOTALS: Final = Written(
    lambda account, workspaces, metric, period: UsageTotal.objects.filter(
        any_of("workspace", workspaces), account=account, metric=metric, period=period
    ).values_list("workspace_id", "quantity")
)
_CONTACTS: Final = Written(lambda account: BillingContact.objects.filter(account=account).order_by("id"))
_ENDPOINTS: Final = Written(
    lambda account: WebhookEndpoint.objects.filter(account=account, is_on=True).values_list("pk", flat=True)
)


@dataclass(frozen=True, slots=True)
class DrawerState:
    """Everything the drawer shows. Quantities in display units; `pool` and `included` belong to the account."""

    workspace: Workspace
    metric: Metric
    period: Period
    next_starts_at: datetime
    next_ends_at: datetime
    quantity: Decimal
    pool: Decimal
    others: list[tuple[Workspace, Decimal]]
    terms: PeriodTerms | None
    alert: State[AlertSetting]
    plan_alert: bool
    has_plan_levels: bool
    limit: State[LimitSetting]
    limit_state: LimitState | None
    contacts: list[BillingContact]
    endpoints: int
    support_email: str

    @property
    def is_limit_reached(self) -> bool:
        in_force = self.limit.in_force
        return in_force is not None and in_force.limit is not None and self.quantity >= in_force.limit


def drawer_state(*, workspace: Workspace, metric: Metric, now: datetime) -> DrawerState:
    """What the drawer of a workspace and metric shows at `now`. Raises BeforeFirstPeriod, AccountEnded."""
    account = workspace.account
    period = open_period(account_id=account.pk, at=now)
    starts_at, ends_at = next_period_of(period)
    places = _PLACES(account=account.pk)
    totals = _TOTALS(
        account=account.pk, workspaces=[each.pk for each in places], metric=metric.pk, period=period.starts_at
    )
    own = {pk: shown_quantity(quantity, unit_size=metric.unit_size) for pk, quantity in totals}
    terms = terms_for(account=account, period_start=period.starts_at).get(metric.pk)
    return DrawerState(
        workspace=workspace,
        metric=metric,
        period=period,
        next_starts_at=starts_at,
        next_ends_at=ends_at,
        quantity=own.get(workspace.pk, Decimal(0)),
        pool=sum(own.values(), start=Decimal(0)),
        others=[(other, own.get(other.pk, Decimal(0))) for other in places if other.pk != workspace.pk],
        terms=terms,
        alert=alert_state_of(workspace=workspace, metric=metric, period=period.starts_at),
        plan_alert=plan_alert_is_on(account=account, metric=metric),
        has_plan_levels=terms is not None and not terms.is_unlimited and bool(terms.included),
        limit=limit_setting_of(workspace=workspace, metric=metric, period=period.starts_at),
        limit_state=limit_state_of(workspace=workspace, metric=metric),
        contacts=_CONTACTS(account=account.pk),
        endpoints=len(_ENDPOINTS(account=account.pk)),
        support_email=settings.SUPPORT_EMAIL,
    )


def limit_state_of(*, workspace: Workspace, metric: Metric) -> LimitState | None:
    """What was last told of the workspace's limit (spec 4.4)."""
    found = _LIMIT_STATE(account=workspace.account_id, workspace=workspace.pk, metric=metric.pk)
    return found[0] if found else None
