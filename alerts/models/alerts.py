"""When to tell, and what was told (spec 3, 4.3, 4.4; Data 7, 8)."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from usage.models import Account, Metric, Workspace
from usage.models.columns import MONEY, QUANTITY


class UsageAlert(models.Model):
    """The threshold of a workspace and metric from a period's start on; the last row at or before a period holds, NULL
    = off.

    Number and checkbox are scheduled together. Only levels above the baseline are told in `from_period`; in later
    periods the baseline is 0 (spec 3.4).
    """

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="usage_alerts")
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="+")
    from_period = models.DateTimeField()
    threshold = models.DecimalField(**QUANTITY, null=True, blank=True, help_text="In stored units; empty = off.")
    also_50_80 = models.BooleanField("also at 50% and 80%", default=False)
    baseline = models.DecimalField(**QUANTITY, default=0, help_text="Usage when it came into force, in stored units.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["account", "workspace", "metric", "from_period"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "workspace", "metric", "from_period"], name="alert_one_per_period"
            ),
            models.CheckConstraint(name="alert_threshold_positive", condition=Q(threshold=None) | Q(threshold__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.metric} in {self.workspace}"


class PlanAlertSwitch(models.Model):
    """Whether 80, 90 and 100 % of the included amount are told; no row = on (spec 3.7)."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="+")
    is_on = models.BooleanField("on", default=True)
    period = models.DateTimeField(
        null=True, blank=True, help_text="The billing period in which it was switched on again."
    )
    baseline = models.DecimalField(
        **QUANTITY, default=0, help_text="The account's usage then; levels up to it are not told."
    )

    class Meta:
        verbose_name_plural = "plan alert switches"
        ordering = ["account", "metric"]
        constraints = [models.UniqueConstraint(fields=["account", "metric"], name="plan_alert_switch_once")]

    def __str__(self) -> str:
        return f"{self.account}: plan alerts for {self.metric} {'on' if self.is_on else 'off'}"


class SpendAlert(models.Model):
    """A threshold in money on the account's charges so far, dated like a usage alert (spec 3.10)."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="spend_alerts")
    from_period = models.DateTimeField()
    threshold = models.DecimalField(**MONEY, null=True, blank=True, help_text="In the account's currency; empty = off.")
    also_50_80 = models.BooleanField("also at 50% and 80%", default=False)
    baseline = models.DecimalField(**MONEY, default=0)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["account", "from_period"]
        constraints = [
            models.UniqueConstraint(fields=["account", "from_period"], name="spend_alert_one_per_period"),
            models.CheckConstraint(name="spend_threshold_positive", condition=Q(threshold=None) | Q(threshold__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.account}: spend alert"


class Firing(models.Model):
    """Something was reached and decided to be told: once per rule, scope, period, level and threshold (spec 3.2, 9
    i)."""

    class Rule(models.TextChoices):
        USAGE_ALERT = "usage_alert", "Usage alert"
        PLAN_ALERT = "plan_alert", "Plan alert"
        SPEND_ALERT = "spend_alert", "Spend alert"
        LIMIT = "limit", "Hard limit reached"

    rule = models.CharField(max_length=11, choices=Rule)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="firings")
    workspace = models.ForeignKey(Workspace, null=True, on_delete=models.CASCADE, related_name="+")
    metric = models.ForeignKey(Metric, null=True, on_delete=models.PROTECT, related_name="+")
    period = models.DateTimeField()
    level = models.PositiveSmallIntegerField(help_text="Per cent of the threshold.")
    threshold = models.DecimalField(**QUANTITY, help_text="In force then: stored units, or money for spend.")
    quantity = models.DecimalField(**QUANTITY, help_text="What had been reached.")
    baseline = models.DecimalField(**QUANTITY, default=0)
    fired_at = models.DateTimeField()

    class Meta:
        ordering = ["-fired_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "rule", "workspace", "metric", "period", "level", "threshold"],
                nulls_distinct=False,
                name="firing_once",
            ),
            models.CheckConstraint(
                name="firing_had_reached", condition=Q(quantity__gte=models.F("threshold") * models.F("level") / 100)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_rule_display()} {self.level}%"


class LimitState(models.Model):
    """What was last told of a workspace's limit; evaluation compares it with the fact on the total (spec 4.4)."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="+")
    is_reached = models.BooleanField("reached", default=False)
    period = models.DateTimeField(help_text="The period in which it was told.")
    limit = models.DecimalField(**QUANTITY, null=True)
    quantity = models.DecimalField(**QUANTITY)
    told_at = models.DateTimeField()
    changes = models.PositiveIntegerField(default=0, help_text="How often something was told.")

    class Meta:
        ordering = ["account", "workspace", "metric"]
        constraints = [models.UniqueConstraint(fields=["account", "workspace", "metric"], name="limit_state_once")]

    def __str__(self) -> str:
        return f"{self.metric} in {self.workspace}: {'reached' if self.is_reached else 'clear'}"
