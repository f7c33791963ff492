"""The billing page: what the period costs so far and where it is heading (spec 6.3, 2.11, 3.10, 5.12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from alerts.selectors.settings import spend_alert_of
from billing.charges import CONTRACTED, INCLUDED, PAY_AS_YOU_GO, SEATS, USAGE, ChargeLine, MetricCharge
from billing.models import Plan
from billing.selectors import Advice, Frame, Standing, advice_for, contacts_of, frame_of, offered_plans, usage_of
from billing.selectors.advice import (
    NEAR_INCLUDED,
    OVERAGE_EXCEEDS_DIFFERENCE,
    PROJECTION_EXCEEDS_INCLUDED,
    RateChange,
    Reason,
)
from billing.selectors.holdings import Holdings, holdings_of
from config.cards import ESTIMATE, TOO_EARLY
from config.web import is_fragment_request, page_or_partial
from usage.access import shell_context, user_of, workspace_page
from usage.clocks import clock_of
from usage.formats import day_and_month, figure, money, number, period_span, short_date, unit_price
from usage.models import Account, Metric, Period, Workspace
from usage.periods import local_day
from usage.permissions import has_flag
from usage.rounding import shown_quantity
from usage.written import Written

_FIRST_DAY: Final = Written(
    lambda account: Period.objects.filter(account=account).order_by("starts_at").values_list("first_day", flat=True)[:1]
)
PLACES: Final = 3  # workspaces named in a row of the breakdown
INTERVALS = {"month": "a month", "quarter": "a quarter", "half_year": "a half-year", "year": "a year"}


@dataclass(frozen=True, slots=True)
class Row:
    """A metric in the breakdown; everything as it is shown."""

    name: str
    sub: str
    used: str
    included: str
    overage: str
    rate: str
    cost: str


@require_GET
@workspace_page
def billing(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The account's running period, its plan, contacts and spend alert. HTMX gets what changes, with the line of the
    last update."""
    account = workspace.account
    now = clock_of(account)()
    frame = frame_of(account=account, now=now)
    period = frame.period
    until = min(max(now, period.starts_at), period.ends_at)
    offered = offered_plans(account)
    holdings = holdings_of(account, plans=offered)
    standing = usage_of(account=account, period=period, now=until, holdings=holdings)
    charges = standing.charges
    plan = holdings.plan_in(period.starts_at)
    spend = spend_alert_of(account=account, period=period.starts_at)
    contacts = contacts_of(account)
    may_manage = has_flag(
        user=user_of(request), workspace=workspace, flag="can_manage_billing", anywhere_in_account=True
    )
    context = shell_context(request, workspace, "billing") | {
        "crumbs": [("Settings", None), ("Subscription", None)],
        "page_meta": {
            "period": period_span(period.starts_at, period.ends_at, period.zone),
            "day": frame.day(until),
            "days": period.days,
            "updated_at": until,
            "checked_at": standing.checked_at,
            "zone": period.zone,
        },
        "is_fragment": is_fragment_request(request),
        "charges": charges,
        "currency": account.currency,
        "rows": [
            _row(standing, frame, charge)
            for charge in sorted(charges.metrics.values(), key=lambda each: (each.terms.position, each.terms.key))
            if not charge.terms.is_level
        ],
        "fixed": [_fixed(line, standing) for line in charges.lines if line.kind != USAGE],
        "projected": "–" if charges.projected_total is None else money(charges.projected_total, account.currency),
        "estimate": _estimate(frame, until, is_early=charges.projected_total is None),
        "plan": plan,
        "plan_price": f"{money(plan.price, account.currency)} {INTERVALS[plan.interval]}" if plan else "",
        "plan_facts": _plan_facts(account, frame, has_plan=plan is not None),
        "scheduled": _scheduled(holdings, period, plan),
        "advice": _advice(account, standing, offered, holdings) if plan else None,
        "spend": spend,
        "zone": period.zone,
        "contacts": contacts,
        "may_manage": may_manage,
        "restricted_url": "" if may_manage else reverse("billing_restricted", args=[workspace.key]),
    }
    return page_or_partial(request, "pages/billing.html", "live", context)


def _row(standing: Standing, frame: Frame, charge: MetricCharge) -> Row:
    terms, currency = charge.terms, standing.currency
    kinds = {
        CONTRACTED: "Contracted",
        INCLUDED: "",
        PAY_AS_YOU_GO: "Pay-as-you-go",
    }
    sub = kinds.get(terms.kind, "Never charged")
    usage = standing.usage[terms.metric_id]
    parts = [
        f"{name} {figure(shown_quantity(usage.own[key], unit_size=terms.unit_size))}"
        for key, name in frame.workspaces
        if usage.own.get(key)
    ]
    if len(parts) > PLACES:
        parts[PLACES:] = [f"{len(parts) - PLACES} more workspaces"]
    if len(frame.workspaces) > 1 and parts:
        sub = " · ".join([*parts, *([sub] if sub else [])])
    has_included = terms.included is not None
    return Row(
        name=terms.name,
        sub=sub,
        used=figure(charge.pool_quantity),
        included=number(terms.included) if terms.included is not None else "Unlimited" if terms.rate is None else "–",
        overage=figure(charge.overage_quantity) if has_included else "–",
        rate=unit_price(terms.unit_price, currency) if terms.unit_price is not None else "–",
        cost=money(charge.overage_amount, currency),
    )


