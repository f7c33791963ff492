"""Billing periods on demand (spec 2.10, Data 4): whoever needs one opens it; no job has to run at a period's turn.

Rows are contiguous from the account's first period to the last one opened: opening a later one fills those between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from django.db import transaction

from usage import periods as arithmetic
from usage.errors import AccountEnded, BeforeFirstPeriod, InvalidInput
from usage.models import Account, AccountClock, Period
from usage.services.locks import lock_shared
from usage.written import Written

_ENDED_AT: Final = Written(lambda account: Account.objects.filter(pk=account).values_list("ended_at", flat=True))
_LAST: Final = Written(
    lambda account, at: Period.objects.filter(account=account, starts_at__lte=at).order_by("-starts_at")[:1]
)
_CLOCKS: Final = Written(lambda account: AccountClock.objects.filter(account=account).order_by("starts_at"))


def open_period(*, account_id: int, at: datetime) -> Period:
    """The stored period that `at` belongs to, stored now if it was not yet.

    Raises BeforeFirstPeriod, AccountEnded (at or after the account's end), InvalidInput (far beyond the calendar).
    """
    (ended_at,) = _ENDED_AT(account=account_id)
    if ended_at is not None and at >= ended_at:
        raise AccountEnded
    period = find_period(account_id=account_id, at=at)
    return period if period is not None else extend_periods(account_id=account_id, to=at)


def open_periods(*, account_id: int, instants: Iterable[datetime]) -> dict[datetime, Period]:
    """`open_period` for many instants with one query where all are stored; raises as it does."""
    wanted = sorted(set(instants))
    if not wanted:
        return {}
    (ended_at,) = _ENDED_AT(account=account_id)
    if ended_at is not None and wanted[-1] >= ended_at:
        raise AccountEnded
    stored = list(
        Period.objects.filter(account_id=account_id, ends_at__gt=wanted[0], starts_at__lte=wanted[-1]).order_by(
            "starts_at"
        )
    )
    found: dict[datetime, Period] = {}
    position = 0
    for at in wanted:
        while position < len(stored) and stored[position].ends_at <= at:
            position += 1
        if position < len(stored) and stored[position].starts_at <= at:
            found[at] = stored[position]
        else:
            found[at] = extend_periods(account_id=account_id, to=at)
    return found


def find_period(*, account_id: int, at: datetime) -> Period | None:
    """The stored period that `at` belongs to, or None when none is stored."""
    last = _LAST(account=account_id, at=at)
    return last[0] if last and at < last[0].ends_at else None


def next_period_of(period: Period) -> tuple[datetime, datetime]:
    """(starts_at, ends_at) of the period after `period`, by the clock that holds then, without storing it."""
    following = _period_after(_clocks(period.account_id), period.ends_at)
    return following.starts_at, following.ends_at


@transaction.atomic
def extend_periods(*, account_id: int, to: datetime) -> Period:
    """Store every period from the last stored one up to the one of `to`, and return that one.

    Holds the account's lock shared, so that no clock changes meanwhile. Raises BeforeFirstPeriod, InvalidInput.
    """
    lock_shared(account_id)
    last = Period.objects.filter(account_id=account_id).order_by("-starts_at").first()
    clocks = _clocks(account_id)
    if not clocks or to < clocks[0].starts_at:
        raise BeforeFirstPeriod
    missing: list[Period] = []
    begins = last.ends_at if last is not None else clocks[0].starts_at
    while begins <= to:
        span = _period_after(clocks, begins)
        missing.append(_row(account_id, span, _clock_at(clocks, begins).zone))
        begins = span.ends_at
    # Two who extend at once compute the same rows; the second one's are already there.
    Period.objects.bulk_create(missing, ignore_conflicts=True)
    period = find_period(account_id=account_id, at=to)
    if period is None:
        raise RuntimeError(f"account {account_id} has no period at {to.isoformat()}: its stored periods have a gap")
    return period


def first_period(clock: AccountClock) -> Period:
    """The unsaved row of the first period of an account's first clock."""
    return _row(clock.account_id, _period_after([clock], clock.starts_at), clock.zone)


def _clocks(account_id: int) -> list[AccountClock]:
    return _CLOCKS(account=account_id)


def _clock_at(clocks: Sequence[AccountClock], at: datetime) -> AccountClock:
    return [clock for clock in clocks if clock.starts_at <= at][-1]


def _period_after(clocks: Sequence[AccountClock], begins: datetime) -> arithmetic.Period:
    clock = _clock_at(clocks, begins)
    try:
        return arithmetic.period_at(
            anchor=clock.anchor,
            zone=clock.zone,
            interval=clock.interval,
            at=begins,
            starts_at=clock.starts_at,
            starts_on=clock.starts_on,
        )
    except ValueError as error:
        raise InvalidInput(str(error), field="time") from error


def _row(account_id: int, span: arithmetic.Period, zone: str) -> Period:
    days = arithmetic.days_of(span, zone)
    return Period(
        account_id=account_id,
        starts_at=span.starts_at,
        ends_at=span.ends_at,
        zone=zone,
        first_day=days.first,
        last_day=days.last,
        days=days.number,
    )
