"""The words of what is told: in-app title and text, e-mail, webhook data (spec 3.2, 3.3, 3.11, 3.12, 4.3, 4.4).

Rendered at the moment of the decision and kept, so that a repeated message says the same. Quantities are shown in
display units, dates in the account's time zone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.template.loader import render_to_string

from alerts.models import Notification
from alerts.services.news import News
from billing.models import PeriodTerms
from billing.money import plain_money
from billing.selectors.holdings import metric_terms
from usage.formats import figure, long_date, money, period_span, short_date, unit_price
from usage.models import Account, AuditEntry, Metric, Period, Workspace
from usage.periods import local_day, plain_instant
from usage.rounding import plain_quantity, shown_quantity

Kind = Notification.Kind
NEVER_STOPS: Final = "This is a message only. An alert never switches off a channel and never stops a message."


@dataclass(frozen=True, slots=True)
class Mail:
    """A rendered e-mail."""

    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Words:
    """What is said in-app, the data of the webhook, and how to render the e-mail (None: there is none)."""

    title: str
    body: str
    payload: dict[str, Any]
    mail: Callable[[], Mail] | None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the messages of one evaluation speak of, by id."""

    accounts: dict[int, Account]
    workspaces: dict[int, Workspace]
    first_workspaces: dict[int, Workspace]
    metrics: dict[int, Metric]
    periods: dict[tuple[int, datetime], Period]
    terms: dict[tuple[int, int], list[PeriodTerms]]
    limit_changes: dict[tuple[int, str], AuditEntry]

    def terms_of(self, item: News) -> PeriodTerms | None:
        """The terms of the item's metric in its period."""
        rows = self.terms.get((item.account_id, item.metric_id or 0), [])
        held = [row for row in rows if row.from_period <= item.period]
        return held[-1] if held and held[-1].is_active else None


def surroundings_of(news: Sequence[News]) -> Surroundings:
    """Load everything that the messages need, in at most six queries."""
    account_ids = {item.account_id for item in news}
    starts = {item.period for item in news}
    periods = Period.objects.select_related("account").filter(account__in=account_ids, starts_at__in=starts)
    by_start = {(period.account_id, period.starts_at): period for period in periods}
    workspaces = list(Workspace.objects.filter(account__in=account_ids).order_by("id"))
    firsts: dict[int, Workspace] = {}
    for workspace in workspaces:
        firsts.setdefault(workspace.account_id, workspace)
    terms: dict[tuple[int, int], list[PeriodTerms]] = {}
    if any(item.kind == Kind.PLAN_ALERT for item in news):
        rows = PeriodTerms.objects.select_related("metric").filter(
            account__in=account_ids, metric__in={item.metric_id for item in news if item.metric_id}
        )
        for row in rows.order_by("from_period"):
            terms.setdefault((row.account_id, row.metric_id), []).append(row)
    limit_changes: dict[tuple[int, str], AuditEntry] = {}
    if any(item.kind == Kind.LIMIT_REACHED for item in news):
        changes = AuditEntry.objects.filter(
            action="limit.changed", workspace__in={item.workspace_id for item in news if item.workspace_id}
        ).select_related("actor")
        for entry in changes.order_by("workspace_id", "subject", "-at", "-id").distinct("workspace_id", "subject"):
            limit_changes[entry.workspace_id or 0, entry.subject] = entry
    return Surroundings(
        limit_changes=limit_changes,
        accounts={period.account_id: period.account for period in by_start.values()},
        workspaces={workspace.pk: workspace for workspace in workspaces},
        first_workspaces=firsts,
        metrics=Metric.objects.in_bulk({item.metric_id for item in news if item.metric_id}),
        periods=by_start,
        terms=terms,
    )


def words_of(item: News, around: Surroundings) -> Words:
    """The words for one item."""
    account = around.accounts[item.account_id]
    workspace = around.workspaces.get(item.workspace_id or 0)
    metric = around.metrics.get(item.metric_id or 0)
    period = around.periods[item.account_id, item.period]
    page = workspace or around.first_workspaces[account.pk]
    context: dict[str, Any] = {
        "kind": item.kind,
        "account": account,
        "workspace": workspace,
        "metric": metric,
        "level": item.level,
        "period": period_span(period.starts_at, period.ends_at, period.zone),
        "zone": period.zone,
        "at": item.at,
        "is_over": period.ends_at <= item.at,
        "on_again_on": long_date(local_day(period.ends_at, period.zone)),
        "usage_url": f"{settings.BASE_URL}/w/{page.key}/usage{f'#{metric.key}' if metric else ''}",
        "billing_url": f"{settings.BASE_URL}/w/{page.key}/billing",
        "support_email": settings.SUPPORT_EMAIL,
        "note": NEVER_STOPS,
    }
    if metric is None:
        context |= _money_figures(item, account.currency)
        title, body = _spend_words(item, context)
    else:
        context |= _figures(item, metric)
        if item.kind == Kind.USAGE_ALERT:
            title, body = _usage_words(item, metric, workspace, context)
        elif item.kind == Kind.PLAN_ALERT:
            title, body = _plan_words(item, metric, around.terms_of(item), account.currency, context)
        else:
            change = around.limit_changes.get((item.workspace_id or 0, metric.key))
            context["set_by"] = _setter_of(change, period.zone, item.at) if change else ""
            title, body = _limit_words(item, metric, workspace, period, context)
    return Words(
        title=title,
        body=body,
        payload=notification_data(
            kind=item.kind,
            account=account,
            workspace=workspace,
            metric=metric,
            level=item.level,
            threshold=item.threshold,
            quantity=item.quantity,
            period=item.period,
            at=item.at,
        ),
        mail=None if item.kind == Kind.LIMIT_CLEARED else lambda: render_mail(item.kind, context),
    )


