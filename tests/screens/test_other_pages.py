"""Dashboard, analytics, teammates (spec 1.2, 6.2, 6.5)."""

from __future__ import annotations

import csv
import io
from decimal import Decimal

import pytest

from alerts.models import Notification
from alerts.services.alerts import set_usage_alert
from billing.models import Plan
from billing.services.closing import close_period
from billing.services.credits import credit_amount
from billing.services.subscriptions import change_plan
from tests import factories
from tests.alerts.conversations import Application, limit
from tests.screens.pages import NOON, at, browser, contract, make_company, read, stand_at, workspace
from usage.models import Account
from usage.services.accounts import end_account

pytestmark = pytest.mark.django_db


class TestTheDashboard:
    def test_counts_conversations_today_this_period_and_last(self) -> None:
        account = make_company()
        factories.use("conversations", 8, at=at(10))
        stand_at(account, at(11, month=7))
        factories.use("conversations", 5, at=at(4, month=7))
        factories.use("conversations", 7, at=at(11, month=7, hour=9))
        words = read(browser().get("/w/atlas/"))
        assert "Conversations today 7 5 on Sat 4 Jul" in words
        # The ten whole days so far, 5, against 8 in as many days of June.
        assert "This period 12 −38% on the last period's first 10 days" in words
        assert "Last period 8 1 Jun – 30 Jun 2026" in words

    def test_shows_the_resolution_rate(self) -> None:
        account = make_company()
        assert "Resolution rate – No conversation answered by the agent yet" in read(browser().get("/w/atlas/"))
        application = Application(account)
        for number in range(4):
            application.starts(f"conversation-{number}")
        factories.use("ai_resolutions", 3)
        assert "Resolution rate 75% 3 of 4 with AI Agent" in read(browser().get("/w/atlas/"))

    def test_lists_what_is_near_a_level_closest_first(self) -> None:
        contract(make_company(), 50)
        limit(60)
        set_usage_alert(
            workspace=workspace(),
            metric=factories.metric("whatsapp"),
            threshold=Decimal(10),
            also_50_80=False,
            clock=lambda: NOON,
            by=factories.BY,
        )
        assert "Nothing is near a level" in read(browser().get("/w/atlas/"))
        factories.use("ai_resolutions", 45)
        factories.use("whatsapp", 6)
        words = read(browser().get("/w/atlas/"))
        contracted = words.index("AI Agent 90% Contracted 50 45 of 50")
        limited = words.index("AI Agent 75% Limit 60 in Atlas 45 of 60")
        alerted = words.index("WhatsApp 60% Alert 10 in Atlas 6 of 10")
        assert contracted < limited < alerted
        factories.use("ai_resolutions", 15)
        words = read(browser().get("/w/atlas/"))
        assert "AI Agent Overage Contracted 50 10 over" in words
        assert "AI Agent Off Limit 60 in Atlas 60 of 60" in words

    def test_shows_charges_and_notifications(self) -> None:
        account = make_company()
        Notification.objects.create(
            kind="usage_alert", account=account, at=NOON, title="Something <b>new</b>", dedupe="new"
        )
        words = read(browser().get("/w/atlas/"))
        assert "$49.00 so far" in words
        assert "Next invoice on 1 Jul 2026" in words
        assert "Something <b>new</b>" in words
        assert "1 unread" in words

    def test_opens_on_the_first_day_and_without_a_plan(self) -> None:
        account = make_company()
        stand_at(account, at(1, hour=0))
        assert "First day of the period" in read(browser().get("/w/atlas/"))
        make_company("bare", workspaces=("bare",), plan=None)
        assert "Conversations are not metered here" in read(browser().get("/w/bare/"))


