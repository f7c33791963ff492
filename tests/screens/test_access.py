"""Who gets to see a page (spec 1.2, 1.5): teammates of the workspace, nobody else, and nothing is kept by caches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from alerts.models import Notification, UsageAlert
from tests import factories
from tests.screens.pages import BACKEND, browser, make_company, read
from usage.models import AuditEntry, UsageLimit, User

pytestmark = pytest.mark.django_db

# Doors with locks of their own: keys, the admin's login, Django's login views.
OTHER_DOORS = ("api/", "ofrep/", "admin/", "login/", "logout/", "password_", "reset/", "healthz", "readyz")
PAGES = (
    "",
    "usage",
    "billing",
    "billing/plans",
    "analytics",
    "analytics.csv",
    "teammates",
    "notifications",
    "workflows",
)
DRAWERS = ("usage/ai_resolutions/alerts", "usage/ai_resolutions/price", "billing/plans/professional")


def patterns(resolver: Any = None, before: str = "") -> Iterator[tuple[str, URLPattern]]:
    for each in (resolver or get_resolver()).url_patterns:
        route = before + str(each.pattern).removeprefix("^")
        if isinstance(each, URLResolver):
            yield from patterns(each, route)
        else:
            yield route, each


def test_every_page_has_a_lock() -> None:
    """A view without an access decorator would be open to the world."""
    open_doors = [
        route
        for route, each in patterns()
        if not route.startswith(OTHER_DOORS) and not hasattr(each.callback, "access")
    ]
    assert open_doors == []


def test_without_a_login_a_page_leads_to_the_login_and_back() -> None:
    make_company()
    for path in (*PAGES, *DRAWERS):
        answer = Client().get(f"/w/atlas/{path}")
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/login/?next=/w/atlas/{path}")


def test_a_part_of_a_page_sends_the_whole_page_to_the_login() -> None:
    make_company()
    answer = Client(headers={"HX-Request": "true"}).get("/w/atlas/usage/ai_resolutions/alerts")
    assert answer.headers["HX-Redirect"] == "/login/"


def test_foreign_and_missing_workspaces_answer_alike() -> None:
    make_company()
    make_company("other", workspaces=("foreign",))
    stranger = factories.make_user("eve@example.com")
    client = Client()
    client.force_login(stranger, backend=BACKEND)
    for path in (*PAGES, *DRAWERS):
        foreign, missing = client.get(f"/w/foreign/{path}"), client.get(f"/w/missing/{path}")
        assert (foreign.status_code, missing.status_code) == (404, 404), path
        assert read(foreign) == read(missing)
        assert foreign.headers.keys() == missing.headers.keys()


def test_admins_are_no_teammates() -> None:
    make_company()
    admin = User.objects.create_superuser("root@example.com", "headroom")
    client = Client()
    client.force_login(admin, backend=BACKEND)
    assert {client.get(f"/w/atlas/{path}").status_code for path in (*PAGES, *DRAWERS)} == {404}


def test_pages_open_are_never_kept_and_reading_changes_nothing() -> None:
    make_company()
    ada = browser()
    before = [model.objects.count() for model in (AuditEntry, UsageAlert, UsageLimit, Notification)]
    for path in (*PAGES, *DRAWERS):
        answer = ada.get(f"/w/atlas/{path}")
        assert answer.status_code == 200, path
        assert "no-store" in answer.headers["Cache-Control"]
    assert [model.objects.count() for model in (AuditEntry, UsageAlert, UsageLimit, Notification)] == before


def test_page_and_part_never_share_a_cache_entry() -> None:
    make_company()
    for path in ("", "usage", "billing", "usage/ai_resolutions/alerts", "billing/plans/professional"):
        assert "HX-Request" in browser().get(f"/w/atlas/{path}").headers["Vary"], path


class TestTheBareAddress:
    def test_leads_to_the_workspace_joined_first_then_to_the_one_seen_last(self) -> None:
        make_company(workspaces=("birch", "atlas"))
        ada = browser()
        assert ada.get("/").headers["Location"] == "/w/birch/"
        ada.get("/w/atlas/")
        assert ada.get("/").headers["Location"] == "/w/atlas/"

    def test_leads_admins_without_a_workspace_to_the_admin(self) -> None:
        client = Client()
        client.force_login(User.objects.create_superuser("root@example.com", "headroom"), backend=BACKEND)
        assert client.get("/").headers["Location"] == "/admin/"

    def test_says_what_is_missing_to_everybody_else(self) -> None:
        client = Client()
        client.force_login(factories.make_user("eve@example.com"), backend=BACKEND)
        answer = client.get("/")
        assert answer.status_code == 200
        assert "You are in no workspace yet" in answer.content.decode()

    def test_needs_a_login(self) -> None:
        assert Client().get("/").headers["Location"] == "/login/?next=/"


def test_flags_hold_from_the_next_request_on() -> None:
    make_company()
    ben = browser("ben@example.com")
    assert ben.get("/w/atlas/billing/contacts/add").status_code == 403
    factories.make_teammate("atlas", "ben@example.com", billing=True)
    assert ben.get("/w/atlas/billing/contacts/add").status_code == 200
    factories.make_teammate("atlas", "ben@example.com")
    assert ben.get("/w/atlas/billing/contacts/add").status_code == 403


def test_what_does_not_exist_is_not_found() -> None:
    make_company()
    ada = browser()
    for address in (
        "/w/atlas/usage/nonsense/alerts",
        "/w/atlas/usage/seats/alerts",
        "/w/atlas/usage/%00/alerts",
        "/w/%00/usage",
        "/w/atlas/usage?period=nonsense",
        "/w/atlas/usage?period=2020-01-01",
        "/w/atlas/usage?period=2026-06-02",
        "/w/atlas/billing/contacts/99999999",
        "/w/atlas/billing/contacts/99999999999999999999999",
        "/w/atlas/billing/plans/nonsense",
        "/w/atlas/billing/plans/%00",
    ):
        assert ada.get(address).status_code == 404, address


def test_a_strange_filter_is_no_filter() -> None:
    make_company()
    ada = browser()
    for query in ("metric=nonsense", "workspace=%00", "periods=-1", "periods=9e9", "metric=", "x=1"):
        assert ada.get(f"/w/atlas/analytics?{query}").status_code == 200, query
