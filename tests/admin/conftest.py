"""A world in which every table has rows, made by the services where there are some; and clients who look at it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django_q.models import OrmQ, Task

from alerts.models import (
    Conversation,
    Delivery,
    Firing,
    HandoverSteps,
    LimitState,
    Notification,
    NotificationRead,
    PlanAlertSwitch,
    SpendAlert,
    StoredAnswer,
    Workflow,
)
from alerts.services.alerts import set_usage_alert
from alerts.services.endpoints import add_endpoint
from alerts.services.evaluate import evaluate
from alerts.services.limits import set_hard_limit
from billing.models import InvoiceDocument, InvoicePayment, RenderingTrouble
from billing.services.contacts import add_contact
from tests.billing.books import JULY, JUNE, at, close, contract, profile, subscribed
from tests.factories import BY, make_key, make_teammate, make_user, metric, use, workspace
from usage.jobs import beat
from usage.models import Account, JobRun

NOW = datetime(2026, 7, 2, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[Account]:
    """The world, built once for a module's tests, each of which changes it in a transaction of its own."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield build_world()
        transaction.set_rollback(True)


@pytest.fixture
def account(world: Account, db: None) -> Account:
    """Acme with one closed month, alerts told, a limit reached, and whatever else admins may look at."""
    return Account.objects.get(pk=world.pk)


def build_world() -> Account:
    account = subscribed("starter", key="acme", add_ons=("proactive_support_plus",), workspaces=("atlas", "birch"))
    ada = make_teammate("atlas", "ada@example.com", alerts=True, limits=True, billing=True)
    profile(account, legal_name="Acme Ltd", country="IE")
    add_contact(account=account, email="billing@acme.example", name="Bill", by=BY)
    endpoint = add_endpoint(account=account, url="https://hooks.acme.example/in", by=BY)
    contract(account, 3)
    clock = at(JUNE + timedelta(days=1))
    set_usage_alert(workspace=workspace(), metric=metric(), threshold=Decimal(4), also_50_80=True, clock=clock, by=BY)
    set_hard_limit(workspace=workspace(), metric=metric(), quantity=Decimal(5), effective="now", clock=clock, by=BY)
    use(quantity=5, at=JUNE + timedelta(days=2))
    use("phone", quantity=7, at=JUNE + timedelta(days=2))
    evaluate(account_ids=[account.pk], now=JUNE + timedelta(days=3))
    make_key(account)
    close_and_render(account)
    told(account, ada.user, endpoint)
    decided()
    beat()
    JobRun.objects.create(name="refresh", slot=JULY, finished_at=NOW, result={"firings": 1})
    for is_right in (True, False):
        Task.objects.create(
            id=f"{is_right!s:x>32}"[:32], name="job", func="alerts.jobs.deliver", args=(), kwargs={},
            started=NOW, stopped=NOW, success=is_right, result=None if is_right else "ValueError: no",
        )  # fmt: skip
    return account


def close_and_render(account: Account) -> None:
    invoice = close(account)
    content = b"%PDF-1.7 not really"
    InvoiceDocument.objects.create(invoice=invoice, content=content, sha256=hashlib.sha256(content).hexdigest())
    InvoicePayment.objects.create(invoice=invoice, paid_on=JULY.date())
    RenderingTrouble.objects.create(invoice=invoice, error="no fonts", attempts=1, next_attempt_at=NOW)


def told(account: Account, user: Any, endpoint: Any) -> None:
    notification = Notification.objects.first()
    assert notification is not None
    assert Firing.objects.exists()
    assert LimitState.objects.exists()
    assert Delivery.objects.filter(channel="email").exists()
    NotificationRead.objects.create(notification=notification, user=user, read_at=NOW)
    PlanAlertSwitch.objects.create(account=account, metric=metric(), is_on=False)
    SpendAlert.objects.create(account=account, from_period=JUNE, threshold=Decimal(100))
    assert Delivery.objects.filter(endpoint=endpoint).exists()
    assert OrmQ.objects.exists()


def decided() -> None:
    place = workspace()
    talk = Conversation.objects.create(
        account=place.account,
        workspace=place,
        conversation_id="c-1",
        metric=metric(),
        first_period=JUNE,
        first_answered_at=NOW,
    )
    StoredAnswer.objects.create(conversation=talk, message_id="m-1", answer={"answer": "ai_agent"}, answered_at=NOW)
    Workflow.objects.create(workspace=place, name="Only chat", position=1)
    HandoverSteps.objects.create(workspace=place, steps=[])


@pytest.fixture
def admin_user(db: None) -> Any:
    return make_user("admin@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def admin_client(admin_user: Any) -> Client:
    client = Client()
    client.force_login(admin_user)
    return client


@pytest.fixture
def teammate_client(account: Account) -> Client:
    client = Client()
    client.force_login(workspace().teammates.get(user__email="ada@example.com").user)
    return client
