"""The drawer of a metric: alerts, limit, the price beside the number, the confirmation (spec 1.3, 3, 4.1, 4.2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.contrib import messages
from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods
from django_htmx.http import reswap, retarget, trigger_client_event

from alerts.errors import LimitBelowIncluded
from alerts.forms import DrawerForm, read_number
from alerts.models import Notification
from alerts.selectors.changes import Setting, SettingRecord, records_of
from alerts.selectors.drawer import DrawerState, drawer_state
from alerts.selectors.settings import AlertSetting, LimitSetting, State
from alerts.services.drawer import DrawerChanges, DrawerSaved, EffectiveNeeded, save_drawer
from alerts.services.limits import NEXT_PERIOD, NOW
from billing.charges import CONTRACTED, INCLUDED, UNLIMITED, MetricTerms
from billing.selectors import CostAt, costs_of
from config.web import drawer, is_fragment_request, saved
from usage.access import restricted_page, shell_context, user_of, workspace_page
from usage.clocks import clock_of
from usage.errors import HeadroomError
from usage.formats import figure, money, number, short_date
from usage.models import Metric, Workspace
from usage.periods import local_day
from usage.permissions import PERMISSIONS, Restricted, restricted, rights_of
from usage.written import Written

TEMPLATE: Final = "alerts/usage_drawer.html"
EFFECTIVE: Final = {"next": NEXT_PERIOD, "now": NOW}
UNCHANGED: Final = "Nothing was changed."
TOLD = 5  # messages of the period that the drawer repeats
_METRIC: Final = Written(lambda key: Metric.objects.filter(key=key))
_TOLD: Final = Written(
    lambda account, workspace, metric, period: (
        Notification.objects.filter(Q(workspace=workspace) | Q(workspace=None))
        .filter(account=account, metric=metric, period=period)
        .order_by("-at", "-id")[:TOLD]
    )
)


@require_http_methods(["GET", "POST"])
@workspace_page
def usage_drawer(request: HttpRequest, workspace: Workspace, metric_key: str) -> HttpResponse:
    """The drawer, and the saving of its one form: all sections that changed, or none."""
    metric = _metric(metric_key)
    clock = clock_of(workspace.account)
    if request.method == "GET":
        state = drawer_state(workspace=workspace, metric=metric, now=clock())
        return drawer(request, TEMPLATE, _context(request, state, DrawerForm.of_state(state)))
    form = DrawerForm.sent(request.POST)
    changes = form.read(effective=EFFECTIVE.get(request.POST.get("when", "")))
    if changes is not None:
        try:
            outcome = save_drawer(
                workspace=workspace, metric=metric, changes=changes, user=user_of(request), clock=clock
            )
            return _saved(request, workspace, metric, outcome)
        except EffectiveNeeded:
            refusal = _refused_at_all(request, workspace, metric, changes)
            if refusal is None:
                return _confirmation(request, workspace, metric, changes, form)
            _show(form, refusal)
        except Restricted:
            raise
        except HeadroomError as refusal:
            _show(form, refusal)
    state = drawer_state(workspace=workspace, metric=metric, now=clock())
    answer = drawer(request, TEMPLATE, _context(request, state, form), has_errors=True)
    # The refusal stands in the drawer: the confirmation above it has had its answer.
    return trigger_client_event(answer, "popup:close", {})


@require_GET
@workspace_page
def usage_price(request: HttpRequest, workspace: Workspace, metric_key: str) -> HttpResponse:
    """The price beside a number, while it is typed (spec 3.8). `?for=` alert or limit, with the number in its field."""
    metric = _metric(metric_key)
    field = "limit" if request.GET.get("for") == "limit" else "threshold"
    typed = request.GET.get(field, "")
    account = workspace.account
    costs = costs_of(account=account, metric=metric, workspace=workspace, now=clock_of(account)())
    context = _price(costs, account.currency, field, typed)
    return render(request, "components/price.html", context)


@require_GET
@workspace_page
def usage_restricted(request: HttpRequest, workspace: Workspace, metric_key: str) -> HttpResponse:
    """The pop-up that a read-only control opens (spec 1.3); `?for=` alerts, limit or, without it, both."""
    _metric(metric_key)
    flags = {"alerts": ["can_manage_alerts"], "limit": ["can_manage_limits"]}.get(
        request.GET.get("for", ""), ["can_manage_alerts", "can_manage_limits"]
    )
    return restricted_page(request, restricted(workspace=workspace, flags=flags), attempted=False)


def _metric(key: str) -> Metric:
    found = next(iter(_METRIC(key=key)), None) if "\x00" not in key else None
    if found is None or not (found.supports_alerts or found.supports_limit):
        raise Http404
    return found


# --- What the drawer shows ---


def _context(request: HttpRequest, state: DrawerState, form: DrawerForm) -> dict[str, Any]:
    workspace, metric = state.workspace, state.metric
    user = user_of(request)
    address = reverse("usage_drawer", args=[workspace.key, metric.key])
    asks = reverse("usage_restricted", args=[workspace.key, metric.key])
    rights = rights_of(user=user, workspace=workspace)
    may_alert = rights.here("can_manage_alerts")
    may_limit = rights.here("can_manage_limits")
    may_plan = rights.anywhere("can_manage_alerts")
    may_save = may_alert or (may_limit and metric.supports_limit) or (may_plan and state.has_plan_levels)
    missing = [] if may_alert else [PERMISSIONS["can_manage_alerts"]]
    missing += [PERMISSIONS["can_manage_limits"]] if metric.supports_limit and not may_limit else []
    account, now = workspace.account, clock_of(workspace.account)()
    costs = costs_of(
        account=account, metric=metric, workspace=workspace, now=now, period=state.period, terms=state.terms
    )
    currency = account.currency
    zone = state.period.zone
    return shell_context(request, workspace, "usage") | {
        "state": state,
        "so_far": figure(state.quantity),
        "metric": metric,
        "agent": metric.agent_name,
        "form": form,
        "action": address,
        "close_url": f"{reverse('usage', args=[workspace.key])}#{metric.key}",
        "may_alert": may_alert,
        "may_plan": may_plan,
        "may_limit": may_limit,
        "restricted_url": "" if may_save else asks,
        "asks_alerts": f"{asks}?for=alerts",
        "asks_limit": f"{asks}?for=limit",
        "missing": missing,
        "included": state.terms.included if state.terms and not state.terms.is_unlimited else None,
        "included_word": "contracted" if state.terms and state.terms.kind == CONTRACTED else "included",
        "alert_price": _price(costs, currency, "threshold", form.threshold),
        "limit_price": _price(costs, currency, "limit", form.limit) if metric.supports_limit else None,
        "price_url": reverse("usage_price", args=[workspace.key, metric.key]),
        "billing_url": f"{reverse('billing', args=[workspace.key])}#billing-contacts",
        "people": [
            {
                "name": contact.name or contact.email,
                "email": contact.email,
                "is_person": contact.teammate_id is not None,
            }
            for contact in state.contacts
        ],
        "told": _told(state),
        "records": _records(state, now=now),
        "zone": zone,
        "starts_on": local_day(state.next_starts_at, zone),
        "is_telephony": metric.key == "voice_resolutions",
    }


def _records(state: DrawerState, *, now: datetime) -> list[SettingRecord]:
    """Since when the alert, the limit and the plan alerts are what they are, and who made them so."""
    alert, limit = state.alert.in_force, state.limit.in_force
    held = [
        Setting("alert.changed", f"Alert at {number(alert.threshold)}", alert.from_period)
        if alert is not None and alert.threshold is not None
        else Setting("alert.changed", "No alert"),
        Setting("limit.changed", f"Limit of {number(limit.limit)}", limit.from_period)
        if limit is not None and limit.limit is not None
        else Setting("limit.changed", "No limit"),
        Setting("plan_alert.changed", f"Plan alerts {'on' if state.plan_alert else 'off'}"),
    ]
    return records_of(
        account=state.workspace.account, workspace=state.workspace, subject=state.metric.key, settings=held, now=now
    )


def _told(state: DrawerState) -> list[Notification]:
    """What was told of the metric in the running period, newest first."""
    place = state.workspace
    return _TOLD(account=place.account_id, workspace=place.pk, metric=state.metric.pk, period=state.period.starts_at)


def _price(costs: Callable[[Decimal], CostAt], currency: str, field: str, typed: str) -> dict[str, Any]:
    """The context of components/price.html: the account's charge with the workspace at the typed number."""
    context = {"id": f"{field}-price", "for_id": field, "amount": "", "text": ""}
    try:
        quantity = read_number(typed, at_least=0)
    except ValueError:
        return context
    cost = costs(quantity)
    if cost.terms is None:
        return context | {"text": "Not part of your plan: nothing is charged"}
    amount = money(cost.additional, currency)
    has_floor = cost.terms.kind in (CONTRACTED, INCLUDED)
    return context | {
        "amount": f"+ {amount}" if has_floor else amount,
        "text": _above(cost.terms) + _beside(cost.others),
    }


