"""The test clock of sandbox accounts (spec 7.4): it stands still until advanced, and then jumps from due moment to due
moment with the same services that run for everybody else. E-mails and webhooks are kept, not sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import transaction

from alerts.services.evaluate import evaluate
from billing.models import BillingProfile, Invoice
from billing.services.closing import close_account
from usage.clocks import clock_of
from usage.errors import AccountEnded, BeforeFirstPeriod, Conflict, InvalidInput
from usage.models import Account, Period
from usage.services.audit import Actor, record
from usage.services.locks import lock_account
from usage.services.periods import open_period

SLOT: Final = timedelta(minutes=30)  # the refresh and the limit recalculation fall on these (spec 2.8)


@dataclass(slots=True)
class Advanced:
    """What happened on the way, in order."""

    moments: list[datetime] = field(default_factory=list)
    invoices: list[Invoice] = field(default_factory=list)
    messages: int = 0


def advance_clock(*, account: Account, to: datetime, by: Actor) -> Advanced:
    """Advance a sandbox account's clock to `to` (aware): period ends, evaluations and invoices happen at their moments.

    Raises Conflict for an account without a test clock, InvalidInput for a moment that has passed for it.
    """
    if not account.is_sandbox:
        raise Conflict("Only sandbox accounts have a test clock.", code="no_test_clock")
    clock = clock_of(account)
    started_at = clock()
    if to < started_at:
        raise InvalidInput(f"The clock stands at {started_at.isoformat()} and never goes back.", field="to")
    done = Advanced()
    # An advance that was cut off had moved the clock already: what was due at this moment is invoiced at it.
    done.invoices += close_account(account_id=account.pk, clock=clock, by=by)
    now = started_at
    while now < to:
        now = _next_moment(account, now, to=to, is_first=now == started_at)
        _set_clock(account, now)
        done.moments.append(now)
        done.messages += evaluate(account_ids=[account.pk], now=now, include_sandbox=True).messages
        done.invoices += close_account(account_id=account.pk, clock=clock, by=by)
    record(
        by=by,
        action="clock.advanced",
        subject=account.key,
        account=account,
        before={"at": started_at},
        after={"at": to},
    )
    return done


def _next_moment(account: Account, now: datetime, *, to: datetime, is_first: bool) -> datetime:
    """The next moment at which something may be due, at most `to`.

    Usage arrives only while the clock stands, and what it reached is told at the first slot after. From then on nothing
    changes by itself until a period ends: the next one's first slot, and the invoice a grace later.
    """
    moments = [to]
    if is_first:
        moments.append(_slot_from(now + timedelta(microseconds=1)))
    hours = BillingProfile.objects.filter(account=account).values_list("grace_hours", flat=True).first()
    grace = timedelta(hours=1 if hours is None else hours)
    period = _period_at(account, now)
    for turn in (period.starts_at, period.ends_at):
        moments += [_slot_from(turn), turn + grace]
    return min(moment for moment in moments if moment > now)


def _slot_from(at: datetime) -> datetime:
    """The first slot at or after an instant."""
    passed = (at - datetime(1970, 1, 1, tzinfo=UTC)) % SLOT
    return at if not passed else at + SLOT - passed


def _period_at(account: Account, now: datetime) -> Period:
    """The running period, opened on demand; of an ended account its last one, and before the first one that."""
    try:
        return open_period(account_id=account.pk, at=now)
    except BeforeFirstPeriod:
        return Period.objects.filter(account=account).earliest("starts_at")
    except AccountEnded:
        return Period.objects.filter(account=account, starts_at__lte=now).latest("starts_at")


@transaction.atomic
def _set_clock(account: Account, now: datetime) -> None:
    lock_account(account.pk)
    # Another advance may have gone further meanwhile; the clock never goes back.
    Account.objects.filter(pk=account.pk, sandbox_now__lt=now).update(sandbox_now=now)
