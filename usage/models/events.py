"""The usage tables: events, days, totals, reservations (Data 1-3, 7).

Every key leads with the account (one account = one shard), there is no sequence, nothing points at an event, and the
event table has no foreign key. The ORM reads them; the counting itself is one SQL statement in `usage.services`.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F

from usage.models.accounts import Account, Workspace
from usage.models.columns import QUANTITY
from usage.models.metrics import Metric

# Rows are made and changed only by statements that have just read what they point at, thousands a second; the database
# need not look for it again each time. Django still protects what is pointed at, and `check_invariants` finds rows
# whose workspace is another account's or nobody's.
UNCHECKED: dict[str, Any] = {
    "on_delete": models.PROTECT,
    "related_name": "+",
    "db_index": False,
    "db_constraint": False,
}


class UsageEvent(models.Model):
    """One acknowledged event or a correcting row beside it. Append only; its identity is used for ever (spec 2.4)."""

    pk = models.CompositePrimaryKey("account_id", "key")
    account_id = models.BigIntegerField()
    key = models.UUIDField(help_text="128 bits of BLAKE2b over source and id.")
    content = models.UUIDField(help_text="128 bits of BLAKE2b over subject, type, time as sent and canonical data.")
    workspace_id = models.BigIntegerField()
    metric_id = models.BigIntegerField()
    period = models.DateTimeField()
    day = models.DateField(help_text="Local day in the period's zone.")
    quantity = models.DecimalField(**QUANTITY)
    occurred_at = models.DateTimeField()
    received_at = models.DateTimeField()
    source = models.TextField(help_text="As sent, so that a line can be explained in the sender's own words.")
    event_id = models.TextField()
    corrects = models.UUIDField(null=True, help_text="Key of the corrected event; a key, not a relation.")
    is_void = models.BooleanField(default=False, help_text="A correcting row that takes the whole event back.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="event_void_is_correction", condition=models.Q(is_void=False) | models.Q(corrects__isnull=False)
            )
        ]
        indexes = [
            # Explaining a line, the event lookup and the seat days read one index range, newest last, at any size.
            models.Index(
                fields=["account_id", "workspace_id", "metric_id", "period", "received_at"], name="event_line"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class UsageDay(models.Model):
    """What a workspace used of a metric on a local day of a period. Seats: the highest level held and the level at the
    day's end."""

    pk = models.CompositePrimaryKey("account_id", "workspace_id", "metric_id", "period", "day")
    account = models.ForeignKey(Account, **UNCHECKED)
    workspace = models.ForeignKey(Workspace, **UNCHECKED)
    metric = models.ForeignKey(Metric, **UNCHECKED)
    period = models.DateTimeField()
    day = models.DateField()
    quantity = models.DecimalField(**QUANTITY)
    level = models.DecimalField(**QUANTITY, null=True, help_text="Seats only: carried on to the next reported day.")

    def __str__(self) -> str:
        return f"{self.day} {self.quantity}"


class UsageTotal(models.Model):
    """The running total of a workspace and metric in a period, with the limit in force beside it.

    `quantity >= hard_limit` is the fact that stops the agent (spec 4.3). `seq` grows by one with every change;
    `evaluated_seq < seq` means that alerts have not looked yet. `next_level` is the quantity at which somebody must be
    told: 0 = not computed, NULL = nobody (Data 7).
    """

    pk = models.CompositePrimaryKey("account_id", "workspace_id", "metric_id", "period")
    account = models.ForeignKey(Account, **UNCHECKED)
    workspace = models.ForeignKey(Workspace, **UNCHECKED)
    metric = models.ForeignKey(Metric, **UNCHECKED)
    period = models.DateTimeField()
    quantity = models.DecimalField(**QUANTITY, default=0)
    quantity_in_time = models.DecimalField(
        **QUANTITY,
        default=0,
        help_text="Only what was received before the period's end: alerts read this one (spec 3.6).",
    )
    reserved = models.DecimalField(**QUANTITY, default=0)
    hard_limit = models.DecimalField(**QUANTITY, null=True)
    seq = models.BigIntegerField(default=1)
    evaluated_seq = models.BigIntegerField(default=0)
    evaluated_at = models.DateTimeField(null=True)
    next_level = models.DecimalField(**QUANTITY, null=True, default=0)
    last_received_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.CheckConstraint(name="total_reserved_not_negative", condition=models.Q(reserved__gte=0)),
            models.CheckConstraint(name="total_evaluated_not_ahead", condition=models.Q(evaluated_seq__lte=F("seq"))),
        ]
        # The pool: all workspaces' totals of a period. None of these columns ever changes, so updates stay on the page
        # (HOT).
        indexes = [models.Index(fields=["account", "period", "metric", "workspace"], name="total_by_pool")]

    def __str__(self) -> str:
        return f"{self.period:%Y-%m-%d} {self.quantity}"


class Reservation(models.Model):
    """Quantity set aside on a total until it is settled, released or expired (spec 4.8)."""

    class State(models.TextChoices):
        OPEN = "open"
        SETTLED = "settled"
        RELEASED = "released"
        EXPIRED = "expired"

    pk = models.CompositePrimaryKey("account_id", "key")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+", db_index=False)
    key = models.UUIDField(help_text="From the sender's id; part of the answer.")
    reservation_id = models.TextField(help_text="As sent.")
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+", db_index=False)
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="+", db_index=False)
    period = models.DateTimeField()
    quantity = models.DecimalField(**QUANTITY)
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    settled_quantity = models.DecimalField(**QUANTITY, null=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.CheckConstraint(name="reservation_positive", condition=models.Q(quantity__gt=0))]
        indexes = [
            models.Index(
                fields=["account", "workspace", "metric", "period", "expires_at"],
                name="reservation_open",
                condition=models.Q(state="open"),
            )
        ]

    def __str__(self) -> str:
        return self.reservation_id
