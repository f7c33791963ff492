"""Plans in versions (spec 5.3): what subscriptions hold never changes, a change makes a new version beside it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from billing.models import AddOnSubscription, PeriodTerms, Plan, Rate, Subscription
from billing.models.plans import AddOn
from usage.services.audit import Actor, record

# What a subscription was sold with. Name, position and whether it is offered may change without a new version.
SOLD = ("currency", "interval", "price", "includes_workflows")


def is_held(plan: Plan) -> bool:
    """Whether an account has or had this version."""
    return plan.pk is not None and (
        Subscription.objects.filter(plan=plan).exists() or PeriodTerms.objects.filter(plan=plan).exists()
    )


def is_add_on_held(add_on: AddOn) -> bool:
    """Whether an account has or had the add-on."""
    return add_on.pk is not None and AddOnSubscription.objects.filter(add_on=add_on).exists()


@transaction.atomic
def save_plan(*, plan: Plan, rates: Sequence[Rate], by: Actor) -> Plan:
    """Store a plan with exactly these rates.

    When an account holds the stored version and something it was sold with differs, a new version is written instead,
    takes the old one's place in the offer, and is returned; subscriptions stay on theirs until an admin moves them.
    `rates` are rows of the plan, new or changed; those that are not among them go.
    """
    with connection.cursor() as cursor:  # of two admins at once the second waits
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"plan {plan.key}"])
    # Nobody subscribes to it meanwhile: a new subscription needs the row too.
    stored = Plan.objects.select_for_update().filter(pk=plan.pk).first()
    before = _as_audited(stored, stored.rates.select_related("metric")) if stored else None
    after = _as_audited(plan, rates)
    if before == after and stored is not None:
        return stored
    is_new_version = stored is not None and is_held(stored) and _sold(before) != _sold(after)
    if is_new_version:
        assert stored is not None  # noqa: S101 - for the type checker
        last = Plan.objects.filter(key=stored.key).order_by("-version").values_list("version", flat=True)[0]
        plan.pk, plan.version = None, last + 1
        plan.save(force_insert=True)
        for rate in rates:
            rate.pk, rate.plan = None, plan
            rate.save(force_insert=True)
        Plan.objects.filter(key=plan.key).exclude(pk=plan.pk).update(is_offered=False)
    else:
        if stored is None:
            plan.version = 1 + (
                Plan.objects.filter(key=plan.key).order_by("-version").values_list("version", flat=True).first() or 0
            )
        plan.save()
        Rate.objects.filter(plan=plan).delete()  # first: two may have swapped their metrics
        for rate in rates:
            rate.plan = plan
            rate.save(force_insert=True)
    record(
        by=by,
        action="plan.version_created" if is_new_version else "plan.changed" if stored else "plan.created",
        subject=plan.key,
        before=before,
        after=after | {"version": plan.version},
    )
    return plan


@transaction.atomic
def save_add_on_rates(*, add_on: AddOn, rates: Sequence[Rate], by: Actor) -> None:
    """Store exactly these rates of an add-on that no account holds: `rates` are rows of it, new or changed; those that
    are not among them go (spec 5.3)."""
    # Of two admins at once the second waits, and nobody is sold it meanwhile.
    AddOn.objects.select_for_update().get(pk=add_on.pk)
    before = _rates_as_audited(add_on.rates.select_related("metric"))
    after = _rates_as_audited(rates)
    if before == after:
        return
    Rate.objects.filter(add_on=add_on).delete()  # first: two may have swapped their metrics
    for rate in rates:
        rate.add_on = add_on
        rate.save(force_insert=True)
    record(by=by, action="add_on.changed", subject=add_on.key, before={"rates": before}, after={"rates": after})


def _sold(audited: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (audited or {}).items() if name in (*SOLD, "rates")}


def _as_audited(plan: Plan, rates: Any) -> dict[str, Any]:
    columns = {name: getattr(plan, name) for name in ("name", "position", "is_offered", *SOLD)}
    return {name: _plain(value) for name, value in columns.items()} | {"rates": _rates_as_audited(rates)}


def _rates_as_audited(rates: Any) -> dict[str, Any]:
    return {rate.metric.key: _rate_values(rate) for rate in sorted(rates, key=lambda each: each.metric.key)}


def _rate_values(rate: Rate) -> dict[str, Any]:
    """What a rate says, without what is empty."""
    skipped = {"id", "plan", "add_on", "metric"}
    values = {c.name: _plain(getattr(rate, c.name)) for c in Rate._meta.concrete_fields if c.name not in skipped}
    return {name: value for name, value in values.items() if value not in (None, [], False)}


def _plain(value: Any) -> Any:
    return format(value.normalize(), "f") if isinstance(value, Decimal) else value
