"""Hard limits as dated rows (spec 4, Data 3)."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from usage.models.accounts import Account, Workspace
from usage.models.columns import QUANTITY
from usage.models.metrics import Metric


class UsageLimit(models.Model):
    """The limit of a workspace and metric from a period's start on; the last row up to a period holds, NULL = off.

    The statement that creates a total copies the limit in force, so the check stands on the row that counts.
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="limits")
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="+")
    from_period = models.DateTimeField(help_text="Start of the first billing period in which it holds.")
    quantity = models.DecimalField(**QUANTITY, null=True, blank=True, help_text="In stored units; empty = no limit.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "hard limit"
        ordering = ["account", "workspace", "metric", "from_period"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "workspace", "metric", "from_period"], name="limit_one_per_period"
            ),
            models.CheckConstraint(
                name="limit_not_negative", condition=models.Q(quantity=None) | models.Q(quantity__gte=0)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.metric} in {self.workspace}"
