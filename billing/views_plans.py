"""Plans side by side, the preview of a change, and the change (spec 5.5, 6.3)."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from billing.charges import MetricTerms
from billing.models import PeriodTerms, Plan, Subscription
from billing.selectors import ChangePreview, frame_of, offered_plans, plan_for, preview_change
from billing.selectors.changes import UPGRADE
from billing.selectors.holdings import holdings_of, metric_terms
from billing.services.subscriptions import change_plan
from config.web import drawer, is_fragment_request, saved
from usage.access import require_flag, shell_context, user_of, workspace_page
from usage.clocks import clock_of
from usage.errors import HeadroomError
from usage.formats import number, short_date, unit_price
from usage.models import Workspace
from usage.periods import local_day
from usage.permissions import has_flag
from usage.services.audit import Actor

FLAG: Final = "can_manage_billing"


@require_GET
@workspace_page
def plans(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """What the account may choose, by the terms it would have under each plan."""
    account = workspace.account
    period = frame_of(account=account, now=clock_of(account)()).period
    offered = offered_plans(account)
    holdings = holdings_of(account, plans=offered)
    held = holdings.plan_in(period.starts_at)
    choices = [
        {
            "plan": plan,
            "is_held": held is not None and plan.pk == held.pk,
            "terms": [
                words_of_terms(metric_terms(row), account.currency)
                for row in sorted(
                    holdings.terms_in(period.starts_at, plan=plan).values(),
                    key=lambda row: (row.metric.position, row.metric.key),
                )
            ],
        }
        for plan in offered
    ]
    context = shell_context(request, workspace, "billing") | {
        "crumbs": [("Settings", None), ("Subscription", None), ("Billing", reverse("billing", args=[workspace.key]))],
        "choices": choices,
        "held": held,
        "currency": account.currency,
    }
    return render(request, "billing/plan_list.html", context)


@require_http_methods(["GET", "POST"])
@workspace_page
def plan_preview(request: HttpRequest, workspace: Workspace, plan_key: str) -> HttpResponse:
    """The lines of the change before the click, and the click. What is confirmed must be what was shown: with another
    version or another kind of change the preview comes again."""
    account, clock = workspace.account, clock_of(workspace.account)
    plan = next((each for each in offered_plans(account) if each.key == plan_key), None)
    if plan is None:
        raise Http404
    notice = ""
    if request.method == "POST":
        require_flag(
            request,
            workspace,
            FLAG,
            doing="change the plan",
            action="subscription.refused",
            subject=plan.key,
            page="billing",
            anywhere_in_account=True,
        )
        kind = preview_change(account=account, plan=plan, now=clock()).kind
        if (request.POST.get("version", ""), request.POST.get("kind", "")) == (str(plan.version), kind):
            try:
                changed = change_plan(account=account, plan=plan, clock=clock, by=Actor.of_user(user_of(request)))
                return _done(request, workspace, changed, is_upgrade=kind == UPGRADE)
            except HeadroomError as refusal:
                notice = refusal.detail
        else:
            notice = "The offer has changed since you opened it. Read it again, then confirm."
    preview = preview_change(account=account, plan=plan, now=clock())
    context = _context(request, workspace, plan, preview) | {"notice": notice}
    return drawer(request, "billing/plan_drawer.html", context, has_errors=bool(notice))


def words_of_terms(terms: MetricTerms, currency: str) -> dict[str, str]:
    """Terms as people compare them: what is included, and what more costs."""
    price = "" if terms.unit_price is None else unit_price(terms.unit_price, currency)
    if terms.rate is None:
        words = "unlimited"
    elif terms.included is None:
        words = f"{price} each"
    else:
        kind = "contracted" if terms.contracted_price is not None else "included"
        words = f"{number(terms.included)} {kind}" + (f", then {price}" if price else "")
    return {"name": terms.name, "words": words}


def _context(request: HttpRequest, workspace: Workspace, plan: Plan, preview: ChangePreview) -> dict[str, Any]:
    account = workspace.account
    period = frame_of(account=account, now=clock_of(account)()).period
    held = plan_for(account=account, period_start=period.starts_at)
    may_manage = has_flag(user=user_of(request), workspace=workspace, flag=FLAG, anywhere_in_account=True)
    return shell_context(request, workspace, "billing") | {
        "plan": plan,
        "preview": preview,
        "is_upgrade": preview.kind == UPGRADE,
        "is_held": held is not None and held.pk == plan.pk,
        "held": held,
        "currency": account.currency,
        "starts_on": local_day(preview.takes_effect_at, period.zone),
        "changes": [
            _change(before, after, account.currency) for before, after in preview.terms if _differ(before, after)
        ],
        "fields": [("version", str(plan.version)), ("kind", preview.kind)],
        "action": reverse("plan_preview", args=[workspace.key, plan.key]),
        "close_url": reverse("billing", args=[workspace.key]),
        "restricted_url": "" if may_manage else reverse("billing_restricted", args=[workspace.key]),
    }


def _change(before: PeriodTerms | None, after: PeriodTerms | None, currency: str) -> dict[str, str]:
    """What a metric's terms are now and would be; a metric without terms shows a dash."""
    now, then = (words_of_terms(metric_terms(row), currency) if row else None for row in (before, after))
    known = then or now or {"name": ""}
    return {
        "name": known["name"],
        "before": now["words"] if now else "–",
        "after": then["words"] if then else "–",
    }


def _differ(before: PeriodTerms | None, after: PeriodTerms | None) -> bool:
    if before is None or after is None:
        return before is not after
    return metric_terms(before) != metric_terms(after)


def _done(request: HttpRequest, workspace: Workspace, changed: Subscription, *, is_upgrade: bool) -> HttpResponse:
    name = changed.plan.name if changed.plan else "No plan"
    message = f"{name} is in force now." if is_upgrade else f"{name} holds from {short_date(changed.starts_on)} on."
    if is_fragment_request(request):
        return saved(message=message, events={"billing:changed": {}})
    messages.success(request, message)
    return redirect("billing", workspace_key=workspace.key)
