"""Taking usage back or putting it right, in admin (spec 2.6, 7.2): one event, what it counts now, and a form."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse

from usage.admin.base import actor_of
from usage.admin.lookup import Scope
from usage.clocks import clock_of
from usage.errors import HeadroomError
from usage.models import Account
from usage.selectors.lookup import find_event
from usage.services.corrections import amend_event, void_event

VOID, AMEND = "void", "amend"


class CorrectionForm(forms.Form):
    """What to do with the event. The original stays; a correcting row is added beside it."""

    what = forms.ChoiceField(
        label="Correction",
        choices=[(AMEND, "It counts another quantity"), (VOID, "It does not count at all")],
        widget=forms.RadioSelect,
        initial=AMEND,
    )
    quantity = forms.DecimalField(
        max_digits=30,
        decimal_places=6,
        required=False,
        min_value=Decimal(0),
        help_text="Instead of what it counts now.",
    )
    reason = forms.CharField(max_length=500, help_text="Kept in the audit trail.")

    def clean(self) -> dict[str, Any]:
        typed: dict[str, Any] = super().clean() or {}
        if typed.get("what") == AMEND and not typed.get("quantity") and "quantity" not in self.errors:
            self.add_error("quantity", "Enter a quantity greater than 0.")
        return typed


def correct_event(request: HttpRequest) -> HttpResponse:
    """The event of `account`, `source` and `id` with its corrections; POST adds one and shows what it came to."""
    if not request.user.has_perm("usage.change_usageevent"):
        raise PermissionDenied
    named = {name: request.GET.get(name, "") for name in ("account", "source", "id")}
    broken = any("\x00" in text for text in named.values())
    account = None if broken else Account.objects.filter(key=named["account"]).first()
    rows = find_event(account_id=account.pk, source=named["source"], event_id=named["id"]) if account else []
    if account is None or not rows:
        messages.error(request, "There is no such event.")
        return redirect("admin:usage_lookup")
    form = CorrectionForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _correct(request, account, named, form):
        return redirect(f"{reverse('admin:usage_correct')}?{urlencode(named)}")
    scope = Scope(account)
    metric = scope.metrics[rows[0].metric_id]
    context = {
        **admin.site.each_context(request),
        "title": "Correct an event",
        "form": form,
        "account": account,
        "named": named,
        "metric": metric,
        "workspace": scope.place(rows[0].workspace_id),
        "period": scope.period(rows[0].period),
        "happened": scope.at(rows[0].occurred_at),
        "zone": scope.zone,
        "counts": scope.shown(sum((row.quantity for row in rows), Decimal(0)), metric.pk),
        "is_void": any(row.is_void for row in rows),
        "rows": [(row.kind, scope.shown(row.quantity, metric.pk), scope.at(row.received_at)) for row in rows],
        "lookup": f"{reverse('admin:usage_lookup')}?{urlencode({'account': account.key})}",
    }
    return TemplateResponse(request, "admin/usage_correct.html", context, status=422 if form.errors else 200)


def _correct(request: HttpRequest, account: Account, named: dict[str, str], form: CorrectionForm) -> bool:
    typed = form.cleaned_data
    call: dict[str, Any] = {
        "account": account,
        "source": named["source"],
        "event_id": named["id"],
        "reason": typed["reason"],
        "clock": clock_of(account),
        "by": actor_of(request),
    }
    try:
        if typed["what"] == VOID:
            done = void_event(**call)
        else:
            done = amend_event(**call, quantity=typed["quantity"])
    except HeadroomError as refusal:
        form.add_error(refusal.field if refusal.field in form.fields else None, refusal.detail)
        return False
    messages.success(request, f"It counted {done.quantity_before:f}, now {done.quantity:f}.")
    return True
