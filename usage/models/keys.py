"""API keys: of an account, or of the operator for all accounts (spec 1.6)."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from usage.models.accounts import Account
from usage.validators import validate_plain_text


class ApiKey(models.Model):
    """A bearer key. Its secret is shown once; only a hash is stored."""

    class Scope(models.TextChoices):
        INGEST = "ingest", "Ingest: send usage and corrections"
        READ = "read", "Read: usage, alerts, limits, invoices"
        DECIDE = "decide", "Decide: route, flags"
        MANAGE = "manage", "Manage: change alerts and limits"

    account = models.ForeignKey(
        Account,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="api_keys",
        help_text="Empty: all accounts.",
    )
    name = models.CharField(max_length=120, blank=True, validators=[validate_plain_text])
    prefix = models.CharField(
        max_length=16, unique=True, editable=False, help_text="Public part, to recognise the key."
    )
    secret_hash = models.BinaryField(max_length=32, editable=False)
    scopes = ArrayField(models.CharField(max_length=8, choices=Scope))
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_on = models.DateField(null=True, blank=True, editable=False)
    replaces = models.ForeignKey("self", null=True, blank=True, editable=False, on_delete=models.SET_NULL)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name or 'key'} ({self.prefix}…)"
