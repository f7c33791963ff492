"""Who pays and who gets the mail: billing profiles and contacts, and what an account's page can do about money."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce, Now
from django.http import HttpRequest

from billing.models import BillingContact, BillingProfile, Subscription
from billing.services.contacts import add_contact, change_contact, remove_contact
from usage.admin import registry
from usage.admin.base import HeadroomAdmin, actor_of
from usage.admin.by_service import ServiceAdmin, ServiceForm
from usage.admin.columns import EMPTY, chosen, linked, list_link
from usage.models import Account
from usage.services.audit import Actor

registry.ACCOUNT.lists += [
    ("Billing profile", "billing_billingprofile"),
    ("Billing contacts", "billing_billingcontact"),
    ("Subscription", "billing_subscription"),
    ("Add-ons", "billing_addonsubscription"),
    ("Contracts", "billing_contract"),
    ("Terms in force", "billing_periodterms"),
    ("Invoices", "billing_invoice"),
    ("Billed usage", "billing_billedusage"),
]


_then = Coalesce(OuterRef("sandbox_now"), Now())
_in_force = Subscription.objects.filter(account=OuterRef("pk"), period__lte=_then).order_by("-period", "-starts_on")
registry.ACCOUNT.annotations["plan_name"] = Subquery(_in_force.values("plan__name")[:1])


@admin.display(description="plan", ordering="plan_name")
def plan_in_force(account: Account) -> Any:
    name = getattr(account, "plan_name", None)
    return list_link("billing_subscription", name, account__id__exact=account.pk) if name else EMPTY


registry.ACCOUNT.columns.append(plan_in_force)


class ContactForm(ServiceForm):
    class Meta:
        model = BillingContact
        fields = ("account", "email", "name", "teammate")

    def apply(self, by: Actor) -> BillingContact:
        typed = self.cleaned_data
        return add_contact(
            account=typed["account"], email=typed["email"], name=typed["name"], teammate=typed["teammate"], by=by
        )


class ContactChangeForm(ServiceForm):
    class Meta:
        model = BillingContact
        fields = ("email", "name")

    def apply(self, by: Actor) -> BillingContact:
        return change_contact(
            contact=self.instance, email=self.cleaned_data["email"], name=self.cleaned_data["name"], by=by
        )


@admin.register(BillingContact)
class BillingContactAdmin(ServiceAdmin):
    """People who get every alert, limit and invoice e-mail of the account."""

    noun = "contact"
    form = ContactChangeForm
    add_form = ContactForm
    add_fields = ("account", "email", "name", "teammate")
    fields = ("account", "email", "name", "teammate", "created_at")
    list_display = ("email", "name", linked("account"), linked("teammate"), "created_at")
    list_filter = (chosen("account"),)
    list_select_related = ("account", "teammate__user", "teammate__workspace")
    search_fields = ("email", "name", "account__key", "account__name")
    autocomplete_fields = ("account", "teammate")
    readonly_fields = ("account", "teammate", "created_at")

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        remove_contact(contact=obj, by=actor_of(request))


@admin.register(BillingProfile)
class BillingProfileAdmin(HeadroomAdmin):
    """The buyer as it is printed on the next documents; issued ones stay as they are."""

    noun = "billing_profile"
    list_display = ("account", "legal_name", "country", "vat_id", "system", "tax", "payment_days", "grace_hours")
    list_filter = (chosen("account"), "system", "reverse_charge", "country")
    list_select_related = ("account",)
    search_fields = ("account__key", "account__name", "legal_name", "vat_id", "reference")
    autocomplete_fields = ("account",)
    fieldsets = (
        (
            None,
            {"fields": ("account", "legal_name", "address", "postal_code", "city", "country", "vat_id", "reference")},
        ),
        ("Billing", {"fields": ("system", "grace_hours", "payment_days", "paper")}),
        ("Tax", {"fields": ("tax_name", "tax_rate", "reverse_charge")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("account", "system") if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="tax", ordering="tax_rate")
    def tax(self, profile: BillingProfile) -> str:
        return "reverse charge" if profile.reverse_charge else f"{profile.tax_rate.normalize():f}% {profile.tax_name}"
