"""The admin in a real browser: nothing breaks, nobody is shut out, and a new operator gets to the first event."""

from __future__ import annotations

import gzip
import json
import os
import re
import urllib.request
from typing import Any
from urllib.parse import urljoin

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from alerts.models import Delivery
from billing.models import Plan
from tests.admin.conftest import build_world
from tests.browser.people import ALL_LOOKS, check_all_looks, log_in
from tests.factories import make_user
from usage.models import Account, UsageEvent, User

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def admin_page(page: Any, live_server: Any) -> Any:
    make_user("admin@example.com", is_staff=True, is_superuser=True)
    log_in(page, live_server, "admin@example.com")
    page.set_default_timeout(15_000)
    return page


@pytest.mark.slow
def test_its_pages_are_for_everybody_in_light_dark_and_on_a_phone(admin_page: Any, live_server: Any) -> None:
    account = build_world()
    mail = Delivery.objects.filter(channel="email").earliest("pk")
    plan = Plan.objects.get(key="starter")
    paths = [
        reverse("admin:health"),
        reverse("admin:first_steps"),
        reverse("admin:usage_lookup") + "?account=acme",
        reverse("admin:usage_account_change", args=[account.pk]),
        reverse("admin:usage_teammate_changelist"),
        reverse("admin:usage_teammate_add"),
        reverse("admin:alerts_delivery_change", args=[mail.pk]),
        reverse("admin:billing_plan_change", args=[plan.pk]),
        reverse("admin:billing_invoice_changelist"),
    ]
    for path in paths:
        assert admin_page.goto(live_server.url + path).status == 200
        check_all_looks(admin_page)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("HEADROOM_EVERY_PAGE"), reason="HEADROOM_EVERY_PAGE=1: some minutes")
def test_every_page_of_the_admin_is_for_everybody(admin_page: Any, live_server: Any) -> None:
    """Every list; the first row, its history and deletion; every form to add; every action's question."""
    build_world()
    page = admin_page
    seen: set[str] = set()

    def look(address: str) -> None:
        path = address.partition("?")[0].partition("#")[0]
        if path in seen or not path.startswith("/admin/"):
            return
        seen.add(path)
        answer = page.goto(live_server.url + path)
        if answer.headers["content-type"].startswith("text/html"):
            assert answer.status == 200, path
            check_all_looks(page, ALL_LOOKS)

    def links(css: str) -> list[str]:
        found: list[str] = page.eval_on_selector_all(css, "all => all.map((one) => one.getAttribute('href'))")
        here = page.evaluate("location.pathname")
        return [urljoin(here, link) for link in found if link]

    look("/admin/")
    lists = sorted({link for link in links("#content a[href^='/admin/']") if not link.endswith("/add/")})
    for path in lists:
        look(path)
        rows, forms = links("#result_list th a")[:1], links(".object-tools a")
        actions = page.eval_on_selector_all(
            "select[name=action] option", "all => all.map((one) => one.value).filter(Boolean)"
        )
        for row in rows:
            look(row)
            for link in links(".object-tools a, a.deletelink"):
                look(link)
        for form in forms:
            look(form)
        for action in actions if rows else []:
            if action == "download_csv":
                continue
            page.goto(live_server.url + path)
            page.locator("input[name=_selected_action]").first.check()
            page.locator("select[name=action]").first.select_option(action)
            page.locator(".actions button[name=index]").first.click()
            page.wait_for_load_state()
            check_all_looks(page, ALL_LOOKS)
    assert len(seen) > 60


def test_a_message_is_seen_as_it_looks(admin_page: Any, live_server: Any) -> None:
    build_world()
    mail = Delivery.objects.filter(channel="email").earliest("pk")
    admin_page.goto(live_server.url + reverse("admin:alerts_delivery_change", args=[mail.pk]))
    assert admin_page.frame_locator("iframe.message").get_by_text("Headroom for Acme").first.is_visible()


