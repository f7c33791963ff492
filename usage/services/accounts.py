"""Accounts, their workspaces, clocks and teammates' permissions (spec 1.1, 1.2, 1.6, 2.10)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, models, transaction

from usage import periods as arithmetic
from usage.errors import Conflict, InvalidInput
from usage.models import Account, AccountClock, Period, Teammate, UsageEvent, User, Workspace
from usage.models.accounts import validate_key
from usage.permissions import PERMISSIONS
from usage.services.audit import Actor, record
from usage.services.locks import lock_account
from usage.services.periods import extend_periods, first_period
from usage.signals import account_changed
from usage.validators import check_text, validate_currency

FLAGS = tuple(PERMISSIONS)
# A slip of the pen in a year would open, and bill, thousands of periods.
EARLIEST = date(1970, 1, 1)


@transaction.atomic
def create_account(
    *,
    key: str,
    name: str,
    zone: str,
    started_on: date,
    workspaces: Sequence[tuple[str, str]],
    now: datetime,
    by: Actor,
    currency: str = "USD",
    interval: str = "month",
    is_sandbox: bool = False,
) -> Account:
    """Create an account with its clock, its first period and its workspaces (spec 1.1, 1.6, 2.10).

    The first period begins with the first instant of `started_on` in `zone` (IANA), and the others at midnight of its
    day of the month; `interval` is month, quarter, half_year or year; `workspaces` are (key, name) pairs, at least one.
    A sandbox account's test clock starts at `now`.
    Raises InvalidInput naming the field, Conflict when a key is taken.
    """
    if not workspaces:
        raise InvalidInput("An account needs at least one workspace.", field="workspaces")
    _check(validate_currency, currency, "currency")
    if interval not in AccountClock.Interval.values:
        raise InvalidInput(f"The interval is one of {', '.join(AccountClock.Interval.values)}.", field="interval")
    _check(validate_key, key, "key")
    check_text(Account._meta.get_field("name"), name, named="name")
    if started_on < EARLIEST:
        raise InvalidInput(f"The first billing period begins in {EARLIEST.year} or later.", field="started_on")
    try:
        starts_at, anchor = arithmetic.day_starts_at(started_on, zone), arithmetic.anchor_on(started_on, zone)
    except ValueError as error:
        raise InvalidInput(str(error), field="zone" if "zone" in str(error) else "started_on") from error
    account = Account(
        key=key, name=name, currency=currency, is_sandbox=is_sandbox, sandbox_now=now if is_sandbox else None
    )
    _insert(account, f"There is an account or workspace with the key “{key}”.")
    clock = AccountClock.objects.create(
        account=account, starts_at=starts_at, starts_on=started_on, anchor=anchor, zone=zone, interval=interval
    )
    first_period(clock).save(force_insert=True)
    for workspace_key, workspace_name in workspaces:
        _create_workspace(account=account, key=workspace_key, name=workspace_name)
    record(
        by=by,
        action="account.created",
        subject=key,
        account=account,
        after={
            "name": name,
            "currency": currency,
            "zone": zone,
            "interval": interval,
            "started_on": started_on,
            "workspaces": [workspace_key for workspace_key, _ in workspaces],
            "is_sandbox": is_sandbox,
        },
    )
    account_changed.send(sender=None, account_id=account.pk)
    return account


@transaction.atomic
def add_workspace(*, account: Account, key: str, name: str, by: Actor) -> Workspace:
    """Add a workspace. Raises InvalidInput naming the field, Conflict when the key is taken (spec 1.6)."""
    workspace = _create_workspace(account=account, key=key, name=name)
    record(by=by, action="workspace.created", subject=key, account=account, workspace=workspace, after={"name": name})
    account_changed.send(sender=None, account_id=account.pk)
    return workspace


@transaction.atomic
def change_clock(
    *, account: Account, now: datetime, by: Actor, zone: str | None = None, interval: str | None = None
) -> AccountClock:
    """Give the account another time zone, interval or both from the end of the running period (spec 2.10).

    A change that was decided before and has not begun yet is replaced. Where usage stands in a period after the running
    one already (events may be five minutes ahead), the new clock begins after that. Raises InvalidInput.
    """
    lock_account(account.pk)
    running = extend_periods(account_id=account.pk, to=now)
    future = Period.objects.filter(account=account, starts_at__gte=running.ends_at)
    used = (
        UsageEvent.objects.filter(account_id=account.pk, period__gte=running.ends_at)
        .aggregate(last=models.Max("period"))
        .get("last")
    )
    if used is not None:
        running = Period.objects.get(account=account, starts_at=used)
        future = future.filter(starts_at__gt=used)
    future.delete()
    AccountClock.objects.filter(account=account, starts_at__gte=running.ends_at).delete()
    old = AccountClock.objects.filter(account=account, starts_at__lt=running.ends_at).latest("starts_at")
    new_interval = interval or old.interval
    if new_interval not in AccountClock.Interval.values:
        raise InvalidInput(f"The interval is one of {', '.join(AccountClock.Interval.values)}.", field="interval")
    try:
        change = arithmetic.change_of_clock(
            anchor=old.anchor,
            zone=old.zone,
            interval=old.interval,
            at=running.starts_at,
            new_zone=zone or old.zone,
            starts_at=old.starts_at,
            starts_on=old.starts_on,
        )
    except ValueError as error:
        raise InvalidInput(str(error), field="zone") from error
    clock = AccountClock.objects.create(
        account=account,
        starts_at=change.starts_at,
        starts_on=change.starts_on,
        anchor=change.anchor,
        zone=zone or old.zone,
        interval=new_interval,
    )
    record(
        by=by,
        action="account.clock_changed",
        subject=account.key,
        account=account,
        before={"zone": old.zone, "interval": old.interval},
        after={"zone": clock.zone, "interval": clock.interval, "from": clock.starts_at},
    )
    account_changed.send(sender=None, account_id=account.pk)
    return clock


@transaction.atomic
def end_account(*, account: Account, at: datetime, by: Actor) -> Account:
    """Refuse usage that happens at or after `at` (spec 2.5). Usage before it is still accepted, whenever it arrives."""
    lock_account(account.pk)
    account.refresh_from_db()
    before = account.ended_at
    account.ended_at = at
    account.save(update_fields=["ended_at"])
    record(
        by=by,
        action="account.ended",
        subject=account.key,
        account=account,
        before={"ended_at": before},
        after={"ended_at": at},
    )
    account_changed.send(sender=None, account_id=account.pk)
    return account


@transaction.atomic
def set_teammate_flags(
    *,
    workspace: Workspace,
    user: User,
    by: Actor,
    can_manage_alerts: bool | None = None,
    can_manage_limits: bool | None = None,
    can_manage_billing: bool | None = None,
) -> Teammate:
    """Make `user` a teammate of the workspace, or change their permissions; None leaves a flag as it is (spec 1.2)."""
    given = dict(zip(FLAGS, (can_manage_alerts, can_manage_limits, can_manage_billing), strict=True))
    wanted = {flag: value for flag, value in given.items() if value is not None}
    teammate, is_new = Teammate.objects.select_for_update().get_or_create(
        workspace=workspace, user=user, defaults=wanted
    )
    before: dict[str, Any] | None = None
    if not is_new:
        before = {flag: getattr(teammate, flag) for flag in FLAGS}
        for flag, value in wanted.items():
            setattr(teammate, flag, value)
        teammate.save(update_fields=[*wanted] or None)
    after = {flag: getattr(teammate, flag) for flag in FLAGS}
    if before != after:
        record(
            by=by,
            action="teammate.added" if is_new else "teammate.permissions_changed",
            subject=user.email,
            account=workspace.account_id,
            workspace=workspace,
            before=before,
            after=after,
        )
        account_changed.send(sender=None, account_id=workspace.account_id)
    return teammate


@transaction.atomic
def remove_teammate(*, teammate: Teammate, by: Actor) -> None:
    """Take somebody out of a workspace; removing twice is once. A billing contact that was this teammate stays one."""
    deleted, _ = Teammate.objects.filter(pk=teammate.pk).delete()
    if deleted:
        workspace = teammate.workspace
        record(
            by=by,
            action="teammate.removed",
            subject=teammate.user.email,
            account=workspace.account_id,
            workspace=workspace,
            before={flag: getattr(teammate, flag) for flag in FLAGS},
        )
        account_changed.send(sender=None, account_id=workspace.account_id)


def _create_workspace(*, account: Account, key: str, name: str) -> Workspace:
    _check(validate_key, key, "workspaces")
    check_text(Workspace._meta.get_field("name"), name, named="workspaces")
    workspace = Workspace(account=account, key=key, name=name)
    _insert(workspace, f"There is a workspace with the key “{key}”.")
    return workspace


def _insert(row: Account | Workspace, taken: str) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(taken, code="key_taken", field="key") from error


def _check(rule: Any, value: str, field: str) -> None:
    try:
        rule(value)
    except ValidationError as error:
        raise InvalidInput(f"{value!r}: {' '.join(error.messages)}", field=field) from error
