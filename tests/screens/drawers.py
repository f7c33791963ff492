"""The drawer of AI resolutions as the tests of screens use it: its addresses, its form, and what came of a save."""

from __future__ import annotations

import json
from typing import Any

from tests.screens.pages import browser
from usage.models import UsageLimit

DRAWER = "/w/atlas/usage/ai_resolutions/alerts"
PRICE = "/w/atlas/usage/ai_resolutions/price"
HALVES = "Also get alerts when usage reaches 50% and 80% of the total you've entered above."


def form(**fields: Any) -> dict[str, Any]:
    """What the drawer of AI resolutions sends; boxes that are not named are not ticked."""
    return {"has_alert": "1", "has_limit": "1", "threshold": "", "limit": "", **fields}


def save(email: str = "ada@example.com", *, path: str = DRAWER, htmx: bool = True, **fields: Any) -> Any:
    return browser(email, htmx=htmx).post(path, form(**fields))


def events(answer: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer.headers.get("HX-Trigger", "{}"))
    return found


def limits() -> list[tuple[str, int | None]]:
    rows = UsageLimit.objects.order_by("from_period")
    return [(row.from_period.strftime("%-d %b"), None if row.quantity is None else int(row.quantity)) for row in rows]
