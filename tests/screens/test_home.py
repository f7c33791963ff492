"""Where a person lands after signing in (spec 6.1)."""

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import make_account, make_teammate, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client: Client) -> Client:
    make_account("zeta", workspaces=("zeta-one", "zeta-two"))
    make_account("acme", workspaces=("atlas",))
    for key in ("zeta-one", "zeta-two", "atlas"):
        teammate = make_teammate(key)
    client.force_login(teammate.user)
    return client


def test_a_teammate_lands_in_the_workspace_joined_first(ada: Client) -> None:
    assert ada.get("/").headers["Location"] == reverse("dashboard", args=["zeta-one"])


def test_a_teammate_comes_back_to_the_workspace_seen_last(ada: Client) -> None:
    ada.get(reverse("dashboard", args=["atlas"]))
    assert ada.get("/").headers["Location"] == reverse("dashboard", args=["atlas"])


def test_an_admin_without_workspace_lands_in_the_admin(client: Client) -> None:
    client.force_login(make_user("admin@example.com", is_staff=True))
    assert client.get("/").headers["Location"] == reverse("admin:index")
