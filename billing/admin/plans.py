"""What can be bought: plans in versions, add-ons, their rates."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest

from billing.models import AddOn, Plan, Rate
from billing.models.plans import PriceModel
from billing.services.plans import is_add_on_held, is_held, save_add_on_rates, save_plan
from usage.admin.base import (
    Choices,
    EditableInline,
    HeadroomAdmin,
    ReadOnlyAdmin,
    RowForms,
    actor_of,
    choices_of,
)
from usage.admin.columns import EMPTY, Column, facts, linked, list_link, money, quantity
from usage.admin.inputs import PlainJsonField
from usage.formats import unit_price

PRICE = money("price", exact=True)
OFFERED = Choices((each.value, each.label) for each in (PriceModel.PER_UNIT, PriceModel.GRADUATED))  # spec 5.11


class TiersField(PlainJsonField):
    """No tiers are an empty field."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value == [] else super().prepare_value(value)

    def to_python(self, value: Any) -> Any:
        tiers = super().to_python(value)
        return [] if tiers is None else tiers


class RateForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Rate
        fields = ("metric", "included", "is_unlimited", "model", "unit_price", "tiers")
        field_classes = {"tiers": TiersField}
        widgets = {"tiers": forms.Textarea(attrs={"rows": 1, "cols": 14})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        held = self.instance.model
        if "model" in self.fields and held not in dict(OFFERED):
            field: Any = deepcopy(self.fields["model"])
            field.choices = [each for each in PriceModel.choices if each in OFFERED or each[0] == held]
            self.fields["model"] = field


class RatesFormSet(RowForms):
    """A metric has one rate. All rates are stored together, by a service."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.new_objects, self.changed_objects, self.deleted_objects = [], [], []  # Django's history asks for them

    def typed_rates(self) -> list[Rate]:
        """The rates that there shall be."""
        kept = (form for form in self.forms if form not in self.deleted_forms)
        return [form.instance for form in kept if form.has_changed() or form.instance.pk]

    def clean(self) -> None:
        super().clean()
        priced = set()
        for form in self.forms:
            counts = form.is_valid() and not form.cleaned_data.get("DELETE")
            metric = form.cleaned_data.get("metric") if counts else None
            if metric in priced:
                form.add_error("metric", "This metric has a rate above.")
            if metric is not None:
                priced.add(metric)


class RateInline(EditableInline):
    """What is included of a metric, and what more of it costs."""

    model = Rate
    form = RateForm
    formset = RatesFormSet
    fields = RateForm.Meta.fields
    verbose_name_plural = "rates: a metric without one is recorded, has no card and costs nothing"

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        formset: Any = super().get_formset(request, obj, **kwargs)
        fields = formset.form.base_fields
        if "model" in fields:
            fields["model"].choices = OFFERED
        field = fields.get("metric")
        if field is not None:
            field.choices = choices_of(field)
        return formset

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("metric", "plan", "add_on")


class AddOnRateInline(RateInline):
    """Rates of an add-on; of one that accounts hold they can only be read."""

    held_fields = (
        "metric",
        quantity("included", stored=False),
        "is_unlimited",
        "model",
        money("unit_price", currency="add_on.currency", exact=True),
        facts("tiers"),
    )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return super().get_fields(request, obj) if self.has_change_permission(request, obj) else self.held_fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if self.has_change_permission(request, obj) else self.held_fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and not (obj and _is_held(obj))

    has_add_permission = has_change_permission
    has_delete_permission = has_change_permission


def _is_held(add_on: Any) -> bool:
    """Asked many times while its page is drawn, so the row remembers."""
    if not hasattr(add_on, "is_held"):
        add_on.is_held = is_add_on_held(add_on)
    return bool(add_on.is_held)


@admin.register(Plan)
class PlanAdmin(HeadroomAdmin):
    """Saving a plan that accounts hold makes a new version; the accounts stay on theirs until they are moved."""

    list_display = (
        "name",
        "key",
        "version",
        PRICE,
        "interval",
        "includes_workflows",
        "is_offered",
        "accounts",
    )
    list_filter = ("is_offered", "interval", "currency", "includes_workflows")
    search_fields = ("key", "name")
    readonly_fields = ("version", "created_at")
    fields = (
        "name",
        "key",
        "version",
        "currency",
        "interval",
        "price",
        "includes_workflows",
        "is_offered",
        "position",
        "created_at",
    )
    inlines = (RateInline,)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.readonly_fields, "key") if obj else self.readonly_fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and super().has_delete_permission(request, obj) and not is_held(obj)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Plan and rates are stored together, in save_related."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        version = form.instance.version
        saved = save_plan(plan=form.instance, rates=formsets[0].typed_rates(), by=actor_of(request))
        if change and saved.version != version:
            messages.info(request, f"Accounts hold version {version}, so this is version {saved.version} now.")

    @admin.display(description="accounts")
    def accounts(self, plan: Plan) -> Any:
        return list_link("billing_subscription", "Subscriptions", plan__id__exact=plan.pk)


@admin.register(AddOn)
class AddOnAdmin(HeadroomAdmin):
    """What an account that holds it was sold stays: for another price create another add-on."""

    noun = "add_on"
    list_display = ("name", "key", PRICE, "is_offered", "accounts")
    list_filter = ("is_offered", "currency")
    search_fields = ("key", "name")
    fields = ("name", "key", "currency", "price", "is_offered")
    inlines = (AddOnRateInline,)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("name", "key", "currency", PRICE, "is_offered") if obj and _is_held(obj) else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ()
        return ("key", "currency", PRICE) if _is_held(obj) else ("key",)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and super().has_delete_permission(request, obj) and not _is_held(obj)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        if not _is_held(form.instance):
            save_add_on_rates(add_on=form.instance, rates=formsets[0].typed_rates(), by=actor_of(request))

    @admin.display(description="accounts")
    def accounts(self, add_on: AddOn) -> Any:
        return list_link("billing_addonsubscription", "Held by", add_on__id__exact=add_on.pk)


@admin.display(description="further")
def _further(priced: Any) -> str:
    """What only some price models have."""
    names = {"package_size": "package of", "flat_fee": "flat fee", "minimum": "at least", "maximum": "at most"}
    values = ((word, getattr(priced, name)) for name, word in names.items())
    return ", ".join(f"{word} {value.normalize():f}" for word, value in values if value is not None) or EMPTY


FURTHER: Column = _further


@admin.register(Rate)
class RateAdmin(ReadOnlyAdmin):
    """All rates side by side. They are changed on the page of their plan or add-on."""

    fields = (
        linked("plan"),
        linked("add_on", "add-on"),
        linked("metric"),
        quantity("included", stored=False),
        "kind",
        "price",
        facts("tiers"),
        FURTHER,
    )

    list_display = (
        "metric",
        linked("plan"),
        linked("add_on", "add-on"),
        quantity("included", stored=False),
        "kind",
        "price",
    )
    list_filter = ("metric", "model", "is_unlimited", "plan", "add_on")
    list_select_related = ("metric", "plan", "add_on")
    search_fields = ("metric__key", "metric__name", "plan__key", "plan__name", "add_on__key", "add_on__name")
    ordering = ("plan__position", "plan__key", "-plan__version", "metric__position")

    @admin.display(description="price model", ordering="model")
    def kind(self, rate: Rate) -> str:
        return "Unlimited" if rate.is_unlimited else rate.get_model_display()

    @admin.display(description="unit price", ordering="unit_price")
    def price(self, rate: Rate) -> str:
        holder = rate.plan or rate.add_on
        if rate.is_unlimited or rate.unit_price is None or holder is None:
            return EMPTY
        return unit_price(rate.unit_price, holder.currency)
