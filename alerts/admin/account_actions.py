"""Refresh and recalculate now, for chosen accounts: what the sweeps do for all of them (spec 2.8, 7.2)."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from alerts.services.evaluate import Evaluated, evaluate, evaluate_limits
from usage.admin import registry
from usage.admin.actions import confirmed
from usage.admin.base import actor_of
from usage.clocks import clock_of
from usage.models import Account
from usage.services.audit import record


@confirmed(
    description="Refresh now…",
    text="Looks at all usage of the account and tells what has been reached and was not told yet.",
)
def refresh_now(modeladmin: Any, request: HttpRequest, account: Account, typed: dict[str, Any]) -> str:
    done = evaluate(account_ids=[account.pk], now=clock_of(account)(), include_sandbox=True)
    return _said(request, account, done, action="account.refreshed")


@confirmed(
    description="Recalculate limits now…",
    text="Compares every hard limit of the account with what was told of it, and tells what has changed.",
)
def recalculate_now(modeladmin: Any, request: HttpRequest, account: Account, typed: dict[str, Any]) -> str:
    done = evaluate_limits(account_ids=[account.pk], now=clock_of(account)(), include_sandbox=True)
    return _said(request, account, done, action="account.limits_recalculated")


def _said(request: HttpRequest, account: Account, done: Evaluated, *, action: str) -> str:
    result = {"firings": done.firings, "messages": done.messages}
    record(by=actor_of(request), action=action, subject=account.key, account=account, after=result)
    return f"{done.firings} told for the first time, {done.messages} messages queued."


registry.ACCOUNT.actions += [refresh_now, recalculate_now]
