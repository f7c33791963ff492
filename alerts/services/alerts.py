"""Setting alerts (spec 3.4, 3.5, 3.7, 3.10; Data 8).

Each saving takes the account's lock, lets the old row be evaluated first, and then writes the new one with the usage of
that moment as its baseline. Between the two nothing is counted, so nothing is told twice and nothing is missed.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import QuerySet, Sum

from alerts.models import PlanAlertSwitch, SpendAlert, UsageAlert
from alerts.selectors.settings import AlertSetting, State, alert_state_of, spend_alert_of
from alerts.services.evaluate import evaluate, look_again, queue_evaluation
from billing.money import plain_money
from billing.selectors.charges import charges_so_far
from usage.clocks import Clock
from usage.currencies import decimals
from usage.errors import InvalidInput
from usage.models import Account, Metric, UsageTotal, Workspace
from usage.rounding import parse_whole_number, plain_quantity, stored_quantity
from usage.services.audit import Actor, record
from usage.services.locks import lock_account
from usage.services.periods import next_period_of, open_period

MAX_SPEND = Decimal(10) ** 12


@transaction.atomic
def set_usage_alert(
    *,
    workspace: Workspace,
    metric: Metric,
    threshold: Decimal | None,
    also_50_80: bool,
    clock: Clock,
    by: Actor,
) -> State[AlertSetting]:
    """Set the threshold of a workspace and metric (display units, whole, >= 1), or switch the alert off with None.

    Above the usage of this moment it is in force at once and tells only levels above that usage; at or below it, it is
    scheduled for the next billing period, and what was in force stays. The last edit wins: other scheduled rows go, and
    off takes effect at once (spec 3.4, 3.5). The clock is read after the account's lock. Raises InvalidInput,
    AccountEnded.
    """
    if not metric.supports_alerts:
        raise InvalidInput(f"{metric.name} has no usage alerts.", field="metric", code="alerts_not_supported")
    wanted = None if threshold is None else _stored_threshold(threshold, metric)
    lock_account(workspace.account_id)
    now = clock()
    period = open_period(account_id=workspace.account_id, at=now)
    evaluate(account_ids=[workspace.account_id], metric_id=metric.pk, now=now, include_sandbox=True)
    before = alert_state_of(workspace=workspace, metric=metric, period=period.starts_at)
    rows = UsageAlert.objects.filter(account_id=workspace.account_id, workspace=workspace, metric=metric)
    in_force = rows.filter(from_period__lte=period.starts_at).order_by("-from_period").first()
    usage = _used_in_time(period.starts_at, account_id=workspace.account_id, workspace=workspace, metric=metric)
    values: dict[str, Any] = {"threshold": wanted, "also_50_80": also_50_80 if wanted is not None else False}
    line: dict[str, Any] = {"account_id": workspace.account_id, "workspace": workspace, "metric": metric}
    starts = _takes_effect(
        wanted, also_50_80, usage=usage, in_force=in_force, now_at=period.starts_at, next_at=next_period_of(period)[0]
    )
    _drop_schedule(rows, after=period.starts_at, but=starts)
    if starts is not None:
        baseline = usage if starts == period.starts_at else Decimal(0)
        UsageAlert.objects.update_or_create(**line, from_period=starts, defaults={**values, "baseline": baseline})
    after = alert_state_of(workspace=workspace, metric=metric, period=period.starts_at)
    if after != before:
        record(
            by=by,
            action="alert.changed",
            subject=metric.key,
            account=workspace.account_id,
            workspace=workspace,
            before=state_record(before),
            after=state_record(after),
        )
        look_again(account_id=workspace.account_id, metric_id=metric.pk, from_period=period.starts_at)
        queue_evaluation(workspace.account_id)
    return after


@transaction.atomic
def set_plan_alert(*, account: Account, metric: Metric, is_on: bool, clock: Clock, by: Actor) -> bool:
    """Switch the account's 80, 90 and 100 % of the included amount of a metric on or off (spec 3.7).

    Switched on again, levels passed meanwhile are not told (as 3.5). Returns whether something changed. Raises
    AccountEnded.
    """
    lock_account(account.pk)
    now = clock()
    period = open_period(account_id=account.pk, at=now)
    evaluate(account_ids=[account.pk], metric_id=metric.pk, now=now, include_sandbox=True)
    switch = PlanAlertSwitch.objects.filter(account=account, metric=metric).first()
    was_on = switch is None or switch.is_on
    if was_on == is_on:
        return False
    PlanAlertSwitch.objects.update_or_create(
        account=account,
        metric=metric,
        defaults={
            "is_on": is_on,
            "period": period.starts_at,
            "baseline": _used_in_time(period.starts_at, account_id=account.pk, metric=metric),
        },
    )
    record(
        by=by,
        action="plan_alert.changed",
        subject=metric.key,
        account=account,
        before={"enabled": was_on},
        after={"enabled": is_on},
    )
    look_again(account_id=account.pk, metric_id=metric.pk, from_period=period.starts_at)
    queue_evaluation(account.pk)
    return True


@transaction.atomic
def set_spend_alert(
    *, account: Account, threshold: Decimal | None, also_50_80: bool, clock: Clock, by: Actor
) -> State[AlertSetting]:
    """Set the account's spend alert (money in its currency, > 0), or switch it off with None; the rule of
    `set_usage_alert` with the charges so far in place of usage (spec 3.10). Raises InvalidInput, AccountEnded.
    """
    wanted = None if threshold is None else _checked_money(threshold, account.currency)
    lock_account(account.pk)
    now = clock()
    period = open_period(account_id=account.pk, at=now)
    evaluate(account_ids=[account.pk], now=now, include_sandbox=True)
    before = spend_alert_of(account=account, period=period.starts_at)
    rows = SpendAlert.objects.filter(account=account)
    in_force = rows.filter(from_period__lte=period.starts_at).order_by("-from_period").first()
    charged = charges_so_far(account=account, period=period, now=now).so_far
    starts = _takes_effect(
        wanted, also_50_80, usage=charged, in_force=in_force, now_at=period.starts_at, next_at=next_period_of(period)[0]
    )
    _drop_schedule(rows, after=period.starts_at, but=starts)
    if starts is not None:
        SpendAlert.objects.update_or_create(
            account=account,
            from_period=starts,
            defaults={
                "threshold": wanted,
                "also_50_80": also_50_80 if wanted is not None else False,
                "baseline": max(charged, Decimal(0)) if starts == period.starts_at else Decimal(0),
            },
        )
    after = spend_alert_of(account=account, period=period.starts_at)
    if after != before:
        record(
            by=by,
            action="spend_alert.changed",
            subject="spend",
            account=account,
            before=state_record(before, currency=account.currency),
            after=state_record(after, currency=account.currency),
        )
        queue_evaluation(account.pk)
    return after


def _takes_effect(
    wanted: Decimal | None,
    also_50_80: bool,
    *,
    usage: Decimal,
    in_force: UsageAlert | SpendAlert | None,
    now_at: datetime,
    next_at: datetime,
) -> datetime | None:
    """From which period the wanted row holds; None when what is in force says the same already (spec 3.4, 3.5)."""
    if wanted is None:
        return now_at if in_force is not None and in_force.threshold is not None else None
    if in_force is not None and (in_force.threshold, in_force.also_50_80) == (wanted, also_50_80):
        return None
    return now_at if wanted > usage else next_at


def _drop_schedule(rows: QuerySet[UsageAlert] | QuerySet[SpendAlert], *, after: datetime, but: datetime | None) -> None:
    later = rows.filter(from_period__gt=after)
    (later if but is None else later.exclude(from_period=but)).delete()


def _stored_threshold(threshold: Decimal, metric: Metric) -> Decimal:
    try:
        return stored_quantity(parse_whole_number(threshold, at_least=1), unit_size=metric.unit_size)
    except ValueError as error:
        raise InvalidInput(f"The threshold {error}.", field="threshold") from error


def _checked_money(threshold: Decimal, currency: str) -> Decimal:
    if not threshold.is_finite() or threshold <= 0 or threshold > MAX_SPEND:
        raise InvalidInput("The threshold must be greater than 0 and at most 1,000,000,000,000.", field="threshold")
    if threshold != threshold.quantize(Decimal(1).scaleb(-decimals(currency))):
        raise InvalidInput(f"{currency} has {decimals(currency)} decimals.", field="threshold")
    return threshold


def _used_in_time(period: datetime, **line: Any) -> Decimal:
    total = UsageTotal.objects.filter(period=period, **line).aggregate(total=Sum("quantity_in_time"))["total"]
    return total if total is not None else Decimal(0)


def state_record(state: State[AlertSetting], *, currency: str | None = None) -> dict[str, Any]:
    """The state as the audit trail keeps it: display units or money as decimal strings."""

    def setting(value: AlertSetting | None) -> dict[str, Any] | None:
        if value is None:
            return None
        shown = None
        if value.threshold is not None:
            shown = plain_money(value.threshold, currency) if currency else plain_quantity(value.threshold)
        return {
            "enabled": value.is_on,
            "threshold": shown,
            "also_50_80": value.also_50_80,
            "from": value.from_period.isoformat(),
        }

    return {"in_force": setting(state.in_force), "scheduled": setting(state.scheduled)}
