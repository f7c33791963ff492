"""The drawer's form: alerts and limit of a metric (spec 3.1, 4.1), and the spend alert's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from alerts.selectors.drawer import DrawerState
from alerts.services.drawer import DrawerChanges
from usage.rounding import parse_whole_number, plain_quantity

# “1,200” and “1 200” are how people write it.
_GROUPED: Final = re.compile(r"[0-9]{1,3}(?:[,\u00a0\u202f ][0-9]{3})+")
_AMOUNT: Final = re.compile(r"(?:[0-9]{1,15}|[0-9]{1,3}(?:[,\u00a0\u202f ][0-9]{3})+)(?:\.[0-9]{1,4})?")


def read_number(text: str, *, at_least: int) -> Decimal:
    """A whole number as a person types it, with or without thousands separators. ValueError with a sentence."""
    typed = text.strip()
    if not typed:
        raise ValueError("Enter a number.")
    if _GROUPED.fullmatch(typed):
        typed = re.sub(r"[^0-9]", "", typed)
    try:
        return parse_whole_number(typed, at_least=at_least)
    except ValueError as error:
        words = str(error)
        if "must be a decimal number" in words or "must be a number" in words:
            words = "must be a whole number"
        elif words.startswith("must be at least"):
            words = f"must be at least {at_least}"
        # The API says numbers as it takes them, a screen as people read them.
        words = re.sub(r"[0-9]{5,}", lambda found: f"{int(found[0]):,}", words)
        raise ValueError(f"The number {words}.") from error


@dataclass
class DrawerForm:
    """What the drawer's fields hold, as typed; `errors` by field after `read`."""

    alert_on: bool = False
    threshold: str = ""
    also_50_80: bool = False
    plan_alert: bool = False
    limit_on: bool = False
    limit: str = ""
    has_alert: bool = True
    has_plan_alert: bool = False
    has_limit: bool = False
    errors: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of_state(cls, state: DrawerState) -> DrawerForm:
        """What stands: the scheduled setting where one is, else the one in force."""
        alert = state.alert.scheduled or state.alert.in_force
        limit = state.limit.scheduled or state.limit.in_force
        return cls(
            alert_on=alert is not None and alert.is_on,
            threshold=plain_quantity(alert.threshold) if alert and alert.threshold is not None else "",
            also_50_80=alert is not None and alert.also_50_80,
            plan_alert=state.plan_alert,
            limit_on=limit is not None and limit.is_on,
            limit=plain_quantity(limit.limit) if limit and limit.limit is not None else "",
            has_alert=state.metric.supports_alerts,
            has_plan_alert=state.has_plan_levels,
            has_limit=state.metric.supports_limit,
        )

    @classmethod
    def sent(cls, data: Mapping[str, Any]) -> DrawerForm:
        """What a browser sent. A section is there when its marker is: unticked boxes send nothing."""
        return cls(
            alert_on="alert_on" in data,
            threshold=str(data.get("threshold", ""))[:64],
            also_50_80="also_50_80" in data,
            plan_alert="plan_alert" in data,
            limit_on="limit_on" in data,
            limit=str(data.get("limit", ""))[:64],
            has_alert="has_alert" in data,
            has_plan_alert="has_plan_alert" in data,
            has_limit="has_limit" in data,
        )

    def read(self, *, effective: str | None) -> DrawerChanges | None:
        """The changes that are wanted, or None with `errors` filled. `effective` as in `DrawerChanges`."""
        threshold = self._number("threshold", self.alert_on and self.has_alert, at_least=1)
        limit = self._number("limit", self.limit_on and self.has_limit, at_least=0)
        if self.errors:
            return None
        return DrawerChanges(
            has_alert=self.has_alert,
            threshold=threshold,
            also_50_80=self.also_50_80,
            plan_alert=self.plan_alert if self.has_plan_alert else None,
            has_limit=self.has_limit,
            limit=limit,
            effective=effective,
        )

    def repeated(self) -> list[tuple[str, str]]:
        """The form as hidden fields, for the confirmation."""
        ticked = {
            name: "1"
            for name in ("has_alert", "has_plan_alert", "has_limit", "alert_on", "also_50_80", "plan_alert", "limit_on")
            if getattr(self, name)
        }
        return [*ticked.items(), ("threshold", self.threshold), ("limit", self.limit)]

    def show_error(self, name: str, sentence: str) -> None:
        """`name` is a field of the form; anything else stands above it."""
        known = {"threshold", "limit"}
        self.errors.setdefault(name if name in known else "form", []).append(sentence)

    def _number(self, name: str, is_wanted: bool, *, at_least: int) -> Decimal | None:
        if not is_wanted:
            return None
        try:
            return read_number(getattr(self, name), at_least=at_least)
        except ValueError as error:
            self.show_error(name, str(error))
            return None


def read_amount(text: str) -> Decimal:
    """An amount of money as a person types it: “1500”, “1,500.00”. ValueError with a sentence; whether the amount fits
    the currency is the service's question."""
    typed = text.strip()
    if not typed:
        raise ValueError("Enter an amount.")
    if _AMOUNT.fullmatch(typed) is None:
        raise ValueError("Enter an amount such as 1500 or 1500.50.")
    return Decimal(re.sub(r"[^0-9.]", "", typed))
