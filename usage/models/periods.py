"""Billing periods: stored rows that neither gap nor overlap (spec 2.10)."""

from __future__ import annotations

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import F, Func, Value

from usage.models.accounts import Account
from usage.validators import validate_time_zone


class Period(models.Model):
    """One billing period of an account, half-open. Identified by (account, starts_at): others store that instant."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="periods")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    zone = models.CharField("time zone", max_length=64, validators=[validate_time_zone])
    first_day = models.DateField(help_text="Local day of the first instant.")
    last_day = models.DateField(help_text="Local day of the last instant.")
    days = models.PositiveSmallIntegerField(help_text="Whole local days.")

    class Meta:
        ordering = ["account", "-starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["account", "starts_at"], name="period_one_per_start"),
            models.CheckConstraint(name="period_not_empty", condition=models.Q(ends_at__gt=F("starts_at"))),
            ExclusionConstraint(
                name="periods_never_overlap",
                expressions=[
                    ("account", RangeOperators.EQUAL),
                    (
                        Func(
                            F("starts_at"),
                            F("ends_at"),
                            Value("[)"),
                            function="tstzrange",
                            output_field=DateTimeRangeField(),
                        ),
                        RangeOperators.OVERLAPS,
                    ),
                ],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.first_day:%-d %b %Y} – {self.last_day:%-d %b %Y}"
