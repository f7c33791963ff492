"""The checklist for operators: from an empty database to the first event and the first alert."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import make_account, use


@pytest.mark.django_db
def test_the_checklist_ticks_itself_from_an_empty_database_on(admin_client: Client) -> None:
    def done() -> list[bool]:
        page: Any = admin_client.get(reverse("admin:first_steps"))
        assert page.status_code == 200
        return [step.is_done for step in page.context_data["steps"]]

    assert done()[2:] == [False] * 8
    account = make_account("fresh", workspaces=("fresh",))
    assert done()[2]
    page: Any = admin_client.get(reverse("admin:first_steps"))
    assert "api/v1/events" in page.context_data["command"]
    assert '"subject": "fresh"' in page.context_data["command"]
    assert "Waiting for the first event" in page.content.decode()
    use(workspace_key="fresh")
    assert done()[7]
    assert (
        "AI Agent resolutions</strong> in Fresh: 1 resolution"
        in admin_client.get(reverse("admin:first_steps"), {"account": account.key}).content.decode()
    )
