"""Upgrade or not: whether a plan may begin at once (spec 5.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from billing.errors import NoSubscription
from billing.models import PeriodTerms, Plan
from billing.models.plans import PriceModel
from billing.pricing import TIERED
from billing.selectors.holdings import Holdings

UPGRADE: Final = "upgrade"
DOWNGRADE: Final = "downgrade"
ZERO: Final = Decimal(0)


def kind_of_change(holdings: Holdings, *, plan: Plan, period: datetime) -> str:
    """ "upgrade" when `plan` (its rates must be in `holdings`) costs more in the same currency and interval and no
    metric gets a smaller included amount, a higher rate or another price model by it; else "downgrade" (spec 5.5).

    Compared are the account's terms with its add-ons and contracts in the period that starts at `period`, so that
    nothing already used in it is priced upwards.
    """
    current = holdings.plan_in(period)
    if current is None:
        raise NoSubscription
    if (plan.currency, plan.interval) != (current.currency, current.interval) or plan.price <= current.price:
        return DOWNGRADE
    before, after = holdings.terms_in(period), holdings.terms_in(period, plan=plan)
    is_better = all(_is_no_worse(before.get(metric), after.get(metric)) for metric in before.keys() | after.keys())
    return UPGRADE if is_better else DOWNGRADE


def _is_no_worse(before: PeriodTerms | None, after: PeriodTerms | None) -> bool:
    """No smaller included amount, no higher rate, no other price model: what was used is never priced upwards."""
    if before is None or after is None:
        # Without terms usage costs nothing, which only unlimited equals; and terms that end take the card away.
        return before is None and after is not None and after.is_unlimited
    if after.is_unlimited or before.is_unlimited:
        return after.is_unlimited
    if (after.contracted_price or ZERO) > (before.contracted_price or ZERO):
        return False
    if after.model != before.model or (after.included or ZERO) < (before.included or ZERO):
        return False
    # Under volume prices a smaller excess can fall into a dearer tier, so there more included is no promise.
    if after.model == PriceModel.VOLUME and after.included != before.included:
        return False
    return _is_no_dearer(before, after)


def _is_no_dearer(before: PeriodTerms, after: PeriodTerms) -> bool:
    if after.maximum is None and before.maximum is not None:
        return False
    if before.maximum is not None and after.maximum is not None and after.maximum > before.maximum:
        return False
    if (after.flat_fee or ZERO) > (before.flat_fee or ZERO) or (after.minimum or ZERO) > (before.minimum or ZERO):
        return False
    if before.model in TIERED:
        return _no_dearer_tiers(before.tiers, after.tiers)
    if before.model == PriceModel.PACKAGE and after.package_size != before.package_size:
        return False
    return (after.unit_price or ZERO) <= (before.unit_price or ZERO)


def _no_dearer_tiers(before: Sequence[Mapping[str, Any]], after: Sequence[Mapping[str, Any]]) -> bool:
    """Tiers of the same bounds, none of them dearer."""
    if len(before) != len(after):
        return False
    for old, new in zip(before, after, strict=True):
        if _number(old.get("up_to")) != _number(new.get("up_to")):
            return False
        for price in ("unit_price", "flat_fee"):
            if (_number(new.get(price)) or ZERO) > (_number(old.get(price)) or ZERO):
                return False
    return True


def _number(value: Any) -> Decimal | None:
    return None if value is None else Decimal(value)
