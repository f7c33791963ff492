"""What can be bought: plans in versions, add-ons, and their rates (spec 5.1, 5.3, 5.11)."""

from __future__ import annotations

from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from billing import pricing
from usage.models import AccountClock, Metric
from usage.models.accounts import validate_key
from usage.models.columns import PRICE, QUANTITY
from usage.validators import validate_currency, validate_plain_text


class PriceModel(models.TextChoices):
    PER_UNIT = "per_unit", "Per unit above included"
    GRADUATED = "graduated", "Graduated"
    VOLUME = "volume", "Volume"
    PACKAGE = "package", "Package"


class Pricing(models.Model):
    """The columns that make a `billing.pricing.Rate`. Quantities in display units, prices in the account's currency."""

    included = models.DecimalField(
        **QUANTITY,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Display units; empty = pay-as-you-go.",
    )
    is_unlimited = models.BooleanField("unlimited", default=False, help_text="Never charged.")
    model = models.CharField(max_length=9, choices=PriceModel, default=PriceModel.PER_UNIT)
    unit_price = models.DecimalField(**PRICE, null=True, blank=True, validators=[MinValueValidator(0)])
    tiers = models.JSONField(
        default=list,
        blank=True,
        help_text='As [{"up_to": "100", "unit_price": "0.50", "flat_fee": "0"}, {"up_to": null, …}].',
    )
    package_size = models.DecimalField(**QUANTITY, null=True, blank=True)
    flat_fee = models.DecimalField(**PRICE, null=True, blank=True, validators=[MinValueValidator(0)])
    minimum = models.DecimalField(**PRICE, null=True, blank=True, validators=[MinValueValidator(0)])
    maximum = models.DecimalField(**PRICE, null=True, blank=True, validators=[MinValueValidator(0)])

    class Meta:
        abstract = True

    def as_rate(self, *, unit_size: int = 1, included: Decimal | None = None) -> pricing.Rate | None:
        """What `billing.pricing.price` takes; None when nothing is ever charged. `included` in display units.

        ValueError for columns that make no rate: tiers out of order, packages of nothing, what is no number.
        """
        if self.is_unlimited:
            return None
        try:
            tiers = [
                pricing.Tier(**{name: Decimal(value) for name, value in tier.items() if value is not None})
                for tier in self.tiers
            ]
        except (TypeError, AttributeError, ArithmeticError) as error:
            raise ValueError("tiers: each is an object of up_to, unit_price and flat_fee, numbers as text") from error
        return pricing.Rate(
            model=self.model,
            unit_price=self.unit_price,
            included=included,
            tiers=tiers,
            package_size=self.package_size,
            flat_fee=self.flat_fee,
            minimum=self.minimum,
            maximum=self.maximum,
            unit_size=unit_size,
        )

    def clean(self) -> None:
        """A rate that cannot be applied is refused where it is typed, not when an invoice is due."""
        super().clean()
        if self.unit_price is None and not self.is_unlimited and self.model not in pricing.TIERED:
            raise ValidationError({"unit_price": "Enter a price, or tick unlimited."})
        try:
            self.as_rate(included=self.included)
        except ValueError as error:
            field = str(error).partition(":")[0].partition(" ")[0]
            known = {each.name for each in self._meta.get_fields()}
            raise ValidationError({field if field in known else "model": str(error)}) from error


class Plan(models.Model):
    """A plan in one version. A change makes a new version; subscriptions keep theirs (spec 5.3)."""

    key = models.CharField(max_length=63, validators=[validate_key])
    version = models.PositiveIntegerField(default=1)
    name = models.CharField(max_length=100, validators=[validate_plain_text])
    currency = models.CharField(max_length=3, default="USD", validators=[validate_currency])
    interval = models.CharField(max_length=9, choices=AccountClock.Interval, default=AccountClock.Interval.MONTH)
    price = models.DecimalField(**PRICE, validators=[MinValueValidator(0)], help_text="For a whole billing period.")
    includes_workflows = models.BooleanField("workflows", default=True)
    is_offered = models.BooleanField(
        "offered", default=True, help_text="Teammates may choose it. Old versions are not offered."
    )
    position = models.PositiveSmallIntegerField(default=100)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["position", "key", "-version"]
        constraints = [models.UniqueConstraint(fields=["key", "version"], name="plan_version_once")]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}" if self.version > 1 else self.name


class AddOn(models.Model):
    """Something on top of a plan, at full price from the running period on (spec 5.3)."""

    key = models.CharField(max_length=63, unique=True, validators=[validate_key])
    name = models.CharField(max_length=100, validators=[validate_plain_text])
    currency = models.CharField(max_length=3, default="USD", validators=[validate_currency])
    price = models.DecimalField(**PRICE, validators=[MinValueValidator(0)], help_text="For a whole billing period.")
    is_offered = models.BooleanField("offered", default=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "add-on"

    def __str__(self) -> str:
        return self.name


class Rate(Pricing):
    """What a plan version or an add-on includes of a metric, and what more of it costs."""

    plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.CASCADE, related_name="rates")
    add_on = models.ForeignKey(AddOn, null=True, blank=True, on_delete=models.CASCADE, related_name="rates")
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["metric__position"]
        constraints = [
            models.CheckConstraint(
                name="rate_of_plan_or_add_on",
                condition=Q(plan__isnull=False, add_on=None) | Q(plan=None, add_on__isnull=False),
            ),
            models.UniqueConstraint(fields=["plan", "metric"], condition=Q(add_on=None), name="rate_once_per_plan"),
            models.UniqueConstraint(fields=["add_on", "metric"], condition=Q(plan=None), name="rate_once_per_add_on"),
        ]

    def __str__(self) -> str:
        return f"{self.metric} in {self.plan or self.add_on}"
