"""Field rules that several models share; each says what is wrong in one sentence."""

from __future__ import annotations

import unicodedata
import zoneinfo
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from usage.currencies import CURRENCIES
from usage.errors import InvalidInput


def check_text(field: models.Field[Any, Any], value: str, *, named: str) -> None:
    """Judge a text by all rules of the column it goes to, its length included. Raises InvalidInput for `named`."""
    try:
        field.run_validators(value)
    except ValidationError as error:
        raise InvalidInput(f"{value[:80]!r}: {' '.join(error.messages)}", field=named) from error


def validate_time_zone(value: str) -> None:
    """Refuse anything but an IANA zone name. Raises ValidationError."""
    if value not in zoneinfo.available_timezones():
        raise ValidationError("“%(value)s” is not an IANA time zone.", code="time_zone", params={"value": value})


def validate_currency(value: str) -> None:
    """Refuse anything but an ISO 4217 code, in capitals. Raises ValidationError."""
    if value not in CURRENCIES:
        raise ValidationError(
            "“%(value)s” is not an ISO 4217 currency such as USD.", code="currency", params={"value": value}
        )


def validate_plain_text(value: str) -> None:
    """Refuse control and line-separating characters: names travel in mail headers and PDFs. Raises ValidationError."""
    for character in value:
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"}:
            raise ValidationError("Line breaks and control characters are not allowed.", code="control_character")
