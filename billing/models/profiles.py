"""Who pays and who gets the mail (spec 1.4, 5.6, 5.7)."""

from __future__ import annotations

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models.functions import Lower, Now

from usage.models import Account, Teammate
from usage.validators import validate_plain_text


class BillingProfile(models.Model):
    """The buyer as it is printed on documents, and how the account is billed."""

    class System(models.TextChoices):
        EXACT = "exact", "Exact: usage as counted when the invoice is created"
        PREVIOUS = "previous", "Previous: usage received up to 24 hours before"

    account = models.OneToOneField(Account, on_delete=models.CASCADE, related_name="billing_profile")
    legal_name = models.CharField(max_length=200, blank=True, validators=[validate_plain_text])
    address = models.TextField(blank=True, help_text="Street lines.")
    postal_code = models.CharField(max_length=20, blank=True, validators=[validate_plain_text])
    city = models.CharField(max_length=100, blank=True, validators=[validate_plain_text])
    country = models.CharField(
        max_length=2, blank=True, validators=[RegexValidator(r"^[A-Z]{2}\Z", "Use two capital letters.")]
    )
    vat_id = models.CharField("VAT id", max_length=20, blank=True, validators=[validate_plain_text])
    reference = models.CharField(
        max_length=100, blank=True, validators=[validate_plain_text], help_text="Printed as “Your reference”."
    )
    system = models.CharField(max_length=8, choices=System, default=System.EXACT)
    grace_hours = models.PositiveSmallIntegerField(
        default=1, validators=[MaxValueValidator(72)], help_text="Hours between a period's end and its invoice."
    )
    tax_rate = models.DecimalField(
        max_digits=6,
        decimal_places=3,
        default=Decimal(0),
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="In per cent.",
    )
    tax_name = models.CharField(max_length=30, default="VAT", validators=[validate_plain_text])
    reverse_charge = models.BooleanField(default=False, help_text="The buyer owes the tax; the rate is not applied.")
    payment_days = models.PositiveSmallIntegerField(default=14, validators=[MaxValueValidator(365)])
    paper = models.CharField(max_length=6, default="A4", choices=[("A4", "A4"), ("Letter", "Letter")])

    def __str__(self) -> str:
        return f"Billing profile of {self.account}"


class BillingContact(models.Model):
    """Somebody who gets every alert, limit and invoice e-mail of the account."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="billing_contacts")
    name = models.CharField(max_length=120, blank=True, validators=[validate_plain_text])
    email = models.EmailField("e-mail", max_length=254, validators=[validate_plain_text])
    teammate = models.ForeignKey(Teammate, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["account", "id"]
        constraints = [
            models.UniqueConstraint(
                "account",
                Lower("email"),
                name="contact_email_once",
                violation_error_message="This address is a billing contact already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>" if self.name else self.email
