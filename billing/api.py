"""The API of this app: `…/usage` with its money (spec 10.5). Quantities in display units; decimals are strings."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router, Schema

from billing import api_invoices
from billing.charges import MetricCharge
from billing.money import plain_money
from billing.selectors.charges import Standing, usage_of
from usage.api_auth import bearer, clock_for, workspace_of
from usage.api_types import decimal_text, instant_text
from usage.errors import InvalidInput
from usage.models import Account, Period
from usage.periods import plain_instant
from usage.rounding import plain_quantity, shown_quantity
from usage.selectors import current_period

router = Router(tags=["Billing"])
router.add_router("", api_invoices.router)


class PeriodSpan(Schema):
    """A half-open billing period."""

    starts_at: str
    ends_at: str


class MetricAnswer(Schema):
    """`quantity`, `limit`, `limit_reached` and `over_limit_quantity` are the workspace's, the rest is the account's."""

    key: str
    terms: str
    quantity: str
    pool_quantity: str
    included: str | None
    overage_quantity: str
    overage_amount: str
    projected_quantity: str | None
    limit: str | None
    limit_reached: bool
    over_limit_quantity: str


class UsageAnswer(Schema):
    """`total_overage` and `projected_total` are the account's; `projected_total` is null before 24 hours."""

    period: PeriodSpan
    as_of: str
    checked_at: str | None
    currency: str
    total_overage: str
    projected_total: str | None
    metrics: list[MetricAnswer]


@router.get("/workspaces/{key}/usage", auth=bearer("read"), response=UsageAnswer, summary="Usage and what it costs")
def read_usage(
    request: HttpRequest,
    key: str,
    at: Annotated[str | None, Query(description="An instant (ISO 8601 with offset) in the period.")] = None,
) -> dict[str, Any]:
    """A workspace's usage of every metric with terms in a period, with the account's pool, included amount and overage.

    Live: what was acknowledged a moment ago is in it.
    """
    workspace = workspace_of(request)
    now = clock_for(workspace)()
    period = _period(workspace.account_id, now, at)
    account = period.account
    standing = usage_of(account=account, period=period, now=now)
    charges = standing.charges
    return {
        "period": {"starts_at": plain_instant(period.starts_at), "ends_at": plain_instant(period.ends_at)},
        "as_of": plain_instant(now),
        "checked_at": instant_text(standing.checked_at),
        "currency": account.currency,
        "total_overage": plain_money(charges.total_overage, account.currency),
        "projected_total": _money(charges.projected_total, account.currency),
        "metrics": [_metric(standing, charges.metrics[metric_id], workspace.id) for metric_id in standing.terms],
    }


def _metric(standing: Standing, charge: MetricCharge, workspace_id: int) -> dict[str, Any]:
    terms, used = charge.terms, standing.usage[charge.terms.metric_id]
    limit = used.limits.get(workspace_id)

    def shown(stored: Decimal) -> str:
        return plain_quantity(shown_quantity(stored, unit_size=terms.unit_size))

    return {
        "key": terms.key,
        "terms": terms.kind,
        "quantity": shown(used.own.get(workspace_id, Decimal(0))),
        "pool_quantity": plain_quantity(charge.pool_quantity),
        "included": decimal_text(terms.included),
        "overage_quantity": plain_quantity(charge.overage_quantity),
        "overage_amount": plain_money(charge.overage_amount, standing.currency),
        "projected_quantity": decimal_text(charge.projected_quantity),
        "limit": None if limit is None else shown(limit),
        "limit_reached": used.is_limit_reached(workspace_id),
        "over_limit_quantity": shown(used.over_limit(workspace_id)),
    }


def _period(account_id: int, now: datetime, at: str | None) -> Period:
    """The running period, or the one of `at`, with its account; opened on demand. Raises InvalidInput naming `at`."""
    instant = now if at is None else _instant(at)
    if instant > now:
        raise InvalidInput("This lies in the future.", field="at", code="in_future")
    periods = Period.objects.filter(account_id=account_id).select_related("account")
    period = periods.filter(starts_at__lte=instant).order_by("-starts_at").first()
    if period is not None and instant < period.ends_at:
        return period
    account = period.account if period else Account.objects.get(pk=account_id)
    found = current_period(account, instant)
    if at is not None and instant < found.starts_at:
        raise InvalidInput(
            "This lies before the account's first billing period.", field="at", code="before_first_period"
        )
    found.account = account
    return found


def _instant(text: str) -> datetime:
    try:
        # An unescaped plus sign arrives as a space.
        instant = datetime.fromisoformat(text.replace(" ", "+"))
        if instant.utcoffset() is None:
            raise ValueError
        return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            "This must be an ISO 8601 time with offset, such as 2026-06-01T00:00:00Z.", field="at"
        ) from error


def _money(amount: Decimal | None, currency: str) -> str | None:
    return None if amount is None else plain_money(amount, currency)
