"""What a change of plan costs, before the click (spec 5.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from billing.charges import SEATS, USAGE, ZERO, ChargeLine, MetricUse, charge_lines
from billing.errors import CurrencyDiffers
from billing.models import PeriodTerms, Plan
from billing.proration import PlanChange, PlanPart
from billing.selectors.changes import UPGRADE, kind_of_change
from billing.selectors.charges import Standing
from billing.selectors.holdings import Holdings, add_on_price, holdings_of, metric_terms, parts_of
from usage.models import Account, Period
from usage.periods import local_day
from usage.selectors import account_usage
from usage.services.periods import next_period_of, open_period

type Lines = tuple[ChargeLine, ...]


@dataclass(frozen=True, slots=True)
class ChangePreview:
    """What choosing a plan does. `kind` is "upgrade" or "downgrade".

    `lines` are those of the first invoice that the change touches, by the invoice's own arithmetic: for an upgrade
    the running period's, with the plan's parts and the usage so far at the new terms; for a downgrade the fixed
    charges of the next period. `lines_before` and the totals (before tax, in the account's currency) compare the same
    period without it. `terms` are (before, after) by metric, None where there are none.
    """

    kind: str
    plan: Plan
    takes_effect_at: datetime
    lines: Lines
    total: Decimal
    lines_before: Lines
    total_before: Decimal
    terms: tuple[tuple[PeriodTerms | None, PeriodTerms | None], ...]


def preview_change(*, account: Account, plan: Plan, now: datetime) -> ChangePreview:
    """What `change_plan` would do at `now`, in the account's currency; writes nothing.

    Raises NoSubscription, CurrencyDiffers, AccountEnded.
    """
    period = open_period(account_id=account.pk, at=now)
    if plan.currency != account.currency:
        raise CurrencyDiffers(field="plan", account_currency=account.currency)
    holdings = holdings_of(account, plans=[plan])
    kind = kind_of_change(holdings, plan=plan, period=period.starts_at)
    following = next_period_of(period)[0]
    instant = period.starts_at if kind == UPGRADE else following
    # What was scheduled is replaced by the change, so the comparison is with the plan in force.
    in_force = holdings.plan_in(period.starts_at)
    before, after = holdings.terms_in(instant, plan=in_force), holdings.terms_in(instant, plan=plan)
    if kind == UPGRADE:
        lines_before, lines = _running_lines(account, holdings, plan, period, now, before, after)
    else:
        lines_before = _fixed_lines(account, holdings, in_force, instant, before)
        lines = _fixed_lines(account, holdings, plan, instant, after)
    return ChangePreview(
        kind=kind,
        plan=plan,
        takes_effect_at=now if kind == UPGRADE else following,
        lines=lines,
        total=_total(lines),
        lines_before=lines_before,
        total_before=_total(lines_before),
        terms=tuple((before.get(metric), after.get(metric)) for metric in sorted(before.keys() | after.keys())),
    )


def _running_lines(
    account: Account,
    holdings: Holdings,
    plan: Plan,
    period: Period,
    now: datetime,
    before: Mapping[int, PeriodTerms],
    after: Mapping[int, PeriodTerms],
) -> tuple[Lines, Lines]:
    changes = holdings.plan_changes()
    upgrade = PlanChange(starts_on=local_day(now, period.zone), plan_id=plan.pk, name=plan.name, price=plan.price)
    upgraded = [(period.starts_at, upgrade)]
    standing = Standing(
        currency=account.currency,
        period=period,
        now=now,
        parts=parts_of(period, changes),
        add_ons=[add_on_price(row) for row in holdings.add_ons_in(period.starts_at)],
        terms=before,
        usage=account_usage(
            account=account,
            period=period,
            metrics=[row.metric for row in {**before, **after}.values()],
            now=now,
            with_days=False,
        ),
    )
    changed = replace(standing, parts=parts_of(period, [*changes, *upgraded]), terms=after)
    return standing.charges.lines, changed.charges.lines


def _fixed_lines(
    account: Account, holdings: Holdings, plan: Plan | None, period: datetime, terms: Mapping[int, PeriodTerms]
) -> Lines:
    """Of a whole period that has not begun: no days are split and no usage is known."""
    day = period.date()
    parts = [PlanPart(name=plan.name, price=plan.price, days=1, first_day=day, last_day=day)] if plan else []
    lines = charge_lines(
        currency=account.currency,
        days_in_period=1,
        parts=parts,
        add_ons=[add_on_price(row) for row in holdings.add_ons_in(period)],
        uses=[MetricUse(terms=metric_terms(row), quantities={}) for row in terms.values()],
    )
    return tuple(line for line in lines if line.kind not in (SEATS, USAGE))


def _total(lines: Lines) -> Decimal:
    return sum((line.amount for line in lines), start=ZERO)
