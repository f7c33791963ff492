"""What the page of an account can do about its plan, add-ons and invoices. Each asks first and is audited by its
service."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpRequest

from billing.models import AddOn, BillingProfile, Plan
from billing.selectors.preview import preview_change
from billing.services.closing import close_account
from billing.services.profiles import set_system
from billing.services.purchases import add_add_on, end_add_on
from billing.services.subscriptions import cancel, change_plan, move_to_version
from usage import formats
from usage.admin import registry
from usage.admin.actions import ActionForm, confirmed
from usage.admin.base import actor_of
from usage.clocks import clock_of
from usage.errors import HeadroomError
from usage.models import Account


class PlanForm(ActionForm):
    """Plans of the accounts' currency, each with what it would mean for the account."""

    plan = forms.ModelChoiceField(Plan.objects.none(), widget=forms.RadioSelect, empty_label=None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        currencies = {account.currency for account in self.objects}
        plans = Plan.objects.filter(is_offered=True, currency__in=currencies)
        field: Any = self.fields["plan"]
        field.queryset = plans
        field.label_from_instance = self._label

    def _label(self, plan: Plan) -> str:
        price = f"{plan}, {formats.unit_price(plan.price, plan.currency)} a {plan.get_interval_display().lower()}"
        if len(self.objects) != 1:
            return price
        account = self.objects[0]
        try:
            preview = preview_change(account=account, plan=plan, now=clock_of(account)())
        except HeadroomError as refusal:
            return f"{price}: {refusal.detail}"
        zone = account.clocks.latest("starts_at").zone
        return f"{price}: {preview.kind}, from {formats.local_minute(preview.takes_effect_at, zone)} ({zone})"


class VersionForm(ActionForm):
    plan = forms.ModelChoiceField(Plan.objects.order_by("key", "-version"), label="Plan version")


class AddOnForm(ActionForm):
    add_on = forms.ModelChoiceField(AddOn.objects.filter(is_offered=True), label="Add-on")


class HeldAddOnForm(ActionForm):
    add_on = forms.ModelChoiceField(AddOn.objects.all(), label="Add-on")


@confirmed(
    description="Change plan…",
    text="An upgrade holds at once, for the whole running period's overage; everything else from the next billing "
    "period on. The last change wins, and choosing the plan in force takes a scheduled change or a cancellation back.",
    form=PlanForm,
)
def change_plans(modeladmin: Any, request: HttpRequest, account: Account, typed: dict[str, Any]) -> str:
    changed = change_plan(account=account, plan=typed["plan"], clock=clock_of(account), by=actor_of(request))
    return f"{changed.plan} from {formats.short_date(changed.starts_on)}."


@confirmed(
    description="Move to another version of the plan…",
    text="Accounts keep the version they were sold until they are moved. The move holds from the next billing period "
    "on, whatever it costs.",
    form=VersionForm,
)
def move_versions(modeladmin: Any, request: HttpRequest, account: Account, typed: dict[str, Any]) -> str:
    moved = move_to_version(account=account, plan=typed["plan"], clock=clock_of(account), by=actor_of(request))
    return f"{moved.plan} from {formats.short_date(moved.starts_on)}."


@confirmed(
    description="Cancel the subscription…",
    text="The plan, its add-ons and contracts end with the running billing period, and so does the account: usage "
    "after it is refused. Until then a change of plan takes the cancellation back.",
)
def cancel_subscriptions(modeladmin: Any, request: HttpRequest, account: Account, typed: dict[str, Any]) -> str:
    ends_at = cancel(account=account, clock=clock_of(account), by=actor_of(request))
    return f"ends at {ends_at:%Y-%m-%d %H:%M} UTC."


@confirmed(
    description="Add an add-on…",
    text="It starts with the running billing period, at full price and amount.",
    form=AddOnForm,
)
def add_add_ons(modeladmin: Any, request: HttpRequest, account: Account, typed: dict[str, Any]) -> str:
    add_add_on(account=account, add_on=typed["add_on"], clock=clock_of(account), by=actor_of(request))
    return f"has {typed['add_on']}."


@confirmed(
    description="End an add-on…",
    text="It ends with the running billing period.",
    form=HeldAddOnForm,
)
def end_add_ons(modeladmin: Any, request: HttpRequest, account: Account, typed: dict[str, Any]) -> str:
    held = end_add_on(account=account, add_on=typed["add_on"], clock=clock_of(account), by=actor_of(request))
    return f"{typed['add_on']} ends at {held.until_period:%Y-%m-%d %H:%M} UTC."


@confirmed(
    description="Close now…",
    text="Issues the invoices of all billing periods that have ended, without waiting for the account's grace. An "
    "issued invoice never changes; usage that arrives later is on the next one.",
)
def close_now(modeladmin: Any, request: HttpRequest, account: Account, typed: dict[str, Any]) -> str:
    issued = close_account(account_id=account.pk, clock=clock_of(account), by=actor_of(request), wait=timedelta(0))
    if not issued:
        return "nothing to bill: every period that has ended is billed."
    return f"issued {', '.join(invoice.number for invoice in issued)}."


@confirmed(
    description="Move to the exact system…",
    text="From the next invoice on usage is billed as counted when the invoice is created. What the previous system "
    "had left for later is on it too: nothing is lost or billed twice.",
)
def move_to_exact(modeladmin: Any, request: HttpRequest, account: Account, typed: dict[str, Any]) -> str:
    set_system(account=account, system=BillingProfile.System.EXACT, by=actor_of(request))
    return "is on the exact system."


registry.ACCOUNT.actions += [
    change_plans,
    move_versions,
    cancel_subscriptions,
    add_add_ons,
    end_add_ons,
    close_now,
    move_to_exact,
]
