"""What the page of an account and of a workspace links to and can do. Each app adds its own: a lower app knows no
higher one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class PageOf:
    """Links to lists narrowed to the row, and actions on it."""

    lists: list[tuple[str, str]] = field(default_factory=list)  # (label, model as "billing_invoice", or a view's name)
    actions: list[Any] = field(default_factory=list)


ACCOUNT = PageOf()
WORKSPACE = PageOf()
