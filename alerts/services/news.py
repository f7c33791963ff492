"""What an evaluation decided to tell; `messages` finds the words for it, `outbox` writes them down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class News:
    """Something to be told. Quantities in stored units, for spend in money; `once` makes its identity within kind,
    account, workspace and metric."""

    kind: str
    account_id: int
    workspace_id: int | None
    metric_id: int | None
    period: datetime
    level: int | None
    threshold: Decimal | None
    quantity: Decimal | None
    at: datetime
    once: str
    has_email: bool = True

    @property
    def identity(self) -> str:
        """Unique for ever: a second notification of the same cannot be written."""
        return f"{self.kind}:{self.account_id}:{self.workspace_id or '-'}:{self.metric_id or '-'}:{self.once}"
