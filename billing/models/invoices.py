"""Documents: frozen invoices and credit notes, their ledger, renderings and dispatches (spec 5.6-5.10, Data 6, 9)."""

from __future__ import annotations

import uuid

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from usage.models import Account, Metric, Workspace
from usage.models.columns import MONEY, PRICE, QUANTITY


class NumberSeries(models.Model):
    """The last number taken, per issuer and year of issue; taken last in the issuing transaction, so no gap can
    stay."""

    issuer = models.CharField(max_length=63)
    year = models.PositiveSmallIntegerField()
    last_number = models.PositiveIntegerField(default=0)

    class Meta:
        verbose_name_plural = "number series"
        constraints = [models.UniqueConstraint(fields=["issuer", "year"], name="series_one_per_year")]

    def __str__(self) -> str:
        return f"{self.issuer} {self.year}"


class Invoice(models.Model):
    """An issued document. A trigger refuses UPDATE and DELETE: paid mark, renderings and deliveries stand elsewhere.

    The id is made by us so that lines can be written first and the number be taken last (foreign keys are checked at
    commit).
    """

    class DocumentType(models.TextChoices):
        INVOICE = "invoice", "Invoice"
        CREDIT_NOTE = "credit_note", "Credit note"

    class Reason(models.TextChoices):
        REGULAR = "regular", "Regular"
        CREDIT = "credit", "Credit"
        REISSUE = "reissue", "Issued again"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="invoices")
    document_type = models.CharField(max_length=11, choices=DocumentType)
    reason = models.CharField(max_length=7, choices=Reason, default=Reason.REGULAR)
    corrects = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="corrections")
    issuer = models.CharField(max_length=63)
    year = models.PositiveSmallIntegerField()
    sequence = models.PositiveIntegerField()
    number = models.CharField(max_length=40, unique=True)
    period = models.DateTimeField(help_text="Start of the billed period.")
    period_ends_at = models.DateTimeField()
    issued_at = models.DateTimeField()
    issued_on = models.DateField(help_text="In the account's time zone.")
    due_on = models.DateField()
    cut_at = models.DateTimeField(help_text="Usage received up to this instant is on it.")
    previous_cut_at = models.DateTimeField(
        null=True, help_text="The cut before: usage received after it and up to this cut is new here."
    )
    currency = models.CharField(max_length=3)
    subtotal = models.DecimalField(**MONEY)
    tax = models.DecimalField(**MONEY)
    total = models.DecimalField(**MONEY)
    frozen = models.JSONField(
        encoder=DjangoJSONEncoder,
        help_text="Everything else that is printed: issuer, buyer, tax lines, notes, chart, as it was.",
    )

    class Meta:
        ordering = ["-issued_at", "-sequence"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "period"], condition=Q(reason="regular"), name="invoice_one_regular_per_period"
            ),
            models.UniqueConstraint(fields=["issuer", "year", "sequence"], name="invoice_number_once"),
            models.CheckConstraint(name="invoice_total_is_sum", condition=Q(total=F("subtotal") + F("tax"))),
        ]
        indexes = [models.Index(fields=["account", "-issued_at"], name="invoice_by_account")]

    def __str__(self) -> str:
        return self.number


