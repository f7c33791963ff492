"""Terms in force: what charts, prices, alerts and invoices read (spec 5.3, Data 6)."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from billing.models.plans import Plan, Pricing
from usage.models import Account, Metric
from usage.models.columns import PRICE, QUANTITY


class PeriodTerms(Pricing):
    """Terms of an account and metric from a period's start on; the last row at or before a period's start holds.

    `included` already is the contracted amount if a contract names the metric, else plan plus add-ons. A row that is
    not active ends the terms: usage of the metric is recorded, has no card and costs nothing.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="terms")
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="+")
    from_period = models.DateTimeField()
    is_active = models.BooleanField("active", default=True)
    contracted = models.DecimalField(**QUANTITY, null=True, blank=True, help_text="Display units; empty = no contract.")
    contracted_price = models.DecimalField(**PRICE, null=True, blank=True)
    plan = models.ForeignKey(Plan, null=True, blank=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        verbose_name = "terms in force"
        verbose_name_plural = "terms in force"
        ordering = ["account", "metric", "from_period"]
        constraints = [
            models.UniqueConstraint(fields=["account", "metric", "from_period"], name="terms_one_per_period"),
            models.CheckConstraint(
                name="terms_contract_has_price",
                condition=Q(contracted=None, contracted_price=None)
                | Q(contracted__isnull=False, contracted_price__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account}: {self.metric} from {self.from_period:%Y-%m-%d}"

    @property
    def kind(self) -> str:
        """One of included, contracted, pay_as_you_go, unlimited (spec 10.5)."""
        if self.is_unlimited:
            return "unlimited"
        if self.contracted is not None:
            return "contracted"
        return "pay_as_you_go" if self.included is None else "included"
