"""What can go wrong when alerts and limits are changed (spec 1.3, 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from usage.errors import InvalidInput
from usage.rounding import format_quantity, plain_quantity


class LimitBelowIncluded(InvalidInput):
    """The limit would lie below what is included (spec 4.2). Quantities in display units; `others` are the other
    workspaces' names and limits in that period."""

    title = "The limit is too low"

    def __init__(
        self, *, lowest_allowed: Decimal, included: Decimal, workspace: str, others: Sequence[tuple[str, Decimal]]
    ) -> None:
        beside = ", ".join(f"{name}: {format_quantity(limit)}" for name, limit in others)
        detail = (
            f"can't be lower than {format_quantity(lowest_allowed)} in {workspace}{f' ({beside})' if beside else ''}: "
            f"{format_quantity(included)} are included in your subscription; "
            f"you would still be charged for {format_quantity(included)}"
        )
        super().__init__(
            detail, field="limit", code="limit_below_included", lowest_allowed=plain_quantity(lowest_allowed)
        )
        self.lowest_allowed = lowest_allowed
