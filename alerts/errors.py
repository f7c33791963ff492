"""What can go wrong when alerts and limits are changed (spec 1.3, 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from usage.errors import Forbidden, InvalidInput
from usage.rounding import format_quantity, plain_quantity

if TYPE_CHECKING:
    from usage.models import User, Workspace


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


class Restricted(Forbidden):
    """A permission is missing: names it, who holds it in the workspace, and whom to ask (spec 1.3)."""

    title = "This feature is restricted"

    def __init__(
        self,
        *,
        doing: str,
        permissions: Sequence[str],
        holders: Sequence[User],
        workspace: Workspace,
        support_email: str,
    ) -> None:
        super().__init__(f"To {doing} you need the permission {' and '.join(permissions)}.", code="restricted")
        self.doing = doing
        self.permissions = tuple(permissions)
        self.holders = tuple(holders)
        self.workspace = workspace
        self.support_email = support_email
