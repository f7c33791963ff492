"""The drawer of alerts and limits for people without the permission (spec 1.3)."""

from __future__ import annotations

import pytest

from alerts.models import UsageAlert
from tests.alerts.conversations import limit
from tests.screens.drawers import DRAWER, limits, save
from tests.screens.pages import browser, make_company, read
from usage.models import AuditEntry

pytestmark = pytest.mark.django_db


class TestRestricted:
    def test_without_flags_it_can_be_read_and_nothing_used(self) -> None:
        make_company()
        limit(40)
        page = browser("ben@example.com").get(DRAWER).content.decode()
        assert "You can read these settings." in page
        # Everything stays focusable: nothing is disabled, everything says that it is.
        assert " disabled" not in page
        assert page.count('aria-disabled="true"') == 6  # two switches, two numbers, 50/80, save
        assert 'value="40"' in page

    def test_with_one_flag_only_the_other_section_is_read_only(self) -> None:
        make_company()
        page = browser("cleo@example.com").get(DRAWER).content.decode()
        assert page.count('aria-disabled="true"') == 2
        assert "To change the limit you need" in page

    def test_the_pop_up_names_permission_holders_and_support(self) -> None:
        make_company()
        ben = browser("ben@example.com", htmx=True)
        answer = ben.get("/w/atlas/usage/ai_resolutions/restricted", {"for": "alerts"})
        assert answer.status_code == 403
        words = read(answer)
        assert "This feature is restricted" in words
        assert "Can manage usage alerts" in words
        assert "Ada ( ada@example.com ) and Cleo" in words or "Ada (ada@example.com) and Cleo" in words
        assert "support@" in words
        both = read(ben.get("/w/atlas/usage/ai_resolutions/restricted"))
        assert "Can manage usage alerts and Can manage hard limits" in both
        assert "Cleo" not in both  # who holds only one of them cannot help

    @pytest.mark.parametrize(
        ("email", "fields", "missing"),
        [
            ("ben@example.com", {"alert_on": "on", "threshold": "5"}, ["Can manage usage alerts"]),
            ("ben@example.com", {"limit_on": "on", "limit": "5", "when": "now"}, ["Can manage hard limits"]),
            ("cleo@example.com", {"limit_on": "on", "limit": "5", "when": "now"}, ["Can manage hard limits"]),
            (
                "cleo@example.com",
                {"alert_on": "on", "threshold": "5", "limit_on": "on", "limit": "5"},
                ["Can manage hard limits"],
            ),
            (
                "ben@example.com",
                {"alert_on": "on", "threshold": "5", "limit_on": "on", "limit": "5", "when": "next"},
                ["Can manage usage alerts", "Can manage hard limits"],
            ),
        ],
    )
    @pytest.mark.parametrize("htmx", [True, False])
    def test_a_crafted_form_changes_nothing_and_is_in_the_audit_trail(
        self, email: str, fields: dict[str, str], missing: list[str], htmx: bool
    ) -> None:
        make_company()
        answer = save(email, htmx=htmx, **fields)
        assert answer.status_code == 403
        words = read(answer)
        assert "This feature is restricted" in words
        assert "Nothing was changed." in words
        assert all(name in words for name in missing)
        assert not UsageAlert.objects.exists()
        assert limits() == []
        entry = AuditEntry.objects.filter(action="drawer.refused").latest("pk")
        assert (entry.actor_name, entry.after) == (email, {"missing": missing})

    def test_sections_that_do_not_change_need_no_permission(self) -> None:
        make_company()
        limit(40)
        answer = save("cleo@example.com", alert_on="on", threshold="500", limit_on="on", limit="40")
        assert answer.status_code == 204
        assert UsageAlert.objects.get().threshold == 500
