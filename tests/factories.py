"""Test data through the real services: an account as an operator would make it, keys, teammates, events.

Everything has a sensible default, and every test names what it is about. Times are aware; `NOON` is a moment in the
middle of the first period of a default account.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

from usage.clocks import system_clock
from usage.models import Account, ApiKey, Metric, Teammate, User, Workspace
from usage.services import accounts, api_keys
from usage.services.audit import Actor

STARTED_ON = date(2026, 6, 1)
NOON = datetime(2026, 6, 15, 12, tzinfo=UTC)
BY = Actor.of_command("tests")

_numbers = itertools.count(1)


def make_account(
    key: str = "acme",
    *,
    workspaces: Sequence[str] = ("atlas",),
    started_on: date = STARTED_ON,
    zone: str = "UTC",
    interval: str = "month",
    currency: str = "USD",
    is_sandbox: bool = False,
    now: datetime = NOON,
) -> Account:
    """An account with workspaces of those keys: from 1 June 2026, monthly, in UTC and US dollars by default."""
    return accounts.create_account(
        key=key,
        name=key.title(),
        currency=currency,
        zone=zone,
        started_on=started_on,
        interval=interval,
        workspaces=[(workspace, workspace.title()) for workspace in workspaces],
        is_sandbox=is_sandbox,
        now=now,
        by=BY,
    )


def workspace(key: str = "atlas") -> Workspace:
    """The workspace with that key."""
    return Workspace.objects.select_related("account").get(key=key)


def metric(key: str = "ai_resolutions") -> Metric:
    """The metric with that key."""
    return Metric.objects.get(key=key)


def make_user(email: str = "ada@example.com", *, name: str = "", **fields: Any) -> User:
    """A user who can log in with the password `headroom`."""
    return User.objects.create_user(email, "headroom", name=name or email.partition("@")[0].title(), **fields)


def make_teammate(
    workspace_key: str = "atlas",
    email: str = "ada@example.com",
    *,
    alerts: bool = False,
    limits: bool = False,
    billing: bool = False,
) -> Teammate:
    """A teammate with those permissions; the user is made when there is none."""
    user = User.objects.filter(email=email).first() or make_user(email)
    return accounts.set_teammate_flags(
        workspace=workspace(workspace_key),
        user=user,
        by=BY,
        can_manage_alerts=alerts,
        can_manage_limits=limits,
        can_manage_billing=billing,
    )


def make_key(account: Account | None = None, *scopes: str, **options: Any) -> str:
    """The plain text of a new API key of the account (None: the operator's) with `scopes` (default: all)."""
    _, plain = api_keys.create_api_key(
        account=account,
        name="tests",
        scopes=scopes or ApiKey.Scope.values,
        now=options.pop("now", None) or system_clock(),
        by=BY,
        **options,
    )
    return plain


def bearer(plain: str) -> dict[str, str]:
    """The header that shows the key."""
    return {"Authorization": f"Bearer {plain}"}


def event(
    type_: str = "ai_resolution.recorded",
    *,
    subject: str = "atlas",
    id_: str | None = None,
    time: datetime | str | None = None,
    source: str = "urn:tests",
    data: Any = None,
    **attributes: Any,
) -> dict[str, Any]:
    """A CloudEvent as a client sends it; a new id each time if none is given, no `time` and no `data` if none are."""
    sent: dict[str, Any] = {
        "specversion": "1.0",
        "id": id_ if id_ is not None else f"event-{next(_numbers)}",
        "source": source,
        "type": type_,
        "subject": subject,
    }
    if time is not None:
        sent["time"] = time if isinstance(time, str) else time.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if data is not None:
        sent["data"] = data
    return sent | attributes


def use(
    metric_key: str = "ai_resolutions",
    quantity: int = 1,
    *,
    workspace_key: str = "atlas",
    at: datetime = NOON,
    received_at: datetime | None = None,
) -> None:
    """Record usage through ingest: `quantity` display units (calls last whole minutes) that happened at `at` and arrive
    at `received_at` (default: the same moment). Levels are set to `quantity`."""
    from usage.services.ingest import ingest_sent

    place, measured = workspace(workspace_key), metric(metric_key)
    when = at.astimezone(UTC)
    match measured.kind:
        case Metric.Kind.COUNT:
            sent = [event(measured.event_type, subject=place.key, time=when) for _ in range(quantity)]
        case Metric.Kind.DURATION:
            from datetime import timedelta

            data = {"started_at": (when - timedelta(minutes=quantity)).isoformat(), "ended_at": when.isoformat()}
            sent = [event(measured.event_type, subject=place.key, data=data)]
        case _:
            sent = [event(measured.event_type, subject=place.key, time=when, data={"value": quantity})]
    arrival = received_at or at
    for start in range(0, len(sent), 1000):
        result = ingest_sent(account_id=place.account_id, sent=sent[start : start + 1000], clock=lambda: arrival)
        if result.rejected:
            raise AssertionError(f"the usage was rejected: {result.rejected}")
