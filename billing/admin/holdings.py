"""What accounts have bought: subscriptions, add-ons, contracts, and the terms that follow from them (spec 5.3)."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from billing.admin.document_actions import end_contracts
from billing.admin.plans import FURTHER
from billing.models import AddOn, AddOnSubscription, Contract, PeriodTerms, Plan, Subscription
from billing.services.purchases import add_add_on, set_contract
from billing.services.subscriptions import start_subscription
from usage.admin.base import ReadOnlyAdmin
from usage.admin.by_service import ServiceAdmin, ServiceForm
from usage.admin.columns import chosen, facts, filled, first_day, linked, money, quantity
from usage.clocks import clock_of
from usage.models import Account, Period
from usage.services.audit import Actor
from usage.services.periods import next_period_of, open_period

RUNNING, NEXT, FIRST = "running", "next", "first"
PERIOD = first_day("period", "billing period from")
FROM, UNTIL = first_day("from_period"), first_day("until_period")


def start_of(account: Account, which: str) -> Any:
    """The start of the account's first, running or next billing period (an instant)."""
    if which == FIRST:
        return Period.objects.filter(account=account).earliest("starts_at").starts_at
    period = open_period(account_id=account.pk, at=clock_of(account)())
    return period.starts_at if which == RUNNING else next_period_of(period)[0]


class SubscriptionForm(ServiceForm):
    begins = forms.ChoiceField(
        label="From",
        choices=[(FIRST, "the first billing period"), (RUNNING, "the running billing period")],
    )
    add_ons = forms.ModelMultipleChoiceField(
        AddOn.objects.filter(is_offered=True), required=False, widget=forms.CheckboxSelectMultiple, label="Add-ons"
    )

    class Meta:
        model = Subscription
        fields = ("account", "plan")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "plan" in self.fields:
            self.fields["plan"].queryset = Plan.objects.filter(is_offered=True)  # type: ignore[attr-defined]
            self.fields["plan"].required = True

    def apply(self, by: Actor) -> Subscription:
        typed = self.cleaned_data
        return start_subscription(
            account=typed["account"],
            plan=typed["plan"],
            period=start_of(typed["account"], typed["begins"]),
            add_ons=list(typed["add_ons"]),
            by=by,
        )


@admin.register(Subscription)
class SubscriptionAdmin(ServiceAdmin):
    """Plans of accounts as dated rows. Later changes are actions on the account: an upgrade holds at once, everything
    else from the next period on."""

    add_form = SubscriptionForm
    add_fields = ("account", "plan", "begins", "add_ons")
    fields = (linked("account"), linked("plan"), "starts_on", PERIOD, "created_at")
    list_display = (linked("account"), "plan_or_none", "starts_on", PERIOD, "created_at")
    list_display_links = ("starts_on",)
    list_filter = (chosen("account"), "plan")
    list_select_related = ("account", "plan")
    search_fields = ("account__key", "account__name", "plan__key", "plan__name")
    autocomplete_fields = ("account",)
    ordering = ("account", "-period", "-starts_on")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="plan", ordering="plan")
    def plan_or_none(self, subscription: Subscription) -> str:
        return str(subscription.plan) if subscription.plan else "cancelled"


class AddOnForm(ServiceForm):
    class Meta:
        model = AddOnSubscription
        fields = ("account", "add_on")
        labels = {"add_on": "Add-on"}

    def apply(self, by: Actor) -> AddOnSubscription:
        account = self.cleaned_data["account"]
        return add_add_on(account=account, add_on=self.cleaned_data["add_on"], clock=clock_of(account), by=by)


@admin.register(AddOnSubscription)
class AddOnSubscriptionAdmin(ServiceAdmin):
    """Add-ons of accounts, in whole billing periods, at full price from the running period on."""

    add_form = AddOnForm
    add_fields = ("account", "add_on")
    fields = (linked("account"), linked("add_on", "add-on"), FROM, UNTIL)
    list_display = (linked("account"), linked("add_on", "add-on"), FROM, UNTIL)
    list_display_links = (FROM,)
    list_filter = (chosen("account"), "add_on", filled("until_period", "end", empty="Open", filled="Has an end"))
    list_select_related = ("account", "add_on")
    search_fields = ("account__key", "account__name", "add_on__key", "add_on__name")
    autocomplete_fields = ("account",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ContractForm(ServiceForm):
    begins = forms.ChoiceField(
        label="From",
        choices=[(RUNNING, "the running billing period"), (NEXT, "the next billing period"), (FIRST, "the first one")],
        initial=NEXT,
    )

    class Meta:
        model = Contract
        fields = ("account", "metric", "quantity", "unit_price", "overage_price", "until_period")
        field_classes = {"until_period": forms.SplitDateTimeField}

    def validate_constraints(self) -> None:
        """Left to the service, which first ends the contract that holds."""

    def apply(self, by: Actor) -> Contract:
        typed = self.cleaned_data
        return set_contract(
            account=typed["account"],
            metric=typed["metric"],
            quantity=typed["quantity"],
            unit_price=typed["unit_price"],
            overage_price=typed["overage_price"],
            from_period=start_of(typed["account"], typed["begins"]),
            until_period=typed["until_period"],
            by=by,
        )


@admin.register(Contract)
class ContractAdmin(ServiceAdmin):
    """Contracted amounts. A new one ends the one before; always charged, used or not."""

    add_form = ContractForm
    add_fields = ("account", "metric", "quantity", "unit_price", "overage_price", "begins", "until_period")
    list_display = (
        linked("account"),
        "metric",
        quantity("quantity", stored=False),
        money("unit_price", currency="account.currency", exact=True),
        money("overage_price", currency="account.currency", exact=True),
        FROM,
        UNTIL,
    )
    list_display_links = (FROM,)
    fields = list_display
    list_filter = (chosen("account"), "metric", filled("until_period", "end", empty="Open", filled="Has an end"))
    list_select_related = ("account", "metric")
    search_fields = ("account__key", "account__name", "metric__key", "metric__name")
    autocomplete_fields = ("account", "metric")
    actions = (end_contracts,)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else ()


@admin.register(PeriodTerms)
class PeriodTermsAdmin(ReadOnlyAdmin):
    """Terms in force as dated rows; written only when plan, add-on or contract change."""

    list_display = (
        linked("account"),
        "metric",
        FROM,
        "kind_of_terms",
        quantity("included", stored=False),
        quantity("contracted", stored=False),
        money("unit_price", currency="account.currency", exact=True),
        "plan",
        "is_active",
    )
    list_display_links = (FROM,)
    list_filter = ("metric", "is_active", "is_unlimited", chosen("account"))
    list_select_related = ("account", "metric", "plan")
    search_fields = ("account__key", "account__name", "metric__key", "metric__name")
    ordering = ("account", "metric", "-from_period")
    fields = (
        linked("account"),
        linked("metric"),
        FROM,
        "kind_of_terms",
        "is_active",
        linked("plan"),
        quantity("included", stored=False),
        "model",
        money("unit_price", currency="account.currency", exact=True),
        facts("tiers"),
        FURTHER,
        quantity("contracted", stored=False),
        money("contracted_price", currency="account.currency", exact=True),
    )

    @admin.display(description="terms")
    def kind_of_terms(self, terms: PeriodTerms) -> str:
        return terms.kind.replace("_", "-") if terms.is_active else "ended"