def render_mail(template: str, context: dict[str, Any]) -> Mail:
    """The e-mail `templates/emails/<template>`: subject from `context["heading"]`, text, HTML."""
    return Mail(
        subject=" ".join(str(context["heading"]).split()),
        text=render_to_string(f"emails/{template}.txt", context),
        html=render_to_string(f"emails/{template}.html", context),
    )


def notification_data(
    *,
    kind: str,
    account: Account,
    workspace: Workspace | None,
    metric: Metric | None,
    level: int | None,
    threshold: Decimal | None,
    quantity: Decimal | None,
    period: datetime | None,
    at: datetime,
) -> dict[str, Any]:
    """The notification of spec 10.5 with account and workspace, as webhooks carry it. Quantities come in stored units
    (spend: money) and leave as decimal strings in display units; instants in UTC."""

    def shown(value: Decimal | None) -> str | None:
        if value is None:
            return None
        if metric is None:
            return plain_money(value, account.currency)
        return plain_quantity(shown_quantity(value, unit_size=metric.unit_size))

    return {
        "kind": str(kind),
        "account": account.key,
        "workspace": workspace.key if workspace else None,
        "metric": metric.key if metric else None,
        "level": level,
        "threshold": shown(threshold),
        "quantity": shown(quantity),
        "period": plain_instant(period) if period else None,
        "at": plain_instant(at),
    }


def _figures(item: News, metric: Metric) -> dict[str, Any]:
    def shown(value: Decimal | None) -> str:
        return figure(shown_quantity(value or Decimal(0), unit_size=metric.unit_size))

    return {"quantity": shown(item.quantity), "threshold": shown(item.threshold), "unit": metric.unit}


def _money_figures(item: News, currency: str) -> dict[str, Any]:
    return {
        "quantity": money(item.quantity or Decimal(0), currency),
        "threshold": money(item.threshold or Decimal(0), currency),
        "unit": "",
    }


def _usage_words(item: News, metric: Metric, workspace: Workspace | None, context: dict[str, Any]) -> tuple[str, str]:
    what = "your alert" if item.level == 100 else f"{item.level}% of your alert"
    context["heading"] = f"{workspace} has reached {what} for {metric.name}"
    body = f"{context['quantity']} of {context['threshold']} {metric.unit}. Alerts never switch anything off."
    return f"{metric.name} in {workspace} reached {what}", body


def _plan_words(
    item: News, metric: Metric, terms: PeriodTerms | None, currency: str, context: dict[str, Any]
) -> tuple[str, str]:
    kind = "contracted" if terms is not None and terms.contracted is not None else "included"
    price = metric_terms(terms).unit_price if terms is not None else None
    context["included_kind"] = kind
    context["unit_price"] = unit_price(price, currency) if price is not None else ""
    figures = f"{context['quantity']} of {context['threshold']} {metric.unit}, all workspaces together."
    if item.level == 100:
        context["heading"] = title = f"{metric.name} reached the {kind} {context['threshold']}"
        rate = f" at {context['unit_price']}" if context["unit_price"] else ""
        return title, f"{figures} The next {metric.unit_singular} is overage{rate}. Alerts never switch anything off."
    word = "early warning" if item.level == 80 else "approaching"
    context["heading"] = title = f"{metric.name} at {item.level}% of the {kind} {context['threshold']} ({word})"
    return title, figures


def _spend_words(item: News, context: dict[str, Any]) -> tuple[str, str]:
    what = "your spend alert" if item.level == 100 else f"{item.level}% of your spend alert"
    context["heading"] = f"{context['account']} has reached {what}"
    return (
        f"Charges reached {what}",
        f"{context['quantity']} of {context['threshold']} so far. Alerts never switch anything off.",
    )


def _setter_of(change: AuditEntry, zone: str, at: datetime) -> str:
    """“Ada Moreno on 2 November 2026”; without the day where the account's clock lies behind the trail's."""
    name = change.actor.get_full_name() if change.actor else change.actor_name
    return f"{name} on {long_date(local_day(change.at, zone))}" if change.at <= at else name


def _limit_words(
    item: News, metric: Metric, workspace: Workspace | None, period: Period, context: dict[str, Any]
) -> tuple[str, str]:
    agent = metric.agent_name or metric.name
    until = short_date(local_day(period.ends_at, period.zone))
    context["agent"] = agent
    if item.kind == Kind.LIMIT_CLEARED:
        context["heading"] = title = f"{agent} is on again in {workspace}"
        return title, f"{metric.name}: {context['quantity']} {metric.unit} used so far."
    used = f"{context['quantity']} of {context['threshold']} {metric.unit}."
    if context["is_over"]:
        context["heading"] = f"{agent} was off in {workspace} until {context['on_again_on']}"
        return f"{agent} limit was reached in {workspace}", f"{used} It was off until {until}."
    context["heading"] = f"{agent} is off in {workspace} until {context['on_again_on']}"
    return f"{agent} limit reached in {workspace}", f"{used} {agent} is off until {until}."
