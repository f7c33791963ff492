"""What can go wrong in billing, in words for people. `config.api` turns these into `application/problem+json`."""

from __future__ import annotations

from datetime import datetime

from usage.errors import Conflict, InvalidInput


class PeriodBilled(Conflict):
    """The change would alter a period whose invoice was issued (spec 5.3)."""

    def __init__(self, period: datetime) -> None:
        super().__init__(
            f"The period that starts at {period.isoformat()} is billed; its terms never change.", code="period_billed"
        )


class NotABoundary(InvalidInput):
    """The instant is not the start of a billing period of the account (spec 5.3)."""

    def __init__(self, field: str) -> None:
        super().__init__("This must be the start of a billing period.", field=field, code="not_a_boundary")


class CurrencyDiffers(InvalidInput):
    """One account has one currency (spec 5.3)."""

    def __init__(self, *, field: str, account_currency: str) -> None:
        super().__init__(f"This account is billed in {account_currency}.", field=field, code="currency_differs")


class IntervalDiffers(InvalidInput):
    """The plan is for another billing interval than the account's clock (spec 2.10)."""

    def __init__(self, interval: str) -> None:
        super().__init__(
            f"This plan is billed by the {interval.replace('_', '-')}, the account is not.",
            field="plan",
            code="interval_differs",
        )


class NoSubscription(Conflict):
    """There is no plan to change, cancel or add to."""

    def __init__(self, detail: str = "The account has no subscription.") -> None:
        super().__init__(detail, code="no_subscription")


class AlreadyHeld(Conflict):
    """The account has it already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The account has {name} already.", code="already_held")


class ContactExists(Conflict):
    """The address is a billing contact of the account already, compared without case (spec 1.4)."""

    def __init__(self) -> None:
        super().__init__("This address is a billing contact already.", code="contact_exists", field="email")
