"""Two accounts that know nothing of each other, everybody who may knock at their doors, and what lies behind them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client

from alerts.models import HandoverSteps, Notification, Workflow
from alerts.services.alerts import set_usage_alert
from alerts.services.evaluate import evaluate
from alerts.services.limits import set_hard_limit
from billing.models import BillingContact, Invoice, InvoiceDocument, InvoiceLine
from billing.services.closing import close_account
from billing.services.contacts import add_contact
from billing.services.subscriptions import start_subscription
from tests.billing.books import at, plan
from tests.factories import BY, make_account, make_teammate, make_user, metric, use, workspace
from usage.models import Account, User
from usage.services.accounts import remove_teammate

ALERTS, LIMITS, BILLING = "can_manage_alerts", "can_manage_limits", "can_manage_billing"
EVERYTHING = frozenset({ALERTS, LIMITS, BILLING})
NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Person:
    """`here`: the permissions in Atlas, None for who is no teammate of it; `account`: those held anywhere in Acme."""

    email: str
    here: frozenset[str] | None = None
    account: frozenset[str] = NOTHING
    is_logged_in: bool = True


PEOPLE = {
    "anonymous": Person("", is_logged_in=False),
    "ben": Person("ben@acme.example", NOTHING, NOTHING),
    "cleo": Person("cleo@acme.example", frozenset({ALERTS}), frozenset({ALERTS})),
    "liam": Person("liam@acme.example", frozenset({LIMITS}), frozenset({LIMITS})),
    "bill": Person("bill@acme.example", frozenset({BILLING}), frozenset({BILLING})),
    "ada": Person("ada@acme.example", EVERYTHING, EVERYTHING),
    # Reads Atlas and holds every permission in Birch, which counts for what concerns the whole account (spec 1.2).
    "pat": Person("pat@acme.example", NOTHING, EVERYTHING),
    "bea, of the other workspace": Person("bea@acme.example"),
    "zoe, who was removed": Person("zoe@acme.example"),
    "a stranger": Person("sam@rival.example"),
    "an admin": Person("admin@headroom.example"),
    "gus, whose login was ended": Person("gus@acme.example", is_logged_in=False),
}


@dataclass
class World:
    """Accounts `acme` (Atlas, Birch) and `rival` (Cobalt), and somebody's browser for each of the PEOPLE."""

    acme: Account
    rival: Account
    browsers: dict[str, Client] = field(default_factory=dict)

    def of(self, account: Account) -> dict[str, Any]:
        """What addresses name, of that account."""
        return {
            "contact_id": BillingContact.objects.filter(account=account).earliest("id").pk,
            "workflow_id": Workflow.objects.filter(workspace__account=account).earliest("id").pk,
            "notification_id": Notification.objects.filter(account=account).earliest("id").pk,
            "number": Invoice.objects.filter(account=account).earliest("issued_at", "sequence").number,
            "position": InvoiceLine.objects.filter(account=account, metric__isnull=False).earliest("id").position,
        }


def start_of_account() -> datetime:
    """Two closed months ago, so that today lies in the middle of a billing period."""
    return datetime.now(UTC) - timedelta(days=75)


def settle_in(key: str, *workspaces: str) -> Account:
    """An account with a closed period, a contact, a workflow, an alert that was told and a limit that is reached."""
    start = start_of_account()
    account = make_account(key, workspaces=workspaces, started_on=start.date(), now=start)
    first = account.periods.earliest("starts_at").starts_at
    start_subscription(account=account, plan=plan("professional"), period=first, by=BY)
    add_contact(account=account, email=f"finance@{key}.example", name=f"{key.title()} Finance", by=BY)
    place, now = workspace(workspaces[0]), datetime.now(UTC)
    early = at(now - timedelta(hours=1))
    set_usage_alert(workspace=place, metric=metric(), threshold=Decimal(2), also_50_80=False, clock=early, by=BY)
    set_hard_limit(workspace=place, metric=metric(), quantity=Decimal(3), effective="now", clock=early, by=BY)
    use(quantity=3, workspace_key=place.key, at=start + timedelta(days=1))
    use(quantity=3, workspace_key=place.key, at=now - timedelta(minutes=30))
    evaluate(account_ids=[account.pk], now=now)
    for invoice in close_account(account_id=account.pk, clock=at(now), by=BY):
        content = f"%PDF-1.7 of {key}".encode()
        InvoiceDocument.objects.create(invoice=invoice, content=content, sha256=hashlib.sha256(content).hexdigest())
    Workflow.objects.create(
        workspace=place,
        name=f"{key.title()} rules",
        position=1,
        branches=[{"name": "", "rules": {}, "steps": [{"type": "hand_over_to_team", "team": f"{key.title()} people"}]}],
    )
    HandoverSteps.objects.create(workspace=place, steps=[{"type": "hand_over_to_team"}])
    return account


@contextmanager
def taken_back() -> Iterator[None]:
    """Whatever happens inside is gone afterwards."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def without_a_line_for_each_refusal() -> Iterator[None]:
    log = logging.getLogger("django.request")
    before = log.level
    log.setLevel(logging.ERROR)
    yield
    log.setLevel(before)


@pytest.fixture
def world(db: None) -> World:
    world = World(acme=settle_in("acme", "atlas", "birch"), rival=settle_in("rival", "cobalt"))
    for name, person in PEOPLE.items():
        if person.here is not None:
            flags = {flag.removeprefix("can_manage_"): flag in person.here for flag in EVERYTHING}
            make_teammate("atlas", person.email, **flags)
        world.browsers[name] = Client()
    for email in (PEOPLE["pat"].email, PEOPLE["bea, of the other workspace"].email):
        make_teammate("birch", email, alerts=True, limits=True, billing=True)
    make_teammate("cobalt", PEOPLE["a stranger"].email, alerts=True, limits=True, billing=True)
    removed = make_teammate("atlas", PEOPLE["zoe, who was removed"].email, alerts=True, limits=True, billing=True)
    remove_teammate(teammate=removed, by=BY)
    make_user(PEOPLE["an admin"].email, is_staff=True, is_superuser=True)
    ended = make_teammate("atlas", PEOPLE["gus, whose login was ended"].email, alerts=True, limits=True, billing=True)
    for name, person in PEOPLE.items():
        if person.email:
            world.browsers[name].force_login(User.objects.get(email=person.email))
    User.objects.filter(pk=ended.user.pk).update(is_active=False)
    return world