def _above(terms: MetricTerms) -> str:
    if terms.kind == UNLIMITED:
        return "unlimited, never charged"
    if terms.kind == CONTRACTED and terms.included is not None:
        return f"above the {number(terms.included)} contracted"
    if terms.kind == INCLUDED and terms.included is not None:
        return f"above the {number(terms.included)} included"
    return "at the end of the period"


def _beside(others: tuple[tuple[Workspace, Decimal], ...]) -> str:
    """“with Birch at 92”: whose usage counts too."""
    if not others:
        return ""
    if len(others) <= 2:
        return ", with " + " and ".join(f"{workspace.name} at {figure(used)}" for workspace, used in others)
    together = sum((used for _, used in others), start=Decimal(0))
    return f", with {len(others)} other workspaces at {figure(together)}"


# --- Saving ---


def _show(form: DrawerForm, refusal: HeadroomError) -> None:
    sentence = f"The limit {refusal.detail}." if isinstance(refusal, LimitBelowIncluded) else refusal.detail
    form.show_error(refusal.field or "form", sentence)


def _refused_at_all(
    request: HttpRequest, workspace: Workspace, metric: Metric, changes: DrawerChanges
) -> HeadroomError | None:
    """Whether the limit would be refused even from the next period on: then there is nothing to confirm. The saving
    itself is tried and taken back, so that the two can never disagree."""
    try:
        with transaction.atomic():
            save_drawer(
                workspace=workspace,
                metric=metric,
                changes=changes.scheduled(),
                user=user_of(request),
                clock=clock_of(workspace.account),
            )
            transaction.set_rollback(True)
    except HeadroomError as refusal:
        return refusal
    return None


