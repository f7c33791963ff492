"""What the page of an account and of a workspace links to and can do. Each app adds its own: a lower app knows no
higher one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class PageOf:
    """Links to lists narrowed to the row, actions on it, columns of its list and what they ask of the database."""

    lists: list[tuple[str, str]] = field(default_factory=list)  # (label, model as "billing_invoice", or a view's name)
    actions: list[Any] = field(default_factory=list)
    columns: list[Any] = field(default_factory=list)
    annotations: dict[str, Any] = field(default_factory=dict)


ACCOUNT = PageOf()
WORKSPACE = PageOf()
