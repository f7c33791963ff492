"""The usage page and its drawer in real Chromium: by mouse, keyboard and thumb, also without a script (spec 6.6)."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from alerts.models import UsageAlert
from tests import factories
from tests.alerts.conversations import limit
from tests.browser.people import PHONE, check, log_in
from tests.screens.pages import contract, make_company
from usage.models import AuditEntry, UsageLimit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def open_drawer(page: Any, metric: str = "ai_resolutions") -> Any:
    page.locator(f"#{metric}-set").click()
    drawer = page.get_by_role("dialog", name="Usage alerts")
    drawer.wait_for()
    return drawer


def test_the_path_of_the_source_works_by_clicking(page: Any, live_server: Any) -> None:
    make_company()
    page.goto(f"{live_server.url}/w/atlas/usage")
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill("headroom")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Usage", exact=True).wait_for()
    page.get_by_role("link", name="Dashboard").click()
    page.get_by_role("link", name="Subscription").click()
    page.get_by_role("heading", name="Billing", exact=True).wait_for()
    page.get_by_role("heading", name="This billing period").wait_for()
    page.get_by_role("link", name="See all usage").click()
    page.get_by_role("heading", name="Usage", exact=True).wait_for()
    page.get_by_role("link", name="Set usage alerts and limits").first.wait_for()


def test_from_login_to_a_saved_alert_in_five_clicks(page: Any, live_server: Any) -> None:
    make_company()
    page.goto(live_server.url)
    page.get_by_label("E-mail").fill("ada@example.com")
    page.get_by_label("Password").fill("headroom")
    clicks = [
        lambda: page.get_by_role("button", name="Sign in"),
        lambda: page.get_by_role("link", name="Usage", exact=True),
        lambda: page.locator("#conversations-set"),
        lambda: page.get_by_role("switch", name="Alerts"),
        lambda: page.get_by_role("button", name="Save changes"),
    ]
    for number, target in enumerate(clicks, start=1):
        if number == 5:
            page.get_by_label("Tell us at").fill("200")
        target().click()
    page.get_by_role("status").get_by_text("Saved").wait_for()
    assert UsageAlert.objects.get().threshold == 200


def test_an_alert_by_keyboard_alone(page: Any, live_server: Any) -> None:
    contract(make_company(workspaces=("atlas", "birch")), 400)
    factories.use("ai_resolutions", 92, workspace_key="birch")
    log_in(page, live_server)
    page.goto(f"{live_server.url}/w/atlas/usage")
    page.evaluate("window.sameDocument = true")
    opener = page.locator("#ai_resolutions-set")
    opener.focus()
    page.keyboard.press("Enter")
    drawer = page.get_by_role("dialog", name="Usage alerts and limits")
    expect(drawer.get_by_role("heading", name="Usage alerts and limits")).to_be_focused()
    # Esc closes, and the focus is where it was; so does the browser's own button.
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    expect(drawer).to_be_visible()
    page.go_back()
    expect(drawer).to_be_hidden()
    assert page.url.endswith("/w/atlas/usage")

    opener.focus()
    page.keyboard.press("Enter")
    alerts = drawer.get_by_role("switch", name="Alerts")
    alerts.focus()
    page.keyboard.press("Space")
    number = drawer.get_by_label("Tell us at")
    number.focus()
    page.keyboard.type("500")
    # The price follows the typing: 500 + 92 − 400 = 192 at $0.99.
    drawer.get_by_text("+ $190.08").wait_for()
    drawer.get_by_text("above the 400 contracted, with Birch at 92").first.wait_for()
    check(page)
    for _ in range(15):  # the focus never leaves the dialog, except to the browser itself
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('#drawer')")
    number.focus()
    page.keyboard.press("Enter")
    page.get_by_role("status").get_by_text("Saved. The alert at 500 is on.").wait_for()
    expect(drawer).to_be_hidden()
    expect(opener).to_be_focused()
    page.locator("#ai_resolutions").get_by_text("Alert 500").first.wait_for()
    assert page.evaluate("window.sameDocument")  # the card fetched itself again, the page did not
    assert UsageAlert.objects.get().threshold == 500


def test_what_refreshes_itself_leaves_the_reader_where_they_are(page: Any, live_server: Any) -> None:
    make_company()
    log_in(page, live_server)
    page.goto(f"{live_server.url}/w/atlas/usage")
    page.locator("#ai_resolutions-set").focus()
    before = page.evaluate("scrollY")
    assert before > 0
    with page.expect_response(lambda answer: "/usage" in answer.url and answer.request.method == "GET"):
        page.evaluate("htmx.trigger('#usage', 'poll')")
    expect(page.locator("#usage:is(.htmx-request, .htmx-added, .htmx-settling)")).to_have_count(0)
    assert page.evaluate("scrollY") == before


def test_limits_are_scheduled_applied_now_or_refused_in_place(page: Any, live_server: Any) -> None:
    contract(make_company(workspaces=("atlas", "birch")), 50)
    limit(10, workspace="birch")
    factories.use("ai_resolutions", 41)
    log_in(page, live_server)
    page.goto(f"{live_server.url}/w/atlas/usage")
    drawer = open_drawer(page)
    drawer.get_by_role("switch", name="Limit").check()
    drawer.get_by_label("Stop at").fill("30")
    drawer.get_by_role("button", name="Save changes").click()
    refusal = drawer.get_by_text("The limit can't be lower than 40 in Atlas (Birch: 10): 50 are included")
    refusal.wait_for()
    expect(drawer.get_by_label("Stop at")).to_be_focused()
    check(page)

    drawer.get_by_label("Stop at").fill("60")
    drawer.get_by_role("button", name="Save changes").dblclick()
    question = page.get_by_role("dialog", name="When should the new limit start?")
    question.get_by_text("Your limit of 60 AI Agent resolutions for Atlas takes effect").wait_for()
    expect(question.get_by_role("button", name="Schedule changes")).to_be_focused()
    check(page)
    question.get_by_role("link", name="Cancel").click()
    expect(question).to_be_hidden()
    expect(drawer).to_be_visible()
    drawer.get_by_role("button", name="Save changes").click()
    question.get_by_role("button", name="Schedule changes").dblclick()
    page.get_by_role("status").get_by_text("Saved. Your limit of 60 starts on 1 Jul 2026.").wait_for()
    page.locator("#ai_resolutions").get_by_text("Limit from 1 Jul").wait_for()
    expect(page.locator("#ai_resolutions-set")).to_be_focused()
    assert AuditEntry.objects.filter(action="limit.changed").count() == 1

    drawer = open_drawer(page)
    drawer.get_by_label("Stop at").fill("40")
    drawer.get_by_role("button", name="Save changes").click()
    question.get_by_text("Atlas has already used 41. Apply now turns AI Agent off immediately, until 1 Jul.").wait_for()
    question.get_by_role("button", name="Apply now").click()
    # Card and banner change without a reload.
    page.locator("#ai_resolutions").get_by_text("Limit reached").wait_for()
    page.locator("#page-banner").get_by_text("AI Agent is off in Atlas until 1 Jul.").wait_for()
    assert [int(row.quantity or 0) for row in UsageLimit.objects.filter(workspace__key="atlas")] == [40]


def test_without_permission_every_control_explains_itself(page: Any, live_server: Any) -> None:
    make_company()
    limit(40)
    log_in(page, live_server, "ben@example.com")
    page.goto(f"{live_server.url}/w/atlas/usage")
    drawer = open_drawer(page)
    drawer.get_by_text("You can read these settings.").wait_for()
    popup = page.get_by_role("dialog", name="This feature is restricted")
    for control, permission in (
        (drawer.get_by_role("switch", name="Alerts"), "Can manage usage alerts"),
        (drawer.get_by_role("switch", name="Limit"), "Can manage hard limits"),
        (drawer.get_by_role("button", name="Save changes"), "Can manage hard limits"),
    ):
        control.click(force=True)
        popup.get_by_text(permission).wait_for()
        assert "ada@example.com" in popup.inner_text()
        popup.get_by_role("link", name="Got it").click()
        expect(popup).to_be_hidden()
        expect(control).to_be_focused()
    number = drawer.get_by_label("Stop at")
    number.focus()
    page.keyboard.type("5")
    popup.wait_for()
    check(page)
    page.keyboard.press("Escape")
    expect(popup).to_be_hidden()
    expect(drawer).to_be_visible()
    expect(number).to_have_value("40")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    # The billing page's controls do the same.
    page.goto(f"{live_server.url}/w/atlas/billing")
    page.get_by_role("link", name="Add billing contact").click(force=True)
    popup.get_by_text("Can manage billing").wait_for()
    assert not UsageAlert.objects.exists()


def test_the_page_refreshes_itself_and_charts_are_read_by_keys(page: Any, live_server: Any) -> None:
    make_company()
    factories.use("conversations", 3)
    log_in(page, live_server)
    page.goto(f"{live_server.url}/w/atlas/usage")
    card = page.locator("#conversations")
    card.get_by_text("Show as table").click()
    factories.use("conversations", 4)
    page.evaluate("htmx.trigger(document.getElementById('usage'), 'poll')")
    expect(card.locator(".figure-value")).to_have_text("7")
    expect(card.locator("details")).to_have_attribute("open", "")  # an open table stays open
    scrub = card.get_by_label("Day in Conversations")
    scrub.focus()
    page.keyboard.press("ArrowLeft")
    expect(card.locator("output")).to_have_text("Sun 14 Jun: 0 that day, 0 so far")
    factories.use("conversations", 2)
    page.evaluate(
        "new PerformanceObserver(list => { window.jumped = list.getEntries().length })"
        ".observe({ type: 'layout-shift' }); htmx.trigger(document.getElementById('usage'), 'poll')"
    )
    expect(card.locator(".figure-value")).to_have_text("9")
    expect(scrub).to_be_focused()  # what is being read goes on being read
    expect(card.locator("output")).to_have_text("Sun 14 Jun: 0 that day, 0 so far")
    assert page.evaluate("window.jumped") is None  # an open table is open before anything is painted
    page.keyboard.press("ArrowRight")
    expect(card.locator("output")).to_have_text("Mon 15 Jun: 9 that day, 9 so far")


def test_on_a_phone_the_drawer_is_a_sheet_and_the_menu_opens(page: Any, live_server: Any) -> None:
    make_company()
    log_in(page, live_server)
    page.set_viewport_size(PHONE)
    page.goto(f"{live_server.url}/w/atlas/")
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Usage").click()
    page.get_by_role("heading", name="Usage", exact=True).wait_for()
    drawer = open_drawer(page, "whatsapp")
    box = drawer.bounding_box()
    assert (box["x"], box["width"]) == (0, 390)
    assert round(box["y"] + box["height"]) == 844
    check(page)
    drawer.get_by_role("switch", name="Alerts").check()
    drawer.get_by_label("Tell us at").fill("250")
    drawer.get_by_role("button", name="Save changes").click()
    page.get_by_role("status").get_by_text("Saved. The alert at 250 is on.").wait_for()
    check(page)


def test_everything_is_readable_and_savable_without_a_script(browser: Any, live_server: Any) -> None:
    make_company()
    factories.use("ai_resolutions", 5)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    log_in(page, live_server)
    page.goto(f"{live_server.url}/w/atlas/usage")
    assert "5" in page.locator("#ai_resolutions .figure-value").inner_text()
    page.locator("#ai_resolutions").get_by_text("Show as table").click()
    page.locator("#ai_resolutions table").get_by_text("Mon 15 Jun").wait_for()
    page.locator("#ai_resolutions-set").click()
    page.get_by_role("heading", name="Usage alerts and limits").wait_for()
    page.get_by_role("switch", name="Limit").check()
    page.get_by_label("Stop at").fill("9")
    page.get_by_role("button", name="Save changes").click()
    page.get_by_role("heading", name="When should the new limit start?").wait_for()
    page.get_by_role("button", name="Apply now").click()
    page.get_by_text("Saved. The limit of 9 is in force.").wait_for()
    assert UsageLimit.objects.get().quantity == 9
    context.close()
