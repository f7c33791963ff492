"""Everything that the drawer of a workspace and metric shows (spec 3.1, 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.conf import settings

from alerts.models import LimitState
from alerts.models.messages import WebhookEndpoint
from alerts.selectors.settings import (
    AlertSetting,
    LimitSetting,
    State,
    alert_state_of,
    limit_setting_of,
    limit_state_of,
    plan_alert_is_on,
)
from billing.models import BillingContact, PeriodTerms
from billing.selectors.terms import terms_for
from usage.models import Metric, Period, UsageTotal, Workspace
from usage.rounding import shown_quantity
from usage.services.periods import next_period_of, open_period
from usage.written import Written, any_of

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
