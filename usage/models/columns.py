"""Decimal columns that all apps store alike."""

from __future__ import annotations

from typing import Any, Final

QUANTITY: Final[dict[str, Any]] = {"max_digits": 30, "decimal_places": 6}  # stored or display units
MONEY: Final[dict[str, Any]] = {"max_digits": 20, "decimal_places": 3}  # an amount, rounded; of any currency
PRICE: Final[dict[str, Any]] = {"max_digits": 20, "decimal_places": 10}  # of one unit or of a plan, never rounded