class InvoiceLine(models.Model):
    """A line as printed. Amounts are rounded once, here."""

    class Kind(models.TextChoices):
        PLAN = "plan", "Plan"
        ADD_ON = "add_on", "Add-on"
        CONTRACTED = "contracted", "Contracted amount"
        SEATS = "seats", "Seats"
        USAGE = "usage", "Usage"
        ADJUSTMENT = "adjustment", "Adjustment of an earlier period"
        CREDIT = "credit", "Credit"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind)
    description = models.CharField(max_length=300)
    metric = models.ForeignKey(Metric, null=True, on_delete=models.PROTECT, related_name="+")
    usage_period = models.DateTimeField(null=True, help_text="Start of the period whose usage it bills.")
    quantity = models.DecimalField(**QUANTITY, null=True, help_text="Display units.")
    included = models.DecimalField(**QUANTITY, null=True)
    overage = models.DecimalField(**QUANTITY, null=True)
    unit_price = models.DecimalField(**PRICE, null=True, help_text="Only for per-unit prices.")
    amount = models.DecimalField(**MONEY)
    previous_cut_at = models.DateTimeField(null=True)
    cut_at = models.DateTimeField(null=True)
    detail = models.JSONField(
        default=dict, encoder=DjangoJSONEncoder, help_text="Workspaces' quantities, segments, tiers as printed."
    )

    class Meta:
        ordering = ["invoice", "position"]
        constraints = [models.UniqueConstraint(fields=["invoice", "position"], name="line_position_once")]
        indexes = [models.Index(fields=["account", "metric", "usage_period"], name="line_by_usage_period")]

    def __str__(self) -> str:
        return self.description


class BilledUsage(models.Model):
    """The ledger: how much of a workspace's usage of a period a line bills. Unbilled = total − Σ billed (spec 5.10)."""

    line = models.ForeignKey(InvoiceLine, on_delete=models.PROTECT, related_name="billed")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    metric = models.ForeignKey(Metric, on_delete=models.PROTECT, related_name="+")
    period = models.DateTimeField(help_text="The usage's period.")
    quantity = models.DecimalField(**QUANTITY, help_text="Stored units; seats: seat-days.")

    class Meta:
        verbose_name_plural = "billed usage"
        ordering = ["account", "period", "metric", "workspace"]
        constraints = [models.UniqueConstraint(fields=["line", "workspace"], name="billed_once_per_line")]
        indexes = [models.Index(fields=["account", "period", "metric", "workspace"], name="billed_by_period")]

    def __str__(self) -> str:
        return f"{self.metric} of {self.workspace}"


class InvoiceDocument(models.Model):
    """The bytes of a rendering. The first one is what was sent; later ones stand beside it."""

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="documents")
    rendering = models.PositiveSmallIntegerField(default=1)
    content = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    pages = models.PositiveSmallIntegerField(default=1)
    e_invoice = models.CharField(
        max_length=40, blank=True, help_text="The profile inside, as “EN 16931”; empty = none."
    )
    missing = models.JSONField(default=list, blank=True, help_text="What an e-invoice would need.")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["invoice", "rendering"]
        constraints = [models.UniqueConstraint(fields=["invoice", "rendering"], name="document_rendering_once")]

    def __str__(self) -> str:
        return f"{self.invoice} rendering {self.rendering}"


class RenderingTrouble(models.Model):
    """An issued invoice whose PDF could not be made so far; gone once there is one."""

    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, related_name="rendering_trouble")
    attempts = models.PositiveSmallIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True)
    next_attempt_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "rendering troubles"
        ordering = ["-next_attempt_at"]

    def __str__(self) -> str:
        return f"{self.invoice}: {self.error}"


class InvoiceDispatch(models.Model):
    """A wish to send an invoice; alerts turns it into deliveries once the PDF exists."""

    class Reason(models.TextChoices):
        ISSUED = "issued", "Issued"
        RESEND = "resend", "Sent again"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="dispatches")
    reason = models.CharField(max_length=6, choices=Reason)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    delivered_at = models.DateTimeField(null=True, editable=False, help_text="When its deliveries were queued.")

    class Meta:
        verbose_name_plural = "invoice dispatches"
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["invoice"], condition=Q(reason="issued"), name="dispatch_issued_once"),
        ]
        indexes = [models.Index(fields=["id"], name="dispatch_waiting", condition=Q(delivered_at=None))]

    def __str__(self) -> str:
        return f"{self.invoice} {self.get_reason_display().lower()}"


class InvoicePayment(models.Model):
    """The paid mark, beside the document that never changes."""

    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, related_name="payment")
    paid_on = models.DateField()
    note = models.CharField(max_length=200, blank=True)

    def __str__(self) -> str:
        return f"{self.invoice} paid {self.paid_on}"
