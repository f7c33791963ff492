"""The notification centre (spec 3.11): what a teammate sees, and what they have read."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from alerts.models import Notification, NotificationRead
from tests import factories
from tests.alerts.conversations import make_account
from usage.models import Account, User

pytestmark = pytest.mark.django_db

PAGE = "/w/atlas/notifications"


@pytest.fixture
def account() -> Account:
    account = make_account(workspaces=("atlas", "birch"))
    factories.make_teammate()
    factories.make_teammate(email="ben@example.com")
    return account


def browser(email: str = "ada@example.com", **headers: str) -> Client:
    client = Client(headers=headers or None)
    client.force_login(User.objects.get(email=email), backend="usage.sign_in.UserBackend")
    return client


def tell(
    title: str,
    *,
    workspace: str | None = "atlas",
    kind: str = "usage_alert",
    at: datetime = factories.NOON,
    **fields: Any,
) -> Notification:
    place = factories.workspace(workspace or "atlas")
    return Notification.objects.create(
        kind=kind,
        account=place.account,
        workspace=place if workspace else None,
        at=at,
        title=title,
        dedupe=f"{title}-{workspace}",
        **fields,
    )


def test_shows_the_workspaces_messages_and_the_accounts_newest_first(account: Account) -> None:
    tell("older", at=factories.NOON - timedelta(days=1))
    tell("of the account <b>", workspace=None, kind="spend_alert")
    tell("of birch", workspace="birch")
    make_account("other", workspaces=("foreign",))
    tell("of others", workspace="foreign")
    page = browser().get(PAGE).content.decode()
    assert page.index("of the account &lt;b&gt;") < page.index("older")
    assert "of birch" not in page
    assert "of others" not in page
    assert "Today, 15 Jun" in page
    assert "Yesterday, 14 Jun" in page


def test_says_so_when_there_is_nothing(account: Account) -> None:
    assert "Nothing to tell yet" in browser().get(PAGE).content.decode()
    assert "All read" in browser().get(f"{PAGE}?show=unread").content.decode()


def test_read_state_belongs_to_the_teammate(account: Account) -> None:
    message = tell("AI Agent limit reached", kind="limit_reached")
    ada, ben = browser(), browser("ben@example.com")
    address = reverse("notification_read", args=["atlas", message.pk])
    for _ in range(2):
        assert ada.post(address).status_code == 302
    assert NotificationRead.objects.count() == 1
    assert "(unread)" not in ada.get(PAGE).content.decode()
    assert "(unread)" in ben.get(PAGE).content.decode()
    ada.post(address, {"unread": "1"})
    assert "(unread)" in ada.get(PAGE).content.decode()


def test_all_are_marked_that_the_page_showed(account: Account) -> None:
    first, second = tell("first"), tell("second")
    arrived_later = tell("arrived later")
    birch = tell("of birch", workspace="birch")
    browser().post(reverse("notifications_read", args=["atlas"]), {"up_to": str(second.pk)})
    read = set(NotificationRead.objects.values_list("notification_id", flat=True))
    assert read == {first.pk, second.pk}
    assert arrived_later.pk not in read
    browser().post(reverse("notifications_read", args=["atlas"]), {"up_to": "nonsense"})
    assert birch.pk not in NotificationRead.objects.values_list("notification_id", flat=True)
    assert NotificationRead.objects.count() == 3


def test_tabs_choose_by_kind_and_read_state(account: Account) -> None:
    alert, reached = tell("an alert"), tell("a limit", kind="limit_reached")
    tell("an invoice", kind="invoice_issued", workspace=None)
    client = browser()
    client.post(reverse("notification_read", args=["atlas", alert.pk]))

    def shown(tab: str) -> set[str]:
        page = client.get(f"{PAGE}?show={tab}").content.decode()
        return {title for title in ("an alert", "a limit", "an invoice") if title in page}

    assert shown("alerts") == {"an alert"}
    assert shown("limits") == {reached.title}
    assert shown("unread") == {"a limit", "an invoice"}
    assert shown("nonsense") == {"an alert", "a limit", "an invoice"}


def test_pages_by_keyset_both_ways(account: Account) -> None:
    for number in range(70):
        # Some at the same moment: the id decides.
        tell(f"message {number:02}", at=factories.NOON - timedelta(minutes=number // 3))
    client = browser()

    def titles(page: str) -> list[str]:
        return [f"message {number:02}" for number in range(70) if f">message {number:02}<" in page]

    first = client.get(PAGE).content.decode()
    middle_query = first.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0]
    middle = client.get(PAGE + middle_query).content.decode()
    last_query = middle.split('rel="next"')[0].rsplit('href="', 1)[1].split('"')[0]
    last = client.get(PAGE + last_query).content.decode()
    assert [len(titles(page)) for page in (first, middle, last)] == [30, 30, 10]
    assert len({*titles(first), *titles(middle), *titles(last)}) == 70
    back_query = last.split('rel="prev"')[0].rsplit('href="', 1)[1].split('"')[0]
    assert titles(client.get(PAGE + back_query.replace("&amp;", "&")).content.decode()) == titles(middle)
    for nonsense in ("?before=x", "?after=99999999999999999999", "?before=-1", "?before=²"):
        assert client.get(PAGE + nonsense).status_code == 200


def test_with_htmx_only_the_list_comes_back(account: Account) -> None:
    message = tell("a message")
    client = browser(**{"HX-Request": "true"})
    page = client.post(reverse("notification_read", args=["atlas", message.pk]), {"show": "unread"}).content.decode()
    assert page.lstrip().startswith('<div class="workflows" id="notifications"')
    assert "All read" in page


def test_foreign_messages_and_workspaces_answer_like_missing_ones(account: Account) -> None:
    make_account("other", workspaces=("foreign",))
    theirs, birch = tell("theirs", workspace="foreign"), tell("birch", workspace="birch")
    client = browser()
    for message in (theirs, birch):
        assert client.post(reverse("notification_read", args=["atlas", message.pk])).status_code == 404
    assert client.get("/w/foreign/notifications").status_code == 404
    assert client.get("/w/nowhere/notifications").status_code == 404
    assert Client().get(PAGE).status_code == 302
    assert client.get(reverse("notification_read", args=["atlas", birch.pk])).status_code == 405
    assert not NotificationRead.objects.exists()
