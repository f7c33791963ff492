"""Check and count in one step (spec 4.8): consume, and reservations that are settled or released later.

However many clients race, no grant passes the limit in force at that moment: the check and the count are one
conditional UPDATE of the row that counts, inside one database function (`usage.functions`).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from usage.clocks import Clock
from usage.errors import AccountEnded, Conflict, InvalidInput, NotFound
from usage.events import event_key
from usage.faultpoints import reach
from usage.rounding import shown_quantity
from usage.services.locks import lock_number
from usage.services.periods import open_period
from usage.signals import totals_passed_level
from usage.sql import Parameters, prepared

CONSUME_SOURCE: Final = "headroom:consume"
RESERVATION_SOURCE: Final = "headroom:reservation"

_TAKE: Final = "SELECT * FROM headroom_take(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_SETTLE: Final = "SELECT * FROM headroom_settle(%s, %s, %s, %s, %s, %s, %s, %s)"
# Losing a race for one id, opening the period and passing a level each cost one more call.
_CALLS: Final = 5


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to consume. Quantities in display units; `remaining` and `limit` are None without a limit.

    `reason`: granted, no_limit, limit_reached, duplicate. `resets_at` is the end of the billing period.
    """

    allowed: bool
    remaining: Decimal | None
    limit: Decimal | None
    resets_at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class ReservationGrant(Grant):
    """The answer to a reservation: `id` as sent; `expires_at` is None when nothing was reserved."""

    id: str
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """The answer to settle and release, in display units; `remaining` as of now, None without a limit."""

    id: str
    quantity: Decimal
    remaining: Decimal | None


class Answer(NamedTuple):
    """What the database functions return; quantities in stored units."""

    outcome: str
    unit_size: int | None
    ends_at: datetime | None
    quantity: Decimal | None
    reserved: Decimal | None
    hard_limit: Decimal | None
    expires_at: datetime | None
    is_passed: bool | None

    def shown(self, stored: Decimal) -> Decimal:
        return shown_quantity(stored, unit_size=self.unit_size or 1)

    @property
    def limit(self) -> Decimal | None:
        return None if self.hard_limit is None else self.shown(self.hard_limit)

    @property
    def remaining(self) -> Decimal | None:
        if self.hard_limit is None:
            return None
        return self.shown(max(Decimal(0), self.hard_limit - (self.quantity or 0) - (self.reserved or 0)))


def consume(
    *, account_id: int, workspace_id: int, metric_key: str, quantity: Decimal, consume_id: str, clock: Clock
) -> Grant:
    """Count `quantity` (display units, > 0) if the limit in force allows it (spec 4.8).

    The clock is read once. The same id with the same content is counted once and answered `duplicate`. Raises
    InvalidInput (metric, level metric, a quantity that rounds to nothing), Conflict (id used for something else),
    AccountEnded, BeforeFirstPeriod.
    """
    answer = _take(
        account_id=account_id,
        workspace_id=workspace_id,
        metric_key=metric_key,
        quantity=quantity,
        source=CONSUME_SOURCE,
        sent_id=consume_id,
        keep_for=None,
        clock=clock,
    )
    return grant_of(answer)


def reserve(
    *,
    account_id: int,
    workspace_id: int,
    metric_key: str,
    quantity: Decimal,
    reservation_id: str,
    expires_in: timedelta,
    clock: Clock,
) -> ReservationGrant:
    """Set `quantity` (display units, > 0) aside until it is settled, released or expired (spec 4.8).

    Reservations have identities of their own, (account, `headroom:reservation`, id). Errors as `consume`.
    """
    answer = _take(
        account_id=account_id,
        workspace_id=workspace_id,
        metric_key=metric_key,
        quantity=quantity,
        source=RESERVATION_SOURCE,
        sent_id=reservation_id,
        keep_for=expires_in,
        clock=clock,
    )
    return ReservationGrant(**_grant_fields(answer), id=reservation_id, expires_at=answer.expires_at)


