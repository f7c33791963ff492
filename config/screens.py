"""The dashboard: conversations at a glance, and what is near a level (spec 6.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_GET

from alerts.selectors.decisions import resolution_rate
from alerts.selectors.notifications import latest_notifications
from alerts.selectors.rules import NO_RULES
from billing.charges import CONTRACTED
from billing.models import PeriodTerms
from billing.selectors.charges import fixed_charges
from config.cards import Reading, share
from config.screens_usage import page_meta, read_usage
from config.web import page_or_partial
from usage import charts
from usage.access import shell_context, user_of, workspace_page
from usage.formats import money, number, percent, period_span, short_date, weekday_date
from usage.models import Metric, Period, Workspace
from usage.periods import local_day
from usage.rounding import shown_quantity
from usage.selectors import account_usage
from usage.written import Written

CONVERSATIONS = "conversations"
NEAR = Decimal("0.5")  # of a level: below that nothing is near
SHOWN = 6
NOTES = 4
_ENDING: Final = Written(lambda account, at: Period.objects.filter(account=account, ends_at=at))


@dataclass(frozen=True, slots=True)
class Level:
    """A level that something comes near to; `share` of it, for the order."""

    share: Decimal
    name: str
    badge: str
    tone: str
    icon: str
    bar: charts.UsageBar
    url: str


@require_GET
@workspace_page
def dashboard(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The workspace's dashboard in the running period."""
    reading = read_usage(workspace)
    account, period = workspace.account, reading.frame.period
    parts, add_ons = fixed_charges(account=account, period=period)
    charges = replace(reading.standing, parts=parts, add_ons=add_ons).charges
    user = user_of(request)
    fixed = {"label": "Plan, add-ons, contract and seats", "value": money(charges.fixed, account.currency)}
    overage = {"label": "Overage and pay-as-you-go", "value": money(charges.total_overage, account.currency)}
    total = "–" if charges.projected_total is None else money(charges.projected_total, account.currency)
    ends = local_day(period.ends_at, period.zone)
    context = shell_context(request, workspace, "dashboard") | {
        "page_meta": page_meta(reading),
        **_conversations(reading),
        "rate": _rate(reading),
        "levels": _levels(reading),
        "so_far": money(charges.so_far, account.currency),
        "cost_facts": [fixed, overage, {"label": "Projected total", "value": total, "total": True}],
        "next_invoice": short_date(ends) if charges.fixed or reading.standing.terms else "",
        "notes": latest_notifications(user=user, workspace=workspace, number=NOTES),
        "zone": period.zone,
    }
    return page_or_partial(request, "pages/dashboard.html", "live", context)


def _conversations(reading: Reading) -> dict[str, Any]:
    """Today, this period, last period, and the chart of both; without terms for conversations there is none."""
    terms = next((row for row in reading.standing.terms.values() if row.metric.key == CONVERSATIONS), None)
    if terms is None:
        return {"stats": [], "chart": None}
    metric, period, key = terms.metric, reading.frame.period, reading.workspace.pk
    days = dict(reading.standing.usage[metric.pk].days.get(key, []))
    before = next(iter(_ENDING(account=period.account_id, at=period.starts_at)), None)
    last: dict[date, Decimal] = {}
    if before is not None:
        last = dict(
            account_usage(
                account=reading.workspace.account, period=before, metrics=[metric], now=reading.now, with_levels=False
            )[metric.pk].days.get(key, [])
        )
    today = local_day(reading.now, period.zone)
    week_ago = today - timedelta(days=7)
    was = last.get(week_ago, Decimal(0)) + days.get(week_ago, Decimal(0))
    has_week = week_ago >= period.first_day or before is not None
    stats = [
        {
            "label": "Conversations today",
            "value": number(days.get(today, Decimal(0))),
            "note": f"{number(was)} on {weekday_date(week_ago)}" if has_week else "",
        },
        {
            "label": "This period",
            "value": number(reading.used(metric)),
            "note": _compared(days, last, period, before, today),
        },
        {
            "label": "Last period",
            "value": number(sum(last.values(), Decimal(0))) if before else "–",
            "note": period_span(before.starts_at, before.ends_at, before.zone) if before else "There was none",
        },
    ]
    chart = charts.daily_chart(
        id="conversations-chart",
        name=metric.name,
        unit=metric.unit,
        workspace=reading.workspace.name,
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        as_of=reading.now,
        zone=period.zone,
        own=days,
        projected=reading.projected(metric),
        previous=_every_day(last, before) if before else (),
        size="split",
    )
    return {"stats": stats, "chart": chart}


