"""What people see and get: notifications and the outbox of e-mails and webhooks (spec 3.11, 3.12, 10.6)."""

from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from billing.models import InvoiceDispatch, InvoiceDocument
from usage.models import Account, Metric, Workspace
from usage.models.columns import QUANTITY
from usage.validators import validate_plain_text


class Notification(models.Model):
    """An in-app message; without a workspace it stands in all of the account's workspaces."""

    class Kind(models.TextChoices):
        USAGE_ALERT = "usage_alert", "Usage alert"
        PLAN_ALERT = "plan_alert", "Plan alert"
        SPEND_ALERT = "spend_alert", "Spend alert"
        LIMIT_REACHED = "limit_reached", "Limit reached"
        LIMIT_CLEARED = "limit_cleared", "Limit cleared"
        INVOICE_ISSUED = "invoice_issued", "Invoice issued"

    kind = models.CharField(max_length=14, choices=Kind)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="notifications")
    workspace = models.ForeignKey(
        Workspace, null=True, blank=True, on_delete=models.CASCADE, related_name="notifications"
    )
    metric = models.ForeignKey(Metric, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    level = models.PositiveSmallIntegerField(null=True, blank=True)
    threshold = models.DecimalField(**QUANTITY, null=True, blank=True, help_text="Stored units; spend: money.")
    quantity = models.DecimalField(**QUANTITY, null=True, blank=True, help_text="Stored units; spend: money.")
    period = models.DateTimeField(null=True, blank=True)
    at = models.DateTimeField("time")
    title = models.CharField(max_length=200)
    body = models.TextField(blank=True)
    dedupe = models.CharField(
        max_length=200, unique=True, help_text="What it tells of; a second one cannot be written."
    )

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["account", "-at", "-id"], name="notification_by_account"),
            models.Index(fields=["workspace", "-at", "-id"], name="notification_by_workspace"),
        ]

    def __str__(self) -> str:
        return self.title


class NotificationRead(models.Model):
    """A teammate has read it."""

    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, related_name="reads")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    read_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["notification", "user"], name="read_once")]

    def __str__(self) -> str:
        return f"{self.user} has read {self.notification}"


class WebhookEndpoint(models.Model):
    """Where an account's systems listen, in the Standard Webhooks format (spec 3.12)."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="webhook_endpoints")
    url = models.URLField("URL", max_length=500)
    secret = models.CharField(max_length=80, help_text="The receiver checks signatures with it.")
    previous_secret = models.CharField(max_length=80, blank=True)
    previous_until = models.DateTimeField("old secret valid until", null=True, blank=True)
    types = ArrayField(models.CharField(max_length=40), default=list, blank=True, help_text="Empty = all.")
    is_on = models.BooleanField("on", default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["account", "id"]

    def __str__(self) -> str:
        return self.url


class Delivery(models.Model):
    """One message to one recipient: the outbox. Written in the transaction that decides, sent afterwards."""

    class Channel(models.TextChoices):
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook"

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"
        KEPT = "kept", "Kept (sandbox)"

    channel = models.CharField(max_length=7, choices=Channel)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="deliveries")
    notification = models.ForeignKey(
        Notification, null=True, blank=True, on_delete=models.SET_NULL, related_name="deliveries"
    )
    dispatch = models.ForeignKey(
        InvoiceDispatch, null=True, blank=True, on_delete=models.PROTECT, related_name="deliveries"
    )
    endpoint = models.ForeignKey(
        WebhookEndpoint, null=True, blank=True, on_delete=models.SET_NULL, related_name="deliveries"
    )
    document = models.ForeignKey(InvoiceDocument, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    recipient = models.CharField(max_length=500, validators=[validate_plain_text])
    recipient_name = models.CharField(max_length=120, blank=True, validators=[validate_plain_text])
    subject = models.CharField(max_length=250, blank=True)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    payload = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    message_id = models.CharField(
        max_length=120, unique=True, help_text="Stable: a repeated message carries the same one."
    )
    state = models.CharField(max_length=7, choices=State, default=State.WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    last_error = models.TextField(blank=True)
    created_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["next_attempt_at"], name="delivery_waiting", condition=Q(state="waiting")),
            models.Index(fields=["account", "-created_at"], name="delivery_by_account"),
        ]

    def __str__(self) -> str:
        return f"{self.subject or self.channel} → {self.recipient}"
