"""Add-ons and contracts of an account, in whole billing periods (spec 5.3)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from billing.errors import AlreadyHeld, NoSubscription
from billing.models import AddOn, AddOnSubscription, Contract
from billing.selectors.holdings import holdings_of
from billing.services.terms import check_boundary, check_currency, check_unbilled, recompute_terms
from usage.clocks import Clock
from usage.errors import InvalidInput
from usage.models import Account, Metric
from usage.services.audit import Actor, record
from usage.services.locks import lock_account
from usage.services.periods import next_period_of, open_period


@transaction.atomic
def add_add_on(*, account: Account, add_on: AddOn, clock: Clock, by: Actor) -> AddOnSubscription:
    """The add-on from the running period on, at full price and amount (spec 5.3). One that was to end stays instead.

    Raises NoSubscription, AlreadyHeld, CurrencyDiffers, AccountEnded, PeriodBilled.
    """
    lock_account(account.pk)
    period = open_period(account_id=account.pk, at=clock()).starts_at
    check_currency(account, add_on.currency, field="add_on")
    if holdings_of(account).plan_in(period) is None:
        raise NoSubscription
    running = _holding(period)
    held = AddOnSubscription.objects.filter(running, account=account, add_on=add_on).first()
    if held is not None and held.until_period is None:
        raise AlreadyHeld(add_on.name)
    # One that was to begin later begins now instead.
    AddOnSubscription.objects.filter(account=account, add_on=add_on, from_period__gt=period).delete()
    before = {"until": held.until_period} if held else None
    if held is None:
        held = AddOnSubscription(account=account, add_on=add_on, from_period=period)
    held.until_period = None
    held.save()
    record(
        by=by,
        action="add_on.added",
        subject=add_on.key,
        account=account,
        before=before,
        after={"from": held.from_period},
    )
    recompute_terms(account=account, from_period=period, by=by)
    return held


@transaction.atomic
def end_add_on(*, account: Account, add_on: AddOn, clock: Clock, by: Actor) -> AddOnSubscription:
    """End the add-on with the running period (spec 5.3). Raises NoSubscription when the account does not have it."""
    lock_account(account.pk)
    period = open_period(account_id=account.pk, at=clock())
    held = AddOnSubscription.objects.filter(_holding(period.starts_at), account=account, add_on=add_on).first()
    if held is None:
        raise NoSubscription(f"The account does not have {add_on.name}.")
    following = next_period_of(period)[0]
    before = {"until": held.until_period}
    held.until_period = following
    held.save(update_fields=["until_period"])
    record(by=by, action="add_on.ended", subject=add_on.key, account=account, before=before, after={"until": following})
    recompute_terms(account=account, from_period=following, by=by)
    return held


@transaction.atomic
def set_contract(
    *,
    account: Account,
    metric: Metric,
    quantity: Decimal,
    unit_price: Decimal,
    overage_price: Decimal | None,
    from_period: datetime,
    until_period: datetime | None = None,
    by: Actor,
) -> Contract:
    """A contracted amount of the metric (display units a period) at its own price, from one boundary on, up to another
    (spec 5.3).

    `overage_price` is for a unit above, None = the plan's rate. The last edit wins: a contract of the metric that holds
    at `from_period` ends there, and later ones are taken back. Raises InvalidInput naming the field, NotABoundary,
    PeriodBilled.
    """
    for field, value in (("quantity", quantity), ("unit_price", unit_price), ("overage_price", overage_price)):
        if value is not None and (not value.is_finite() or value < 0):
            raise InvalidInput("This must be 0 or more.", field=field)
    if until_period is not None and until_period <= from_period:
        raise InvalidInput("A contract ends after it starts.", field="until_period")
    lock_account(account.pk)
    check_boundary(account=account, at=from_period, field="from_period")
    if until_period is not None:
        check_boundary(account=account, at=until_period, field="until_period")
    check_unbilled(account=account, period=from_period)
    before = _cut_contracts(account, metric, from_period)
    contract = Contract.objects.create(
        account=account,
        metric=metric,
        quantity=quantity,
        unit_price=unit_price,
        overage_price=overage_price,
        from_period=from_period,
        until_period=until_period,
    )
    record(
        by=by,
        action="contract.set",
        subject=metric.key,
        account=account,
        before=before,
        after=_as_audited(contract),
    )
    recompute_terms(account=account, from_period=from_period, by=by)
    return contract


@transaction.atomic
def end_contract(*, account: Account, metric: Metric, until_period: datetime, by: Actor) -> None:
    """The metric's contract ends at the boundary `until_period`; later ones are taken back (spec 5.3).

    Raises NoSubscription when no contract holds then or later, NotABoundary, PeriodBilled.
    """
    lock_account(account.pk)
    check_boundary(account=account, at=until_period, field="until_period")
    check_unbilled(account=account, period=until_period)
    before = _cut_contracts(account, metric, until_period)
    if before is None:
        raise NoSubscription(f"There is no contract for {metric.name} then.")
    record(
        by=by,
        action="contract.ended",
        subject=metric.key,
        account=account,
        before=before,
        after={"until_period": until_period},
    )
    recompute_terms(account=account, from_period=until_period, by=by)


def _holding(period: datetime) -> Q:
    return Q(from_period__lte=period) & (Q(until_period=None) | Q(until_period__gt=period))


def _cut_contracts(account: Account, metric: Metric, at: datetime) -> list[dict[str, object]] | None:
    """End every contract of the metric at `at`; those that would begin then or later go. What stood there, or None."""
    reaching = Contract.objects.filter(
        Q(until_period=None) | Q(until_period__gt=at), account=account, metric=metric
    ).order_by("from_period")
    before = [_as_audited(contract) for contract in reaching]
    reaching.filter(from_period__gte=at).delete()
    reaching.filter(from_period__lt=at).update(until_period=at)
    return before or None


def _as_audited(contract: Contract) -> dict[str, object]:
    columns = ("quantity", "unit_price", "overage_price", "from_period", "until_period")
    return {column: getattr(contract, column) for column in columns}
