"""The pages that describe the API, in real Chromium (spec 10.5)."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_the_description_opens_without_offending_the_content_security_policy(page: Any, live_server: Any) -> None:
    page.goto(f"{live_server.url}/api/docs")
    page.get_by_text("/api/v1/workspaces/{key}/consume").first.wait_for()
    page.get_by_text("/api/v1/events", exact=True).first.click()
    page.get_by_text("More than 10 MB or 1000 events.").first.wait_for()