class TestAnalytics:
    def story(self) -> Account:
        account = make_company(workspaces=("atlas", "birch"))
        factories.use("conversations", 300, at=at(10))
        factories.use("conversations", 20, at=at(10), workspace_key="birch")
        factories.use("phone", 30, at=at(10))
        stand_at(account, at(15, month=7))
        change_plan(
            account=account,
            plan=Plan.objects.get(key="professional", version=1),
            clock=lambda: at(15, month=7),
            by=factories.BY,
        )
        factories.use("conversations", 40, at=at(12, month=7))
        return account

    def test_history_of_a_metric_over_periods(self) -> None:
        self.story()
        words = read(browser().get("/w/atlas/analytics"))
        assert "Conversations by billing period All workspaces" in words
        assert "1 Jul – 31 Jul 2026, so far Starter, then Professional 40 1,000 4% $0.00" in words
        assert "1 Jun – 30 Jun 2026 Starter 320 250 128% $35.00" in words

    def test_what_was_billed_stands_by_period_net_of_credits(self) -> None:
        account = self.story()
        assert "Spend by billing period" not in read(browser().get("/w/atlas/analytics"))
        bill = close_period(account_id=account.pk, period=at(1, hour=0), clock=lambda: at(15, month=7), by=factories.BY)
        assert bill is not None
        words = read(browser().get("/w/atlas/analytics"))
        assert "Spend by billing period All workspaces in USD, as invoiced, before tax" in words
        assert "1 Jun – 30 Jun 2026 $49.00 $35.00 $0.00 $84.00" in words
        credit_amount(
            invoice=bill, amount=Decimal(4), reason="goodwill", clock=lambda: at(16, month=7), by=factories.BY
        )
        assert "1 Jun – 30 Jun 2026 $49.00 $35.00 −$4.00 $80.00" in read(browser().get("/w/atlas/analytics"))

    def test_history_of_one_workspace(self) -> None:
        self.story()
        words = read(browser().get("/w/atlas/analytics?workspace=birch&metric=conversations&periods=12"))
        assert "1 Jun – 30 Jun 2026 Starter 20 320 6%" in words

    def test_channels_are_small_multiples(self) -> None:
        self.story()
        words = read(browser().get("/w/atlas/analytics"))
        for channel in ("Phone", "SMS", "WhatsApp", "Chat", "Emails"):
            assert f"{channel} 0 " in words

    def test_exports_every_metric_by_period_and_workspace(self) -> None:
        self.story()
        answer = browser().get("/w/atlas/analytics.csv")
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))  # type: ignore[attr-defined]
        june = [row for row in rows if row["metric"] == "conversations" and row["period_start"] == "2026-06-01"]
        assert [(row["workspace"], row["quantity"]) for row in june] == [
            ("atlas", "300"),
            ("birch", "20"),
            ("", "320"),
        ]
        assert (june[2]["included"], june[2]["overage_quantity"], june[2]["overage_amount"]) == ("250", "70", "35.00")
        phone = [row for row in rows if row["metric"] == "phone" and row["workspace"] == "atlas"]
        assert [row["quantity"] for row in phone] == ["30", "0"]

    def test_a_workspace_that_is_not_the_readers_cannot_be_chosen(self) -> None:
        self.story()
        factories.make_teammate("atlas", "eve@example.com")
        eve = browser("eve@example.com")
        assert '<option value="birch"' not in eve.get("/w/atlas/analytics?workspace=birch").content.decode()
        text = b"".join(eve.get("/w/atlas/analytics.csv").streaming_content).decode()  # type: ignore[attr-defined]
        assert ",birch," not in text

    def test_without_history_it_says_so(self) -> None:
        make_company(plan=None)
        assert "No history yet" in read(browser().get("/w/atlas/analytics"))


def test_teammates_see_who_may_do_what_and_who_is_told() -> None:
    make_company()
    words = read(browser("ben@example.com").get("/w/atlas/teammates"))
    assert "Ada ada@example.com Yes Yes Yes" in words
    assert "Ben (you) ben@example.com No No No" in words
    assert "Cleo cleo@example.com Yes No No" in words
    assert "Mona mona@acme.example" in words


def test_the_banner_stands_on_every_page_of_the_workspace_and_nowhere_else() -> None:
    make_company(workspaces=("atlas", "birch"))
    limit(0)
    for page in ("", "usage", "billing", "analytics", "teammates", "workflows", "notifications"):
        assert "AI Agent is off in Atlas until 1 Jul." in read(browser().get(f"/w/atlas/{page}")), page
        assert "is off in" not in read(browser().get(f"/w/birch/{page}")), page


class TestAnAccountAtItsEdges:
    @pytest.mark.parametrize("page", ["", "usage", "billing", "analytics", "invoices", "workflows"])
    def test_an_ended_account_says_so_on_every_page(self, page: str) -> None:
        account = make_company()
        assert "Acme ended on" not in read(browser().get(f"/w/atlas/{page}"))
        end_account(account=account, at=at(12), by=factories.BY)
        words = "Acme ended on 12 Jun 2026. Usage from then on is refused; usage until then is billed."
        assert words in read(browser().get(f"/w/atlas/{page}"))

    def test_without_a_plan_there_is_no_invoice_to_wait_for_and_no_history_to_choose_from(self) -> None:
        make_company(plan=None)
        assert "No plan, no invoice" in read(browser().get("/w/atlas/"))
        assert "Next invoice –" in read(browser().get("/w/atlas/billing"))
        analytics = read(browser().get("/w/atlas/analytics"))
        assert "No history yet" in analytics
        assert "Export CSV" not in analytics