def _fixed(line: ChargeLine, standing: Standing) -> dict[str, str]:
    """A line that does not follow from usage, in words."""
    label, note = line.description, ""
    if line.kind == CONTRACTED and line.quantity is not None and line.metric_id is not None:
        label = f"{number(line.quantity)} contracted {standing.terms[line.metric_id].metric.name}"
    if line.kind == SEATS and line.metric_id is not None:
        held = standing.charges.metrics[line.metric_id].pool_quantity
        metric: Metric = standing.terms[line.metric_id].metric
        label = f"{number(held)} {metric.unit_of(held)}"
        note = "(billed by the day, the invoice may differ)"
    return {"label": label, "note": note, "amount": money(line.amount, standing.currency)}


def _estimate(frame: Frame, now: datetime, *, is_early: bool) -> str:
    left = frame.days_remaining(now)
    remaining = "Today is the last day." if left == 0 else f"{left} {'day remains' if left == 1 else 'days remain'}."
    return f"{TOO_EARLY} {remaining}" if is_early else f"{ESTIMATE} {remaining}"


def _plan_facts(account: Account, frame: Frame, *, has_plan: bool) -> list[dict[str, str]]:
    period = frame.period
    facts = [{"label": "Member since", "value": short_date(first)} for first in _FIRST_DAY(account=account.pk)]
    ends = local_day(period.ends_at, period.zone)
    facts.append({"label": "Next invoice", "value": short_date(ends) if has_plan else "–"})
    facts.append({"label": "Currency", "value": account.currency})
    facts.append({"label": "Time zone", "value": period.zone})
    return facts


def _scheduled(holdings: Holdings, period: Period, plan: Plan | None) -> str:
    """What happens to the plan on a later boundary, in a sentence; "" for nothing."""
    later = next((row for row in holdings.subscriptions if row.period > period.starts_at), None)
    if later is None:
        return ""
    on = short_date(later.starts_on)
    if later.plan is None:
        return f"The subscription ends on {on}."
    if plan is not None and later.plan_id == plan.pk:
        return ""
    return f"{later.plan.name} begins on {on}."


# --- Advice ---


def _advice(account: Account, standing: Standing, offered: Sequence[Plan], holdings: Holdings) -> dict[str, Any] | None:
    """The advice in words (spec 5.12); None when there is none."""
    advice = advice_for(account=account, now=standing.now, standing=standing, offered=offered, holdings=holdings)
    if advice is None:
        return None
    currency, zone = account.currency, standing.period.zone
    return {
        "title": _advice_title(advice),
        "reasons": [_reason(reason, advice, currency) for reason in advice.reasons],
        "plan": advice.plan,
        "next_plan": advice.next_plan,
        "periods": [
            {
                "label": day_and_month(local_day(each.period.starts_at, zone))
                + (", projected" if each.is_projected else ""),
                "cost": money(each.cost, currency),
                "next_cost": money(each.next_cost, currency),
            }
            for each in advice.periods
        ],
        "pace": _pace(advice, currency),
        "rates": [_rate_change(change, currency) for change in advice.rates],
        "tips": advice.tips,
    }


def _advice_title(advice: Advice) -> str:
    if advice.next_plan is None:
        return "Ways to use less"
    if advice.saving is not None:
        return f"{advice.next_plan.name} would cost less"
    return f"Close to what {advice.plan.name} includes"


def _pace(advice: Advice, currency: str) -> str:
    """What the next plan would save, or cost more, in the running period; "" when it is too early to tell."""
    if advice.next_plan is None or not advice.periods or not advice.periods[-1].is_projected:
        return ""
    difference = advice.periods[-1].cost - advice.periods[-1].next_cost
    if difference > 0:
        return f"At this pace {advice.next_plan.name} saves {money(difference, currency)} in this period."
    return f"At this pace {advice.next_plan.name} costs {money(-difference, currency)} more in this period."


def _reason(reason: Reason, advice: Advice, currency: str) -> str:
    names = _listed(reason.metrics)
    if reason.kind == NEAR_INCLUDED:
        return f"{names} reached 80% of what is included in each of the last three periods."
    if reason.kind == PROJECTION_EXCEEDS_INCLUDED:
        return f"At this pace {names} will exceed what is included."
    if reason.kind == OVERAGE_EXCEEDS_DIFFERENCE and advice.next_plan and reason.overage is not None:
        more = money(advice.next_plan.price - advice.plan.price, currency)
        overage = money(reason.overage, currency)
        return f"Overage came to {overage} in a period; {advice.next_plan.name} costs {more} more."
    return ""


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join([", ".join(names[:-1]), *names[-1:]] if len(names) > 1 else names)


def _rate_change(change: RateChange, currency: str) -> dict[str, str]:
    terms = change.before or change.after

    def words(which: Any) -> str:
        if which is None:
            return "–"
        included = "" if which.included is None else f"{number(which.included)} included, then "
        price: Decimal | None = which.unit_price
        return (
            "unlimited" if which.rate is None else f"{included}{'–' if price is None else unit_price(price, currency)}"
        )

    return {"name": terms.name if terms else "", "before": words(change.before), "after": words(change.after)}
