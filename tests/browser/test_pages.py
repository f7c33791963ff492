"""Every page of a teammate as it looks: light, dark, on a phone, empty and full; forms of the billing page (spec 6)."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from playwright.sync_api import expect

from billing.models import BillingContact
from tests import factories
from tests.alerts.conversations import limit
from tests.browser.people import check, check_all_looks, log_in
from tests.screens.pages import buy_proactive_support, contract, make_company

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_no_page_offends_whatever_the_light_and_the_width(page: Any, live_server: Any) -> None:
    account = make_company(workspaces=("atlas", "birch"))
    contract(account, 50)
    buy_proactive_support(account)
    limit(10)
    for metric, quantity in (("conversations", 275), ("ai_resolutions", 12), ("phone", 40), ("seats", 4)):
        factories.use(metric, quantity)
    factories.use("ai_resolutions", 45, workspace_key="birch")
    log_in(page, live_server)
    for path in ("", "usage", "billing", "billing/plans", "analytics", "teammates"):
        page.goto(f"{live_server.url}/w/atlas/{path}")
        page.get_by_text("AI Agent is off in Atlas until 1 Jul.").wait_for()
        check_all_looks(page)


def test_a_long_list_of_workspaces_is_searched_by_typing(page: Any, live_server: Any) -> None:
    make_company(workspaces=("atlas", "birch", *(f"branch-{number}" for number in range(30))))
    log_in(page, live_server)
    page.goto(f"{live_server.url}/w/atlas/")
    switcher = page.get_by_role("button", name="Switch workspace")
    switcher.click()
    field, links = page.get_by_role("searchbox", name="Find a workspace"), page.locator("#switcher a:visible")
    expect(field).to_be_focused()
    expect(links).to_have_count(32)
    check(page)
    field.fill("nch-2")
    expect(links).to_have_count(11)
    field.fill("nothing")
    expect(page.locator("#switcher .menu-title:visible")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    switcher.click()
    expect(links).to_have_count(32)
    field.fill("BIRCH")
    field.press("Enter")
    page.wait_for_url(f"{live_server.url}/w/birch/")


def test_empty_pages_and_pages_outside_a_workspace(page: Any, live_server: Any) -> None:
    make_company(plan=None)
    page.goto(f"{live_server.url}/login/")
    check(page)
    log_in(page, live_server)
    for path in ("w/atlas/", "w/atlas/usage", "w/atlas/billing", "w/atlas/analytics", "w/missing/usage"):
        page.goto(f"{live_server.url}/{path}")
        check(page)
    factories.make_user("eve@example.com")
    log_in(page, live_server, "eve@example.com")
    page.goto(live_server.url)
    page.get_by_role("heading", name="You are in no workspace yet").wait_for()
    check(page)


def test_contacts_spend_alert_and_plan_change_without_leaving_the_billing_page(page: Any, live_server: Any) -> None:
    make_company()
    log_in(page, live_server)
    page.goto(f"{live_server.url}/w/atlas/billing")
    status = page.get_by_role("status")

    page.get_by_role("link", name="Add billing contact").click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_label("E-mail").fill("MONA@acme.example")
    drawer.get_by_role("button", name="Save changes").click()
    drawer.get_by_text("This address is a billing contact already.").wait_for()
    expect(drawer.get_by_label("E-mail")).to_be_focused()
    check(page)
    drawer.get_by_label("E-mail").fill("finance@acme.example")
    drawer.get_by_label("Name").fill("Finance")
    drawer.get_by_role("button", name="Save changes").click()
    status.get_by_text("Saved. Finance gets every").wait_for()
    page.get_by_label("Remove Finance").click()
    question = page.get_by_role("dialog", name="Remove Finance?")
    check(page)
    question.get_by_role("button", name="Remove").click()
    status.get_by_text("Finance gets no more e-mails.").wait_for()
    expect(page.get_by_label("Remove Finance")).to_have_count(0)
    assert BillingContact.objects.count() == 1

    page.get_by_role("link", name="Set spend alert").click()
    drawer.get_by_role("switch", name="Alert").check()
    drawer.get_by_label("Tell us at (USD)").fill("1,500")
    check(page)
    drawer.get_by_role("button", name="Save changes").click()
    status.get_by_text("Saved. The spend alert at $1,500.00 is on.").wait_for()
    page.get_by_text("$1,500.00").first.wait_for()

    page.get_by_role("link", name="Compare plans").click()
    page.get_by_role("link", name="Preview Professional").click()
    drawer.get_by_text("Professional plan, 15 Jun – 30 Jun 2026").wait_for()
    check(page)
    drawer.get_by_role("button", name="Upgrade now").click()
    status.get_by_text("Professional is in force now.").wait_for()
    page.get_by_role("link", name="Billing").first.click()
    page.get_by_role("heading", name="Professional").wait_for()


def test_pages_stand_still_while_they_load_and_are_light(page: Any, live_server: Any) -> None:
    account = make_company(workspaces=("atlas", "birch"))
    contract(account, 50)
    factories.use("ai_resolutions", 12)
    log_in(page, live_server)
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => { for (const entry of list.getEntries())"
        " window.shift += entry.value; }).observe({ type: 'layout-shift', buffered: true });"
    )
    # Everything that a first visit loads, compressed as web servers do.
    loaded: dict[str, int] = {}
    page.on("response", lambda response: loaded.update({response.url: len(gzip.compress(response.body()))}))
    for path in ("", "usage", "billing", "analytics"):
        url = f"{live_server.url}/w/atlas/{path}"
        page.goto(url, wait_until="networkidle")
        assert page.evaluate("window.shift") < 0.01, path
        shared = sum(size for each, size in loaded.items() if "/static/" in each)
        assert 20_000 < shared + loaded[url] < 60_000, path
