"""The usage page (spec 2.8, 2.9, 2.11, 6.4): which cards there are, and what they say."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from alerts.services.alerts import set_usage_alert
from alerts.services.evaluate import evaluate
from billing.models import BillingProfile
from config.screens_usage import page_meta, read_usage
from tests import factories
from tests.alerts.conversations import limit
from tests.screens.pages import (
    NOON,
    at,
    browser,
    buy_proactive_support,
    card,
    contract,
    make_company,
    read,
    stand_at,
    workspace,
)

pytestmark = pytest.mark.django_db

PAGE = "/w/atlas/usage"
ESTIMATE = "An estimate. Usage can change; the invoice uses actual usage."
PREVIOUS = "Note that this figure may be up to 24 hours old relative to your in-product reporting."


def test_a_card_for_every_metric_with_terms_in_its_group() -> None:
    account = make_company()
    page = browser().get(PAGE)
    words = read(page)
    for heading in ("Conversations", "Channels", "Resolutions", "Seats"):
        assert heading in words
    for metric in ("conversations", "phone", "sms", "whatsapp", "chat", "emails", "ai_resolutions", "seats"):
        assert card(page, metric), metric
    # Messages sent belong to the add-on.
    assert card(page, "messages_sent") == ""
    buy_proactive_support(account)
    page = browser().get(PAGE)
    assert "500 included" in card(page, "messages_sent")
    assert "The blue line is what the base fee of the add-on covers." in read(page)


def test_each_card_has_one_badge() -> None:
    contract(make_company(), 50)
    page = browser().get(PAGE)
    assert card(page, "conversations").startswith("Conversations Included 250 included")
    assert card(page, "whatsapp").startswith("WhatsApp Pay-as-you-go Billed at the end of the period")
    assert card(page, "sms").startswith("SMS Unlimited Unlimited, never charged")
    assert card(page, "ai_resolutions").startswith("AI Agent resolutions Contracted")


def test_the_blue_line_stands_where_something_is_included_or_contracted() -> None:
    contract(make_company(), 50)
    page = browser().get(PAGE).content.decode()
    assert page.count('class="ref ref-included"') == 3  # conversations, phone, resolutions
    assert ">Contracted 50<" in page
    assert ">Included 250<" in page


def test_buttons_say_what_can_be_set() -> None:
    make_company()
    page = browser().get(PAGE)
    assert "Set usage alerts and limits" in card(page, "ai_resolutions")
    assert "Set usage alerts and limits" in card(page, "voice_resolutions")
    assert "Set usage alerts " in card(page, "conversations")
    assert "and limits" not in card(page, "conversations")
    assert "Set usage alerts" not in card(page, "seats")


def test_shows_usage_cost_and_where_it_is_heading() -> None:
    make_company()
    factories.use("conversations", 275)
    page = browser().get(PAGE)
    words = card(page, "conversations")
    assert "275 conversations in Atlas" in words
    assert "25 over the 250 included" in words
    assert "Cost so far $12.50 ($0.50 above included)" in words
    # 14.5 of 30 days: 275 / 14.5 x 30 = 568.97 conversations, 318.97 above included.
    assert "Projected cost $159.48 (for 569)" in words
    assert ESTIMATE in read(page)
    assert "15 days remaining" in read(page)


def test_nothing_is_projected_in_the_first_24_hours() -> None:
    account = make_company()
    stand_at(account, at(1, hour=23))
    factories.use("conversations", 10, at=at(1, hour=12))
    page = browser().get(PAGE)
    assert "Too early to project: less than 24 hours of data" in read(page)
    assert "Projected" not in card(page, "conversations")


def test_the_pool_stands_beside_the_own_number() -> None:
    contract(make_company(workspaces=("atlas", "birch")), 50)
    factories.use("ai_resolutions", 20)
    factories.use("ai_resolutions", 10, workspace_key="birch")
    words = card(browser().get(PAGE), "ai_resolutions")
    assert "50 contracted, shared by Atlas and Birch" in words
    assert "20 resolutions in Atlas" in words
    assert "Atlas 20 Birch 10 20 left of 50" in words
    assert ">Contracted 50 shared<" in browser().get(PAGE).content.decode()


def test_shows_alert_and_limit_with_how_near_they_are() -> None:
    account = make_company()
    limit(40)
    set_usage_alert(
        workspace=workspace(),
        metric=factories.metric(),
        threshold=Decimal(25),
        also_50_80=False,
        clock=lambda: NOON,
        by=factories.BY,
    )
    factories.use("ai_resolutions", 20)
    words = card(browser().get(PAGE), "ai_resolutions")
    assert "Alert 25 (80% used)" in words
    # 20 in 14.5 days: 40 after 29 days.
    assert "Limit 40 (at this pace on 30 Jun)" in words
    factories.use("ai_resolutions", 22)
    evaluate(account_ids=[account.pk], now=NOON, include_sandbox=True)
    page = browser().get(PAGE)
    words = card(page, "ai_resolutions")
    assert "Limit reached" in words
    assert "Limit 40 (reached 15 Jun)" in words
    assert "Over the limit 2" in words
    assert "AI Agent is off in Atlas until 1 Jul." in read(page)


def test_what_is_scheduled_is_shown_with_its_date() -> None:
    make_company()
    factories.use("ai_resolutions", 20)
    set_usage_alert(
        workspace=workspace(),
        metric=factories.metric(),
        threshold=Decimal(15),
        also_50_80=False,
        clock=lambda: NOON,
        by=factories.BY,
    )
    limit(60, from_period=at(1, month=7, hour=0))
    words = card(browser().get(PAGE), "ai_resolutions")
    assert "Alert Off Alert from 1 Jul 15" in words
    assert "Limit Off Limit from 1 Jul 60" in words


def test_a_limit_of_0_is_reached_before_anything_is_used() -> None:
    make_company()
    limit(0)
    page = browser().get(PAGE)
    assert "Limit reached" in card(page, "ai_resolutions")
    assert "AI Agent is off in Atlas until 1 Jul." in read(page)


def test_only_the_previous_system_says_that_figures_may_be_old() -> None:
    account = make_company()
    assert PREVIOUS not in read(browser().get(PAGE))
    assert "Counted at the exact moment your invoice is created." in card(browser().get(PAGE), "ai_resolutions")
    BillingProfile.objects.create(account=account, system=BillingProfile.System.PREVIOUS)
    page = browser().get(PAGE)
    assert PREVIOUS in card(page, "ai_resolutions")
    assert PREVIOUS not in card(page, "conversations")


def test_says_when_totals_were_read_and_when_alerts_were_checked() -> None:
    account = make_company()
    factories.use("conversations", 3)
    words = read(browser().get(PAGE))
    assert "Last updated 15 Jun 2026, 12:00 (UTC)" in words
    assert "alerts and limits checked" not in words
    evaluate(account_ids=[account.pk], now=NOON, include_sandbox=True)
    assert "alerts and limits checked 15 Jun 2026, 12:00" in read(browser().get(PAGE))


def test_an_earlier_period_is_read_as_it_was() -> None:
    account = make_company()
    factories.use("conversations", 275)
    stand_at(account, at(10, month=7))
    factories.use("conversations", 5, at=at(9, month=7))
    now, then = browser().get(PAGE), browser().get(f"{PAGE}?period=2026-06-01")
    assert "5 conversations in Atlas" in card(now, "conversations")
    words = card(then, "conversations")
    assert "275 conversations in Atlas" in words
    assert "Cost $12.50" in words
    assert "Projected" not in words
    assert "Set usage alerts" not in words
    assert "Closed Last updated 10 Jul 2026" in read(then)  # corrections still reach it
    assert 'href="/w/atlas/usage?period=2026-06-01"' in now.content.decode()
    assert "data-poll" not in then.content.decode()


def test_the_running_page_asks_again_and_gets_its_cards_alone() -> None:
    make_company()
    assert 'data-poll="30"' in browser().get(PAGE).content.decode()
    factories.use("conversations", 7)
    part = browser(htmx=True).get(PAGE)
    text = part.content.decode()
    assert "<html" not in text
    assert 'id="page-meta" hx-swap-oob="true"' in text
    assert 'id="page-banner" hx-swap-oob="true"' in text
    assert "7 conversations in Atlas" in card(part, "conversations")


def test_a_table_stands_behind_each_chart() -> None:
    make_company()
    factories.use("conversations", 7)
    words = card(browser().get(PAGE), "conversations")
    assert "Show as table" in words
    assert "Mon 15 Jun 7 7" in words


def test_seats_are_a_level_without_alert_or_projection() -> None:
    make_company()
    factories.use("seats", 4, at=at(3))
    words = card(browser().get(PAGE), "seats")
    assert "4 seats now" in words
    assert "Price $25.00 a seat and billing period" in words
    assert "Cost at 4 seats $100.00" in words
    assert "The invoice counts each day's seats, so it may differ" in words
    assert "Projected" not in words


def test_without_a_plan_it_says_what_will_stand_here() -> None:
    make_company(plan=None)
    assert "Nothing is metered here yet" in read(browser().get(PAGE))


def test_an_ended_account_shows_its_last_period() -> None:
    account = make_company()
    factories.use("conversations", 3)
    type(account).objects.filter(pk=account.pk).update(ended_at=at(20))
    stand_at(account, at(25, month=8))
    page = browser().get(PAGE)
    assert page.status_code == 200
    assert "3 conversations in Atlas" in card(page, "conversations")


def test_its_data_are_six_queries_whatever_the_size() -> None:
    account = make_company(workspaces=("atlas", "birch"))
    buy_proactive_support(account)
    limit(40)
    for metric in ("conversations", "ai_resolutions", "phone", "seats"):
        factories.use(metric, 3)
        factories.use(metric, 3, workspace_key="birch")
    place = workspace()
    type(account).objects.filter(pk=account.pk).update(is_sandbox=False, sandbox_now=None)
    place.account.refresh_from_db()
    read_usage(place)  # opens the running period
    with CaptureQueriesContext(
        connection,
    ) as queries:
        reading = read_usage(place)
        page_meta(reading)
        assert reading.standing.charges.metrics
    assert len(queries) <= 6, [query["sql"][:80] for query in queries]