def _confirmation(
    request: HttpRequest, workspace: Workspace, metric: Metric, changes: DrawerChanges, form: DrawerForm
) -> HttpResponse:
    """When should the new limit start? (spec 4.1)"""
    state = drawer_state(workspace=workspace, metric=metric, now=clock_of(workspace.account)())
    starts_on = local_day(state.next_starts_at, state.period.zone)
    context = shell_context(request, workspace, "usage") | {
        "limit": changes.limit,
        "metric": metric.name,
        "agent": metric.agent_name or metric.name,
        "starts_on": starts_on,
        "until": starts_on,
        "used": figure(state.quantity) if changes.limit is not None and state.quantity >= changes.limit else None,
        "action": reverse("usage_drawer", args=[workspace.key, metric.key]),
        "close_url": reverse("usage_drawer", args=[workspace.key, metric.key]),
        "fields": form.repeated(),
    }
    answer = render(request, "components/confirm_limit.html", context)
    return reswap(retarget(answer, "#popup"), "innerHTML") if is_fragment_request(request) else answer


def _saved(request: HttpRequest, workspace: Workspace, metric: Metric, outcome: DrawerSaved) -> HttpResponse:
    message = _message(outcome)
    tone = "ok" if message != UNCHANGED else "info"
    if is_fragment_request(request):
        return saved(message=message, tone=tone, events={"usage:changed": {"metric": metric.key}})
    messages.add_message(request, messages.SUCCESS if tone == "ok" else messages.INFO, message)
    return redirect(f"{reverse('usage', args=[workspace.key])}#{metric.key}")


def _message(outcome: DrawerSaved) -> str:
    """What was saved and from when it holds."""
    zone = outcome.period.zone
    changed, told = outcome.changed, []
    if changed.alert:
        told.append(_alert_words(outcome.alert, zone))
    if changed.plan_alert:
        told.append("Plan alerts are changed.")
    if changed.limit:
        told.append(_limit_words(outcome.limit, zone))
    return f"Saved. {' '.join(told)}" if told else UNCHANGED


def _alert_words(state: State[AlertSetting], zone: str) -> str:
    later = state.scheduled
    if later is not None:
        on = short_date(local_day(later.from_period, zone))
        return (
            f"The alert at {number(later.threshold)} starts on {on}." if later.threshold else f"The alert ends on {on}."
        )
    held = state.in_force
    return f"The alert at {number(held.threshold)} is on." if held and held.threshold else "The alert is off."


def _limit_words(state: State[LimitSetting], zone: str) -> str:
    later = state.scheduled
    if later is not None:
        on = short_date(local_day(later.from_period, zone))
        return (
            f"Your limit of {number(later.limit)} starts on {on}."
            if later.limit is not None
            else f"The limit ends on {on}."
        )
    held = state.in_force
    return f"The limit of {number(held.limit)} is in force." if held and held.limit is not None else "The limit is off."
