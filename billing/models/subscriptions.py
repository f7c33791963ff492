"""What an account has bought, as dated rows (spec 5.3-5.5)."""

from __future__ import annotations

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from billing.models.plans import AddOn, Plan
from usage.models import Account, Metric
from usage.models.columns import PRICE, QUANTITY


class Subscription(models.Model):
    """The plan version of an account from a local day on; the last row at or before a day holds, no plan = cancelled.

    A row in the running period is an upgrade; a row on a later boundary is a scheduled change. On one day the last
    change wins.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="subscriptions")
    plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    starts_on = models.DateField(help_text="Local day; the whole day belongs to this plan.")
    period = models.DateTimeField(help_text="Start of the billing period that this day lies in.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["account", "period", "starts_on"]
        constraints = [
            models.UniqueConstraint(fields=["account", "period", "starts_on"], name="subscription_last_change_of_day")
        ]

    def __str__(self) -> str:
        return f"{self.account}: {self.plan or 'no plan'} from {self.starts_on}"


class AddOnSubscription(models.Model):
    """An add-on of an account, in whole billing periods."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="add_on_subscriptions")
    add_on = models.ForeignKey(AddOn, on_delete=models.PROTECT, related_name="+")
    from_period = models.DateTimeField()
    until_period = models.DateTimeField(null=True, blank=True, help_text="Start of the first period without it.")

    class Meta:
        ordering = ["account", "from_period"]
        verbose_name = "add-on subscription"
        constraints = [
            models.UniqueConstraint(
                fields=["account", "add_on"], condition=Q(until_period=None), name="add_on_open_once"
            ),
            models.CheckConstraint(
                name="add_on_not_empty", condition=Q(until_period=None) | Q(until_period__gt=F("from_period"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account}: {self.add_on}"


class Contract(models.Model):
    """A contracted amount of a metric at its own price, in whole billing periods; always charged (spec 5.3)."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="contracts")
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="+")
    quantity = models.DecimalField(**QUANTITY, validators=[MinValueValidator(0)], help_text="Display units a period.")
    unit_price = models.DecimalField(**PRICE, validators=[MinValueValidator(0)], help_text="Of a contracted unit.")
    overage_price = models.DecimalField(
        **PRICE,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text="Of a unit above; empty = the plan's rate.",
    )
    from_period = models.DateTimeField()
    until_period = models.DateTimeField(null=True, blank=True, help_text="Start of the first period without it.")

    class Meta:
        ordering = ["account", "metric", "from_period"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "metric"], condition=Q(until_period=None), name="contract_open_once"
            ),
            models.CheckConstraint(
                name="contract_not_empty", condition=Q(until_period=None) | Q(until_period__gt=F("from_period"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account}: {self.quantity.normalize():f} {self.metric}"
