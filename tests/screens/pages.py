"""What tests of screens share: an account whose clock stands in the middle of June 2026, a browser for each person."""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.test import Client

from billing.models import AddOn
from billing.services.contacts import add_contact
from billing.services.purchases import add_add_on, set_contract
from tests import factories
from tests.alerts.conversations import make_account
from usage.models import Account, Period, User, Workspace

NOON = factories.NOON
BACKEND = "usage.sign_in.UserBackend"


def make_company(
    key: str = "acme", *, workspaces: tuple[str, ...] = ("atlas",), plan: str | None = "starter", **options: Any
) -> Account:
    """An account with ada (all permissions), cleo (alerts) and ben (none) in each workspace, and a billing contact. Its
    clock stands at `NOON`."""
    account = make_account(key, workspaces=workspaces, plan=plan, **options)
    for workspace in workspaces:
        factories.make_teammate(workspace, "ada@example.com", alerts=True, limits=True, billing=True)
        factories.make_teammate(workspace, "cleo@example.com", alerts=True)
        factories.make_teammate(workspace, "ben@example.com")
    add_contact(account=account, email="mona@acme.example", name="Mona", by=factories.BY)
    return account


def contract(account: Account, quantity: int, *, metric: str = "ai_resolutions") -> None:
    """`quantity` contracted at $0.89 from the first period on."""
    set_contract(
        account=account,
        metric=factories.metric(metric),
        quantity=Decimal(quantity),
        unit_price=Decimal("0.89"),
        overage_price=None,
        from_period=first_period(account),
        by=factories.BY,
    )


def buy_proactive_support(account: Account) -> None:
    add_on = AddOn.objects.get(key="proactive_support_plus")
    add_add_on(account=account, add_on=add_on, clock=lambda: NOON, by=factories.BY)


def first_period(account: Account) -> datetime:
    return Period.objects.filter(account=account).earliest("starts_at").starts_at


def stand_at(account: Account, at: datetime) -> None:
    """Let the account's clock stand at `at`."""
    Account.objects.filter(pk=account.pk).update(sandbox_now=at)


def at(day: int, month: int = 6, hour: int = 12) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


def browser(email: str = "ada@example.com", *, htmx: bool = False) -> Client:
    """A logged-in browser; `htmx`: as a script of the page asks."""
    client = Client(headers={"HX-Request": "true"} if htmx else None)
    client.force_login(User.objects.get(email=email), backend=BACKEND)
    return client


def read(response: Any) -> str:
    """The words of an answer, as a person reads them: no tags, entities decoded, spaces folded."""
    text = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", response.content.decode(), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split()).replace(" .", ".").replace(" ,", ",")


def card(response: Any, metric: str) -> str:
    """The words of one metric's card on the usage page; "" when there is none."""
    found = re.search(rf'<article class="card" id="{metric}".*?</article>', response.content.decode(), flags=re.S)
    if found is None:
        return ""
    text = re.sub(r"<svg\b.*?</svg>", " ", found.group(), flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def workspace(key: str = "atlas") -> Workspace:
    return factories.workspace(key)