def test_a_first_visit_to_its_pages_loads_little(admin_page: Any, live_server: Any) -> None:
    account = build_world()
    loaded: dict[str, int] = {}
    admin_page.on("response", lambda answer: loaded.update({answer.url: len(gzip.compress(answer.body()))}))
    for path in (
        reverse("admin:index"),
        reverse("admin:health"),
        reverse("admin:usage_account_change", args=[account.pk]),
        reverse("admin:usage_user_change", args=[User.objects.get(email="ada@example.com").pk]),
        reverse("admin:billing_plan_change", args=[Plan.objects.get(key="starter").pk]),
        reverse("admin:billing_contract_add"),
        reverse("admin:billing_invoice_changelist"),
    ):
        loaded.clear()
        admin_page.goto(live_server.url + path, wait_until="networkidle")
        assert 20_000 < sum(loaded.values()) < 60_000, path


def test_rows_are_added_and_taken_away_and_what_they_name_is_searched_for(admin_page: Any, live_server: Any) -> None:
    build_world()
    eve = make_user("eve@example.com")
    page = admin_page
    page.goto(live_server.url + reverse("admin:usage_user_change", args=[eve.pk]))
    add = page.get_by_role("button", name="Add another Teammate")
    for _ in range(2):
        add.click()
    page.get_by_role("button", name="Remove", exact=True).first.click()
    field = page.get_by_role("combobox", name="Workspace")
    field.press_sequentially("Bir")
    page.locator("datalist option[value='Birch (birch)']").wait_for(state="attached")
    field.press_sequentially("ch (birch)")
    field.fill("Birch or so")  # names no row, so nothing is changed by it
    field.blur()
    expect(field).to_have_value("Birch (birch)")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was changed successfully").wait_for()
    assert [each.workspace.key for each in eve.memberships.all()] == ["birch"]


def test_an_operator_gets_from_nothing_to_the_first_event(admin_page: Any, live_server: Any) -> None:
    page = admin_page

    def follow(link: str) -> None:
        page.get_by_role("link", name=link).click()

    def save() -> None:
        page.get_by_role("button", name="Save", exact=True).click()
        page.get_by_role("heading", name="First steps").wait_for()

    page.goto(live_server.url + reverse("admin:index"))
    page.get_by_role("main").get_by_text("There is no account yet").get_by_role("link", name="First steps").click()
    follow("Add an account")
    page.fill("#id_key", "acme")
    page.fill("#id_name", "Acme")
    page.fill("#id_zone", "Europe/Dublin")
    page.fill("#id_started_on", "2026-06-01")
    page.fill("#id_workspace_lines", "atlas = Atlas")
    save()
    follow("Start a subscription")
    page.get_by_label("Plan", exact=True).select_option(label="Starter")
    save()
    follow("Add a billing contact")
    page.fill("#id_email", "ops@acme.example")
    save()
    follow("Add a teammate")
    assert page.get_by_label("Can manage usage alerts").is_checked()
    save()
    follow("Create a key")
    assert page.get_by_label("Ingest").is_checked()
    page.get_by_role("button", name="Save", exact=True).click()
    key = page.locator("pre.secret").inner_text()
    assert page.locator("#line").inner_text() == f"export HEADROOM_KEY={key}"
    follow("Done: back to the first steps")

    assert page.get_by_text("Waiting for the first event").is_visible()
    command = page.locator("#command").inner_text()
    body = re.search(r"-d '(.*)'$", command, re.DOTALL)
    assert body
    sent = body[1].replace("'\"$(date +%s%N)\"'", "first")
    request = urllib.request.Request(
        live_server.url + "/api/v1/events",
        data=sent.encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/cloudevents+json"},
    )
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["accepted"] == 1
    # The page hears of it by itself.
    page.get_by_text("AI Agent resolutions in Atlas: 1 resolution").wait_for()
    assert UsageEvent.objects.filter(account_id=Account.objects.get().pk).count() == 1
    page.get_by_text("8 of 10 done").wait_for()
    page.get_by_role("link", name="Usage page").click()
    page.get_by_role("heading", name="Usage", exact=True).wait_for()
