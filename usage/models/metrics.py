"""What is measured: metrics are data (spec 2.1, 2.2)."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models

from usage.models.accounts import validate_key
from usage.validators import validate_plain_text


class Metric(models.Model):
    """A thing that is counted. Events find it by type and filters; quantities are stored in 1 / `unit_size`."""

    class Kind(models.TextChoices):
        COUNT = "count", "Count: 1 an event"
        SUM = "sum", "Sum of data.value (1 where absent)"
        DURATION = "duration", "Duration from data.started_at to data.ended_at"
        LEVEL = "level", "Level held from the event's time on (seats)"

    key = models.CharField(max_length=63, unique=True, validators=[validate_key])
    name = models.CharField(max_length=80, validators=[validate_plain_text])
    group = models.CharField(max_length=60, validators=[validate_plain_text], help_text="Heading on the usage page.")
    position = models.PositiveSmallIntegerField(default=100)
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.COUNT)
    event_type = models.CharField(max_length=200, validators=[validate_plain_text])
    filters = models.JSONField(
        default=dict, blank=True, help_text='Only events whose data has these values, as {"direction": "sent"}.'
    )
    unit = models.CharField(max_length=40, default="units", validators=[validate_plain_text], help_text="Plural noun.")
    unit_singular = models.CharField(max_length=40, default="unit", validators=[validate_plain_text])
    unit_size = models.PositiveIntegerField(
        default=1,
        validators=[MinValueValidator(1)],
        help_text="Stored units in one shown unit: 60 for minutes stored as seconds.",
    )
    increment_first = models.PositiveIntegerField(
        default=0, help_text="Durations: the first increment in seconds; 0 = none."
    )
    increment_next = models.PositiveIntegerField(default=0, help_text="Durations: each further increment in seconds.")
    minimum_seconds = models.PositiveIntegerField(default=0, help_text="Durations: shortest billed call.")
    supports_alerts = models.BooleanField("alerts", default=True)
    supports_limit = models.BooleanField("limit", default=False, help_text="Teammates may set a hard limit.")
    agent_name = models.CharField(
        max_length=60,
        blank=True,
        validators=[validate_plain_text],
        help_text="The agent a limit switches off: “AI Agent”.",
    )
    channel = models.CharField(
        max_length=12, blank=True, help_text="chat, email, sms, whatsapp or phone, for analytics."
    )
    is_active = models.BooleanField("active", default=True)

    class Meta:
        ordering = ["position", "key"]
        constraints = [
            models.CheckConstraint(
                name="metric_unit_size_positive",
                condition=models.Q(unit_size__gte=1),
                violation_error_message="The unit size is at least 1.",
            ),
            models.CheckConstraint(
                name="metric_level_has_no_alerts",
                condition=~models.Q(kind="level") | models.Q(supports_alerts=False, supports_limit=False),
                violation_error_message="A level has neither alerts nor a limit.",
            ),
            models.CheckConstraint(
                name="metric_both_increments_or_none",
                condition=models.Q(increment_first=0, increment_next=0)
                | models.Q(increment_first__gt=0, increment_next__gt=0),
                violation_error_message="Give both increments or neither.",
            ),
            models.UniqueConstraint(fields=["event_type", "filters"], name="metric_one_per_type_and_filters"),
        ]

    def __str__(self) -> str:
        return self.name

    def unit_of(self, quantity: Decimal | int) -> str:
        """The noun after a quantity in display units: 1 resolution, 2 resolutions."""
        return self.unit_singular if quantity == 1 else self.unit
