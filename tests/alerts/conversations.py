"""What tests about decisions share: a sandbox account whose clock stands, usage, limits, and questions over HTTP."""

from __future__ import annotations

import itertools
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.test import Client

from billing.models import Plan
from billing.services.subscriptions import start_subscription
from tests import factories
from usage.models import Account, Period
from usage.services.limits import write_limit
from usage.services.locks import lock_account

_messages = itertools.count(1)


def make_account(key: str = "acme", *, plan: str | None = "professional", **options: Any) -> Account:
    """A sandbox account whose clock stands at `factories.NOON`, on `plan` (None: no plan at all)."""
    account = factories.make_account(key, is_sandbox=True, **options)
    if plan is not None:
        period = Period.objects.filter(account=account).earliest("starts_at").starts_at
        offered = Plan.objects.filter(key=plan).latest("version")
        with transaction.atomic():
            start_subscription(account=account, plan=offered, period=period, by=factories.BY)
    return account


def set_clock(account: Account, at: datetime) -> None:
    """Let the account's test clock stand at `at`."""
    Account.objects.filter(pk=account.pk).update(sandbox_now=at)


def limit(
    quantity: int | None,
    metric: str = "ai_resolutions",
    *,
    workspace: str = "atlas",
    from_period: datetime | None = None,
) -> None:
    """A hard limit in force from the account's first period on, or from the period that starts at `from_period`."""
    place = factories.workspace(workspace)
    start = from_period or Period.objects.filter(account=place.account).earliest("starts_at").starts_at
    with transaction.atomic():
        lock_account(place.account_id)
        write_limit(
            workspace=place,
            metric=factories.metric(metric),
            from_period=start,
            quantity=None if quantity is None else Decimal(quantity),
        )


class Application:
    """The metered product: asks over HTTP who answers, with a key of its own."""

    def __init__(self, account: Account | None, *scopes: str, workspace: str = "atlas") -> None:
        self.headers = factories.bearer(factories.make_key(account, *(scopes or ("decide",))))
        self.workspace = workspace
        self.client = Client()

    def post(self, body: Any, *, workspace: str | None = None) -> Any:
        path = f"/api/v1/workspaces/{workspace or self.workspace}/route"
        return self.client.post(path, body, content_type="application/json", headers=self.headers)

    def ask(
        self, conversation: str, event: str = "customer_replied", *, message: str | None = None, **fields: Any
    ) -> dict[str, Any]:
        """The answer to a message, a new one each time if `message` is not given."""
        body = {
            "conversation_id": conversation,
            "message_id": message or f"message-{next(_messages)}",
            "metric": "ai_resolutions",
            "event": event,
        } | fields
        response = self.post(body)
        assert response.status_code == 200, response.content
        answer: dict[str, Any] = response.json()
        return answer

    def starts(self, conversation: str, **fields: Any) -> dict[str, Any]:
        return self.ask(conversation, "started", **fields)