def settle(*, account_id: int, workspace_id: int, reservation_id: str, quantity: Decimal, clock: Clock) -> Settlement:
    """Count what was really used of a reservation, in its own period, and give the rest back (spec 4.8).

    `quantity` in display units; 0 releases; more than was reserved, and settling after the expiry, is recorded whatever
    the limit says. The same act again gives the same answer. Raises NotFound, Conflict (it was
    settled otherwise or released), InvalidInput (a quantity that rounds to nothing).
    """
    key = event_key(RESERVATION_SOURCE, reservation_id)
    now = clock()

    def call(may_pass: bool) -> Answer:
        arguments = [account_id, workspace_id, quantity, RESERVATION_SOURCE, key, now]
        return Answer._make(*ask(_SETTLE, [*arguments, may_pass, lock_number(0)]))

    answer = _counted(call, account_id=account_id, now=now)
    match answer.outcome:
        case "unknown_reservation":
            raise NotFound("There is no such reservation.")
        case "too_small":
            raise _too_small()
        case "other_act":
            raise Conflict("The reservation was settled or released with another quantity.", code="already_settled")
    return Settlement(id=reservation_id, quantity=quantity, remaining=answer.remaining)


def release(*, account_id: int, workspace_id: int, reservation_id: str, clock: Clock) -> Settlement:
    """Give a reservation back unused: `settle` with 0."""
    return settle(
        account_id=account_id,
        workspace_id=workspace_id,
        reservation_id=reservation_id,
        quantity=Decimal(0),
        clock=clock,
    )


def _take(
    *,
    account_id: int,
    workspace_id: int,
    metric_key: str,
    quantity: Decimal,
    source: str,
    sent_id: str,
    keep_for: timedelta | None,
    clock: Clock,
) -> Answer:
    key = event_key(source, sent_id)
    now = clock()

    def call(may_pass: bool) -> Answer:
        arguments = [account_id, workspace_id, metric_key, quantity, source, sent_id, key, now]
        return Answer._make(*ask(_TAKE, [*arguments, keep_for, may_pass, lock_number(0)]))

    answer = _counted(call, account_id=account_id, now=now)
    match answer.outcome:
        case "unknown_metric":
            raise InvalidInput("There is no such metric.", field="metric", code="unknown_metric")
        case "level_metric":
            raise InvalidInput("A level such as seats cannot be consumed.", field="metric", code="level_metric")
        case "too_small":
            raise _too_small()
        case "account_ended":
            raise AccountEnded
        case "id_reused":
            raise Conflict("This id was used for another workspace, metric or quantity.", code="id_reused", field="id")
    return answer


def _counted(call: Callable[[bool], Answer], *, account_id: int, now: datetime) -> Answer:
    """The function's answer, once the period is open, a lost race for the id is over and the news is told.

    A single call commits by itself. Only a grant that passes a level needs a transaction around it, for the news.
    """
    tells = settings.LIVE_EVALUATION
    for _ in range(_CALLS):
        reach("consume.before_count")
        try:
            answer = call(not tells or connection.in_atomic_block)
            if answer.outcome == "passes_level":
                with transaction.atomic():
                    answer = call(True)
                    reach("consume.after_count")
                    _tell(answer, account_id)
                    reach("consume.before_commit")
            elif tells:
                _tell(answer, account_id)
        except IntegrityError:
            continue
        if answer.outcome == "no_period":
            open_period(account_id=account_id, at=now)
            continue
        reach("consume.after_commit")
        return answer
    raise RuntimeError("the count found neither a free nor a stored identity")


def _tell(answer: Answer, account_id: int) -> None:
    if answer.is_passed:
        totals_passed_level.send(sender=None, account_id=account_id)


def ask(query: str, arguments: Parameters) -> list[Any]:
    """The rows of one counting statement. Raises IntegrityError when a race for an id is lost: nothing was counted."""
    # Inside a caller's transaction a lost race must not spoil it; outside, the one statement is the transaction.
    around: AbstractContextManager[Any] = transaction.atomic() if connection.in_atomic_block else nullcontext()
    with around:
        return prepared(query, arguments)


def grant_of(answer: Answer) -> Grant:
    """What the caller of consume is told."""
    return Grant(**_grant_fields(answer))


def _grant_fields(answer: Answer) -> dict[str, Any]:
    is_refused = answer.outcome == "limit_reached"
    reason = "no_limit" if answer.outcome == "granted" and answer.hard_limit is None else answer.outcome
    return {
        "allowed": not is_refused,
        "remaining": answer.remaining,
        "limit": answer.limit,
        "resets_at": answer.ends_at,
        "reason": reason,
    }


def _too_small() -> InvalidInput:
    return InvalidInput("The quantity is smaller than the metric can count.", field="quantity")
