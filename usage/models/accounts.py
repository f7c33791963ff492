"""Who: users, accounts, their clocks, workspaces and teammates (spec 1.1-1.3, 1.6)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower, Now

from usage.validators import validate_currency, validate_plain_text, validate_time_zone

KEY_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}\Z"
validate_key = RegexValidator(
    KEY_PATTERN,
    "Use 1 to 63 of a-z, 0-9, “_” and “-”, starting with a letter or digit.",
)


class UserManager(BaseUserManager["User"]):
    """Creates people who log in with their e-mail address, compared without case."""

    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who logs in: a teammate, an admin, or both."""

    email = models.EmailField("e-mail", max_length=254, unique=True, validators=[validate_plain_text])
    name = models.CharField(max_length=120, blank=True, validators=[validate_plain_text])
    is_staff = models.BooleanField("admin", default=False, help_text="May open the admin.")
    is_active = models.BooleanField(
        "active", default=True, help_text="Switch off instead of deleting: sessions end at once."
    )
    date_joined = models.DateTimeField(db_default=Now(), editable=False)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("email"), name="user_email_unique", violation_error_message="Somebody has this e-mail address."
            )
        ]
        ordering = ["email"]

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return (self.name or self.email).split()[0]


class Account(models.Model):
    """The customer that pays: one or more workspaces, one currency, one clock (spec 1.1, 2.10)."""

    key = models.CharField(max_length=63, unique=True, validators=[validate_key])
    name = models.CharField(max_length=200, validators=[validate_plain_text])
    currency = models.CharField(max_length=3, default="USD", validators=[validate_currency])
    ended_at = models.DateTimeField(null=True, blank=True, help_text="Usage after this instant is refused.")
    is_sandbox = models.BooleanField("sandbox", default=False, help_text="Has a test clock; nothing is ever sent.")
    sandbox_now = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="The test clock of a sandbox account; it stands still until manage.py advance_clock moves it.",
    )
    last_cut_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="The last closing's cut: everything received later belongs to a later invoice.",
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["name", "key"]
        constraints = [
            models.CheckConstraint(
                name="account_sandbox_has_clock",
                condition=models.Q(is_sandbox=False, sandbox_now=None)
                | models.Q(is_sandbox=True, sandbox_now__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return self.name or self.key


class AccountClock(models.Model):
    """Which clock holds from when; a change adds a row at the running period's end (spec 2.10, Data 4)."""

    class Interval(models.TextChoices):
        MONTH = "month", "Month"
        QUARTER = "quarter", "Quarter"
        HALF_YEAR = "half_year", "Half-year"
        YEAR = "year", "Year"

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="clocks")
    starts_at = models.DateTimeField(help_text="Period 0 of this clock begins exactly here.")
    starts_on = models.DateField(help_text="Boundaries are this date plus whole intervals, at the anchor's day.")
    anchor = models.DateTimeField(help_text="Its local day of month and wall-clock time are kept for ever.")
    zone = models.CharField("time zone", max_length=64, validators=[validate_time_zone])
    interval = models.CharField(max_length=9, choices=Interval, default=Interval.MONTH)

    class Meta:
        ordering = ["account", "starts_at"]
        constraints = [models.UniqueConstraint(fields=["account", "starts_at"], name="clock_one_per_start")]

    def __str__(self) -> str:
        return f"{self.interval} from {self.starts_on} ({self.zone})"


class Workspace(models.Model):
    """A part of an account with its own usage, alerts, limits and teammates."""

    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="workspaces")
    key = models.CharField(max_length=63, unique=True, validators=[validate_key])
    name = models.CharField(max_length=200, validators=[validate_plain_text])
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["account", "name", "key"]

    def __str__(self) -> str:
        return self.name or self.key


class Teammate(models.Model):
    """A user in a workspace, with the permission flags that admins set (spec 1.2)."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="teammates")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    can_manage_alerts = models.BooleanField("Can manage usage alerts", default=False)
    can_manage_limits = models.BooleanField("Can manage hard limits", default=False)
    can_manage_billing = models.BooleanField("Can manage billing", default=False)

    class Meta:
        ordering = ["workspace", "user"]
        constraints = [models.UniqueConstraint(fields=["workspace", "user"], name="teammate_once_per_workspace")]

    def __str__(self) -> str:
        return f"{self.user} in {self.workspace}"
