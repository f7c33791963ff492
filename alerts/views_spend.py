"""The spend alert, set on the billing page: a threshold in money on the charges so far (spec 3.10)."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from alerts.forms import read_amount
from alerts.models import Notification
from alerts.selectors.changes import Setting, records_of
from alerts.selectors.settings import AlertSetting, State, spend_alert_of
from alerts.services.alerts import set_spend_alert
from billing.money import plain_money
from billing.selectors import charges_so_far
from config.web import drawer, is_fragment_request, saved
from usage.access import require_flag, shell_context, user_of, workspace_page
from usage.clocks import clock_of
from usage.errors import InvalidInput
from usage.formats import money, short_date
from usage.models import Workspace
from usage.periods import local_day
from usage.services.audit import Actor
from usage.services.periods import next_period_of, open_period
from usage.written import Written

FLAG: Final = "can_manage_billing"
_TOLD: Final = Written(
    lambda account, period: Notification.objects.filter(
        account=account, kind=Notification.Kind.SPEND_ALERT, period=period
    ).order_by("-at", "-id")
)


@require_http_methods(["GET", "POST"])
@workspace_page
def spend_alert(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The drawer, and its saving. Needs *Can manage billing* in any workspace of the account (spec 1.2)."""
    require_flag(
        request,
        workspace,
        FLAG,
        doing="set the spend alert",
        action="spend_alert.refused",
        subject="spend",
        page="billing",
        anywhere_in_account=True,
    )
    account, clock = workspace.account, clock_of(workspace.account)
    if request.method == "GET":
        return drawer(request, "alerts/spend_drawer.html", _context(request, workspace))
    is_on = "alert_on" in request.POST
    typed = str(request.POST.get("threshold", ""))[:64]
    also_50_80 = "also_50_80" in request.POST
    try:
        state = set_spend_alert(
            account=account,
            threshold=read_amount(typed) if is_on else None,
            also_50_80=also_50_80,
            clock=clock,
            by=Actor.of_user(user_of(request)),
        )
    except (ValueError, InvalidInput) as error:
        sentence = error.detail if isinstance(error, InvalidInput) else str(error)
        sent = {"is_on": is_on, "threshold": typed, "also_50_80": also_50_80, "errors": [sentence]}
        return drawer(
            request, "alerts/spend_drawer.html", _context(request, workspace) | {"form": sent}, has_errors=True
        )
    message = _message(state, account.currency, open_period(account_id=account.pk, at=clock()).zone)
    if is_fragment_request(request):
        return saved(message=message, events={"billing:changed": {}})
    messages.success(request, message)
    return redirect("billing", workspace_key=workspace.key)


def _context(request: HttpRequest, workspace: Workspace) -> dict[str, Any]:
    account = workspace.account
    now = clock_of(account)()
    period = open_period(account_id=account.pk, at=now)
    state = spend_alert_of(account=account, period=period.starts_at)
    shown, held = state.scheduled or state.in_force, state.in_force
    what = "No spend alert"
    if held is not None and held.threshold is not None:
        what = f"Spend alert at {money(held.threshold, account.currency)}"
    setting = Setting("spend_alert.changed", what, held.from_period if held else None)
    return shell_context(request, workspace, "billing") | {
        "state": state,
        "form": {
            "is_on": shown is not None and shown.is_on,
            "threshold": plain_money(shown.threshold, account.currency) if shown and shown.threshold else "",
            "also_50_80": shown is not None and shown.also_50_80,
            "errors": [],
        },
        "so_far": charges_so_far(account=account, period=period, now=now).so_far,
        "told": _TOLD(account=account.pk, period=period.starts_at),
        "records": records_of(account=account, workspace=None, subject="spend", settings=[setting], now=now),
        "zone": period.zone,
        "starts_on": local_day(next_period_of(period)[0], period.zone),
        "action": reverse("spend_alert", args=[workspace.key]),
        "close_url": reverse("billing", args=[workspace.key]),
    }


def _message(state: State[AlertSetting], currency: str, zone: str) -> str:
    later = state.scheduled
    if later is not None and later.threshold is not None:
        on = short_date(local_day(later.from_period, zone))
        return f"Saved. The spend alert at {money(later.threshold, currency)} starts on {on}."
    held = state.in_force
    if held is None or held.threshold is None:
        return "Saved. The spend alert is off."
    return f"Saved. The spend alert at {money(held.threshold, currency)} is on."
