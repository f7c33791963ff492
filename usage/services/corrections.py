"""Taking usage back, or putting it right (spec 2.6). Nothing is ever changed or deleted: a correcting row is added
beside the original, in its period, day and workspace, and totals, days and the fact of a reached limit follow in the
same transaction.

The nth correction of an event has a key made of the event's key and n: of two that race, the second collides with the
first and looks again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Final
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Greatest

from usage.clocks import Clock
from usage.errors import Conflict, InvalidInput, NotFound
from usage.events import event_key
from usage.faultpoints import reach
from usage.models import Account, Metric, Period, UsageDay, UsageEvent, UsageTotal, Workspace
from usage.rounding import Increment, shown_quantity, stored_quantity
from usage.services.audit import Actor, record
from usage.services.locks import lock_shared, received_at
from usage.services.seats import recompute_days
from usage.signals import usage_corrected

_TRIES: Final = 20  # each lost race means that another correction of the same event was stored
_AT_A_TIME: Final = 8


@dataclass(frozen=True, slots=True)
class Correction:
    """What a correction came to. Quantities in display units; `workspace` and `metric` are keys."""

    source: str
    id: str
    workspace: str
    metric: str
    period: datetime  # its start
    quantity_before: Decimal
    quantity: Decimal


def void_event(*, account: Account, source: str, event_id: str, reason: str, clock: Clock, by: Actor) -> Correction:
    """Take an event back as a whole, also after amendments and also when its period is billed (spec 2.6).

    Voiding again changes nothing; the identity stays used. The clock is read after the account's lock. Raises NotFound,
    also for another account's event.
    """
    return _correct(account=account, source=source, event_id=event_id, quantity=None, reason=reason, clock=clock, by=by)


def amend_event(
    *, account: Account, source: str, event_id: str, quantity: Decimal, reason: str, clock: Clock, by: Actor
) -> Correction:
    """Make an event count `quantity` (display units, > 0, half-up to the metric's step) instead (spec 2.6).

    The same amendment again changes nothing. Raises NotFound, Conflict when the event was voided, InvalidInput.
    """
    return _correct(
        account=account, source=source, event_id=event_id, quantity=quantity, reason=reason, clock=clock, by=by
    )


def correction_key(key: UUID, number: int) -> UUID:
    """The key of the `number`th correction (from 1) of the event with `key`."""
    digest = blake2b(key.bytes + number.to_bytes(4), digest_size=16, person=b"correction")
    return UUID(bytes=digest.digest())


def corrections_of(*, account_id: int, key: UUID) -> list[UsageEvent]:
    """The correcting rows of an event, in order. They are found by their keys: nothing points at an event."""
    found: list[UsageEvent] = []
    while True:
        numbers = range(len(found) + 1, len(found) + 1 + _AT_A_TIME)
        keys = [correction_key(key, number) for number in numbers]
        rows = {row.key: row for row in UsageEvent.objects.filter(account_id=account_id, key__in=keys)}
        found += [rows[k] for k in keys if k in rows]
        if len(rows) < _AT_A_TIME:
            return found


def step_of(metric: Metric) -> Decimal:
    """The grain of a metric's typed-in quantities, in stored units (spec 2.2): a call's increment, else 0.000001."""
    if metric.kind == Metric.Kind.DURATION:
        return Increment(metric.increment_first, metric.increment_next, metric.minimum_seconds).step
    return Decimal("0.000001")


def _correct(
    *,
    account: Account,
    source: str,
    event_id: str,
    quantity: Decimal | None,
    reason: str,
    clock: Clock,
    by: Actor,
) -> Correction:
    for _ in range(_TRIES):
        try:
            reach("correction.before_lock")
            with transaction.atomic():
                answer = _correct_once(account, source, event_id, quantity, reason, clock, by)
                reach("correction.before_commit")
        except IntegrityError:
            continue  # another correction took this number: look at what it left
        reach("correction.after_commit")
        return answer
    raise Conflict("The event is being corrected by others; try again.", code="try_again")


def _correct_once(
    account: Account, source: str, event_id: str, quantity: Decimal | None, reason: str, clock: Clock, by: Actor
) -> Correction:
    lock_shared(account.pk)
    received = received_at(account.pk, clock)
    key = event_key(source, event_id)
    original = UsageEvent.objects.filter(account_id=account.pk, key=key, corrects=None).first()
    if original is None:
        raise NotFound("There is no such event.")
    earlier = corrections_of(account_id=account.pk, key=key)
    is_voided = any(row.is_void for row in earlier)
    before = original.quantity + sum((row.quantity for row in earlier), Decimal(0))
    metric = Metric.objects.get(pk=original.metric_id)
    after = Decimal(0)
    if quantity is not None:
        if is_voided:
            raise Conflict("The event was voided; send a new one instead.", code="voided")
        after = stored_quantity(quantity, unit_size=metric.unit_size, step=step_of(metric))
        if after <= 0:
            raise InvalidInput("The quantity is smaller than the metric can count.", field="quantity")
    answer = Correction(
        source=source,
        id=event_id,
        workspace=Workspace.objects.values_list("key", flat=True).get(pk=original.workspace_id),
        metric=metric.key,
        period=original.period,
        quantity_before=shown_quantity(before, unit_size=metric.unit_size),
        quantity=shown_quantity(after, unit_size=metric.unit_size),
    )
    if is_voided or (quantity is not None and before == after):
        return answer
    row = UsageEvent(
        account_id=account.pk,
        key=correction_key(key, len(earlier) + 1),
        content=key,
        workspace_id=original.workspace_id,
        metric_id=original.metric_id,
        period=original.period,
        day=original.day,
        quantity=after - before,
        occurred_at=original.occurred_at,
        received_at=received,
        source=source,
        event_id=event_id,
        corrects=key,
        is_void=quantity is None,
    )
    row.save(force_insert=True)
    reach("correction.after_insert")
    if metric.kind == Metric.Kind.LEVEL:
        recompute_days(
            account_id=account.pk, workspace_id=row.workspace_id, metric_id=row.metric_id, since=row.occurred_at
        )
    else:
        _add_to_counters(row)
    record(
        by=by,
        action="usage.voided" if quantity is None else "usage.amended",
        subject=metric.key,
        account=account,
        workspace=row.workspace_id,
        before={"source": source, "id": event_id, "quantity": answer.quantity_before},
        after={"source": source, "id": event_id, "quantity": answer.quantity},
        reason=reason,
    )
    usage_corrected.send(sender=None, account_id=account.pk)
    return answer


def _add_to_counters(row: UsageEvent) -> None:
    """Total first, then day, as everywhere. Both rows stand since the original was counted."""
    ends_at = Period.objects.values_list("ends_at", flat=True).get(account_id=row.account_id, starts_at=row.period)
    line = {
        "account_id": row.account_id,
        "workspace_id": row.workspace_id,
        "metric_id": row.metric_id,
        "period": row.period,
    }
    UsageTotal.objects.filter(**line).update(
        quantity=F("quantity") + row.quantity,
        quantity_in_time=F("quantity_in_time") + (row.quantity if row.received_at < ends_at else Decimal(0)),
        seq=F("seq") + 1,
        last_received_at=Greatest(F("last_received_at"), row.received_at),
    )
    UsageDay.objects.filter(**line, day=row.day).update(quantity=F("quantity") + row.quantity)