def _every_day(days: dict[date, Decimal], period: Period) -> list[Decimal]:
    return [days.get(period.first_day + timedelta(days=index), Decimal(0)) for index in range(period.days)]


def _compared(
    days: dict[date, Decimal], last: dict[date, Decimal], period: Period, before: Period | None, today: date
) -> str:
    """The whole days so far against as many of the last period: today is not over yet."""
    whole = (today - period.first_day).days
    if before is None or whole < 1:
        return "First day of the period" if whole < 1 else ""
    now = sum((quantity for on, quantity in days.items() if on < today), Decimal(0))
    then = sum(_every_day(last, before)[:whole], Decimal(0))
    if not then:
        return ""
    change = percent((now - then) * 100 / then)
    return f"{'+' if now >= then else ''}{change} on the last period's first {whole} {'day' if whole == 1 else 'days'}"


def _rate(reading: Reading) -> dict[str, str]:
    rate = resolution_rate(workspace=reading.workspace, period=reading.frame.period.starts_at)
    if rate.percent is None:
        return {"label": "Resolution rate", "value": "–", "note": "No conversation answered by the agent yet"}
    return {
        "label": "Resolution rate",
        "value": percent(rate.percent, digits=1),
        "note": f"{number(rate.resolutions)} of {number(rate.conversations)} with AI Agent",
    }


def _levels(reading: Reading) -> list[Level]:
    """Limits, alerts and included amounts that are half used or more, closest first (spec 6.2)."""
    found = [level for terms in reading.standing.terms.values() for level in _levels_of(reading, terms)]
    near = sorted((level for level in found if level.share >= NEAR), key=lambda level: -level.share)
    return near[:SHOWN]


def _levels_of(reading: Reading, terms: PeriodTerms) -> list[Level]:
    metric = terms.metric
    if metric.kind == Metric.Kind.LEVEL:
        return []
    usage = reading.standing.usage[metric.pk]
    used = shown_quantity(reading.used(metric), unit_size=metric.unit_size)
    pool = shown_quantity(usage.pool, unit_size=metric.unit_size)
    rules = reading.rules.get(metric.pk, NO_RULES)
    place = reading.workspace.name
    stored = usage.limits.get(reading.workspace.pk)
    found = []
    if stored is not None:
        limit = shown_quantity(stored, unit_size=metric.unit_size)
        is_off = usage.is_limit_reached(reading.workspace.pk)
        words = f"Limit {number(limit)} in {place}"
        found.append(_level(reading, metric, used, limit, words, tone="limit" if is_off else ""))
    alert = rules.alert.in_force
    if alert is not None and alert.threshold is not None:
        found.append(_level(reading, metric, used, alert.threshold, f"Alert {number(alert.threshold)} in {place}"))
    if not terms.is_unlimited and terms.included:
        word = "Contracted" if terms.kind == CONTRACTED else "Included"
        shared = ", shared" if len(reading.frame.workspaces) > 1 else ""
        words = f"{word} {number(terms.included)}{shared}"
        tone = "over" if pool > terms.included else ""
        found.append(_level(reading, metric, pool, terms.included, words, tone=tone))
    return found


def _level(reading: Reading, metric: Metric, used: Decimal, level: Decimal, words: str, *, tone: str = "") -> Level:
    name = metric.agent_name or metric.name
    badge = {"limit": "Off", "over": "Overage"}.get(tone, share(used, level))
    return Level(
        share=used / level if level else Decimal(1),
        name=name,
        badge=badge,
        tone={"limit": "limit", "over": "alert"}.get(tone, ""),
        icon="limit" if tone == "limit" else "",
        bar=charts.level_bar(name=name, used=used, level=level, words=words, tone=tone),
        url=f"{reverse('usage', args=[reading.workspace.key])}#{metric.key}",
    )
