"""How values stand in the API's bodies (spec 2.2, 10.5): display units, decimals as strings, instants in UTC."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from django.http import HttpResponse
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema

from usage.events import MAX_TEXT
from usage.periods import plain_instant
from usage.rounding import parse_quantity, plain_quantity

_EXPONENT: Final = r"([eE][+-]?[0-9]{1,3})?$"
_DECIMAL: Final = {"type": "string", "maxLength": 64, "pattern": r"^(0|[1-9][0-9]*)(\.[0-9]+)?" + _EXPONENT}
_POSITIVE: Final = _DECIMAL | {"pattern": r"^(0\.[0-9]*[1-9][0-9]*|[1-9][0-9]*(\.[0-9]+)?)" + _EXPONENT}

Quantity = Annotated[
    Decimal,
    PlainValidator(parse_quantity),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "exclusiveMinimum": 0, "maximum": 10**12}, _POSITIVE],
            "description": "Greater than 0, at most 6 decimals, in the metric's display unit.",
        }
    ),
]
QuantityOrZero = Annotated[
    Decimal,
    PlainValidator(lambda value: parse_quantity(value, zero_allowed=True)),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0, "maximum": 10**12}, _DECIMAL],
            "description": "At least 0, at most 6 decimals, in the metric's display unit.",
        }
    ),
]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]


class Body(BaseModel):
    """A request's body: no silent conversions, no members that mean nothing."""

    model_config = ConfigDict(strict=True, extra="forbid")


def decimal_text(value: Decimal | None) -> str | None:
    """ "12.5": no exponent, no trailing zeros."""
    return None if value is None else plain_quantity(value)


def instant_text(value: datetime | None) -> str | None:
    """ "2026-07-01T00:00:00Z"."""
    return None if value is None else plain_instant(value)


def answer(body: dict[str, Any], status: int = 200) -> HttpResponse:
    """The body as it stands: it was made by our own hands, so it is not validated once more."""
    # As bytes: for text Django looks for a charset, which takes as long as all the rest of the answer.
    return HttpResponse(json.dumps(body).encode(), status=status, content_type="application/json")
