"""Plans of an account: start, change, move to a newer version, cancel (spec 5.3, 5.5).

Everything here takes the account's lock, writes its rows, the terms and the audit entry in one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from django.db import transaction

from billing.errors import IntervalDiffers, NoSubscription, NotABoundary
from billing.models import AddOn, AddOnSubscription, Plan, Subscription
from billing.selectors.changes import UPGRADE, kind_of_change
from billing.selectors.holdings import Holdings, holdings_of
from billing.services.terms import check_currency, recompute_terms
from usage.clocks import Clock
from usage.errors import BeforeFirstPeriod, Conflict
from usage.models import Account, AccountClock, Period
from usage.periods import local_day
from usage.services.accounts import change_clock
from usage.services.audit import Actor, record
from usage.services.locks import lock_account
from usage.services.periods import next_period_of, open_period
from usage.signals import account_changed


@transaction.atomic
def start_subscription(
    *, account: Account, plan: Plan, period: datetime, add_ons: Sequence[AddOn] = (), by: Actor
) -> Subscription:
    """The account's first plan, from the start of the period `period` (an instant) on, with add-ons (spec 5.3).

    Raises Conflict when it has one, CurrencyDiffers, IntervalDiffers, NotABoundary, PeriodBilled.
    """
    lock_account(account.pk)
    stored = open_period(account_id=account.pk, at=period)
    if stored.starts_at != period:
        raise NotABoundary("period")
    if Subscription.objects.filter(account=account).exists():
        raise Conflict("The account has a subscription already; change its plan instead.", code="already_subscribed")
    check_currency(account, plan.currency, field="plan")
    if plan.interval != clock_at(account, period).interval:
        raise IntervalDiffers(plan.interval)
    subscription = Subscription.objects.create(account=account, plan=plan, starts_on=stored.first_day, period=period)
    for add_on in add_ons:
        check_currency(account, add_on.currency, field="add_on")
        AddOnSubscription.objects.create(account=account, add_on=add_on, from_period=period)
    record(
        by=by,
        action="subscription.started",
        subject=plan.key,
        account=account,
        after={"plan": str(plan), "from": period, "add_ons": [add_on.key for add_on in add_ons]},
    )
    recompute_terms(account=account, from_period=period, by=by)
    return subscription


@transaction.atomic
def change_plan(*, account: Account, plan: Plan, clock: Clock, by: Actor) -> Subscription:
    """Change to `plan`: an upgrade at once, everything else at the start of the next period (spec 5.5).

    The last edit wins: a scheduled change is replaced, and choosing the plan in force again takes it back, a
    cancellation too. A plan of another interval brings its clock along, from the end of the running period. Returns
    the row that holds the plan. Raises NoSubscription, CurrencyDiffers, AccountEnded, PeriodBilled.
    """
    lock_account(account.pk)
    now = clock()
    period = open_period(account_id=account.pk, at=now)
    holdings = holdings_of(account, plans=[plan])
    current = _subscription_in(holdings, period)
    check_currency(account, plan.currency, field="plan")
    before = _as_audited(holdings, period)
    _clear_schedule(account, period, by=by)
    if current.plan_id == plan.pk:
        changed, from_period = current, next_period_of(period)[0]
    elif kind_of_change(holdings, plan=plan, period=period.starts_at) == UPGRADE:
        changed, from_period = _write(account, plan, period.starts_at, local_day(now, period.zone)), period.starts_at
    else:
        changed = _schedule(account, plan, period, now=now, by=by)
        from_period = changed.period
    record(
        by=by,
        action="subscription.changed",
        subject=plan.key,
        account=account,
        before=before,
        after={"plan": str(plan), "from": changed.starts_on},
    )
    recompute_terms(account=account, from_period=from_period, by=by)
    return changed


@transaction.atomic
def move_to_version(*, account: Account, plan: Plan, clock: Clock, by: Actor) -> Subscription:
    """Move the account to another version of its plan from the next period on, whatever it costs (spec 5.3).

    Raises NoSubscription, CurrencyDiffers, Conflict when `plan` is no version of the plan in force.
    """
    lock_account(account.pk)
    now = clock()
    period = open_period(account_id=account.pk, at=now)
    holdings = holdings_of(account)
    current = _subscription_in(holdings, period).plan
    if current is None or current.key != plan.key:
        raise Conflict("This is not a version of the account's plan.", code="other_plan")
    check_currency(account, plan.currency, field="plan")
    before = _as_audited(holdings, period)
    _clear_schedule(account, period, by=by)
    moved = _schedule(account, plan, period, now=now, by=by)
    record(
        by=by,
        action="subscription.moved",
        subject=plan.key,
        account=account,
        before=before,
        after={"plan": str(plan), "version": plan.version, "from": moved.starts_on},
    )
    recompute_terms(account=account, from_period=moved.period, by=by)
    return moved


@transaction.atomic
def cancel(*, account: Account, clock: Clock, by: Actor) -> datetime:
    """Cancel at the end of the running period, and return that instant: terms and account end there (spec 5.5, 2.3).

    Add-ons and contracts end with it. Until then choosing a plan takes the cancellation back (`change_plan`). Raises
    NoSubscription, AccountEnded.
    """
    lock_account(account.pk)
    now = clock()
    period = open_period(account_id=account.pk, at=now)
    holdings = holdings_of(account)
    _subscription_in(holdings, period)
    before = _as_audited(holdings, period)
    _clear_schedule(account, period, by=by)
    ends_at = period.ends_at
    _write(account, None, ends_at, local_day(ends_at, period.zone))
    _set_end(account, ends_at)
    record(
        by=by,
        action="subscription.cancelled",
        subject=account.key,
        account=account,
        before=before,
        after={"plan": None, "from": ends_at},
    )
    recompute_terms(account=account, from_period=ends_at, by=by)
    return ends_at


def clock_at(account: Account, at: datetime) -> AccountClock:
    """The clock that holds at the instant `at`. Raises BeforeFirstPeriod."""
    clock = account.clocks.filter(starts_at__lte=at).order_by("-starts_at").first()
    if clock is None:
        raise BeforeFirstPeriod
    return clock


def _subscription_in(holdings: Holdings, period: Period) -> Subscription:
    held = holdings.subscription_in(period.starts_at)
    if held is None or held.plan_id is None:
        raise NoSubscription
    return held


def _clear_schedule(account: Account, period: Period, *, by: Actor) -> None:
    """Take back what was scheduled for later periods: plan, cancellation, and the interval that came with a plan."""
    Subscription.objects.filter(account=account, period__gt=period.starts_at).delete()
    account.refresh_from_db(fields=["ended_at"])
    if account.ended_at == period.ends_at:
        _set_end(account, None)
    running, following = clock_at(account, period.starts_at), clock_at(account, next_period_of(period)[0])
    if following.interval != running.interval:
        change_clock(account=account, zone=following.zone, interval=running.interval, now=period.starts_at, by=by)


def _schedule(account: Account, plan: Plan, period: Period, *, now: datetime, by: Actor) -> Subscription:
    starts_at = next_period_of(period)[0]
    following = clock_at(account, starts_at)
    if plan.interval != following.interval:
        # It can begin later than the next boundary, when usage already stands in the next period.
        following = change_clock(account=account, zone=following.zone, interval=plan.interval, now=now, by=by)
        starts_at = following.starts_at
    return _write(account, plan, starts_at, local_day(starts_at, following.zone))


def _write(account: Account, plan: Plan | None, period: datetime, starts_on: date) -> Subscription:
    """On one day the last change wins (spec 5.5)."""
    row, _ = Subscription.objects.update_or_create(
        account=account, period=period, starts_on=starts_on, defaults={"plan": plan}
    )
    return row


def _set_end(account: Account, ended_at: datetime | None) -> None:
    Account.objects.filter(pk=account.pk).update(ended_at=ended_at)
    account.ended_at = ended_at
    account_changed.send(sender=Account, account_id=account.pk)


def _as_audited(holdings: Holdings, period: Period) -> dict[str, object]:
    current = holdings.plan_in(period.starts_at)
    later = [row for row in holdings.subscriptions if row.period > period.starts_at]
    return {
        "plan": str(current) if current else None,
        "scheduled": [{"plan": str(row.plan) if row.plan else None, "from": row.starts_on} for row in later],
    }
