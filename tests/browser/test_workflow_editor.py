"""The workflow editor with a keyboard and a mouse in real Chromium (spec 4.6, 6.6)."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.test import Client
from playwright.sync_api import expect

from alerts.models import Workflow
from tests import factories
from tests.alerts.conversations import make_account
from usage.models import User

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def log_in(page: Any, live_server: Any, email: str) -> None:
    client = Client()
    client.force_login(User.objects.get(email=email), backend="usage.sign_in.UserBackend")
    page.context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )


def test_a_workflow_is_built_ordered_and_saved(page: Any, live_server: Any) -> None:
    make_account()
    factories.make_teammate(limits=True)
    log_in(page, live_server, "ada@example.com")
    page.goto(f"{live_server.url}/w/atlas/workflows")
    page.get_by_role("link", name="Add workflow").click()
    page.get_by_label("Name", exact=True).fill("First answer")
    page.get_by_label("Move Over the limit down").press("Enter")
    # The keyboard stays with the branch that moved; it is the last now.
    expect(page.get_by_label("Move Over the limit up")).to_be_focused()
    page.get_by_label("Step to add to Over the limit").select_option("reply_with_message")
    page.get_by_label("Add step to Over the limit").click()
    page.get_by_role("button", name="Save changes").click()
    page.get_by_text("Must be given").wait_for()
    message = page.get_by_label("Message of step 2 of Over the limit")
    assert message.get_attribute("aria-invalid") == "true"
    assert Axe().run(page).violations_count == 0
    message.fill("A colleague answers.")
    page.get_by_role("button", name="Save changes").click()
    page.get_by_role("status").get_by_text("First answer saved").wait_for()
    assert [branch["name"] for branch in Workflow.objects.get().branches] == ["Everyone else", "Over the limit"]
    page.get_by_label("Delete First answer").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete workflow").click()
    page.get_by_text("No workflows yet").wait_for()
    assert not Workflow.objects.exists()


def test_without_the_permission_a_control_says_what_is_missing(page: Any, live_server: Any) -> None:
    make_account()
    factories.make_teammate(limits=True)
    factories.make_teammate(email="ben@example.com")
    log_in(page, live_server, "ben@example.com")
    page.goto(f"{live_server.url}/w/atlas/workflows")
    page.get_by_role("link", name="Add workflow").click(force=True)
    dialog = page.get_by_role("dialog", name="This feature is restricted")
    dialog.get_by_text("Can manage hard limits").wait_for()
    assert "ada@example.com" in dialog.inner_text()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert Axe().run(page).violations_count == 0
