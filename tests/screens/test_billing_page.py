"""The billing page (spec 1.4, 3.10, 5.5, 5.12, 6.3): what it costs, who is told, what another plan would do."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from alerts.models import SpendAlert
from billing.models import BillingContact, Subscription
from billing.selectors import plan_for
from tests import factories
from tests.screens.pages import (
    at,
    browser,
    buy_proactive_support,
    contract,
    first_period,
    make_company,
    read,
    stand_at,
)
from usage.models import Account, AuditEntry

pytestmark = pytest.mark.django_db

PAGE = "/w/atlas/billing"
ADD = f"{PAGE}/contacts/add"
SPEND = f"{PAGE}/spend-alert"


def toast(answer: Any) -> str:
    message: str = json.loads(answer.headers["HX-Trigger"])["toast"]["message"]
    return message


def plan_of(account: Account) -> str:
    plan = plan_for(account=account, period_start=first_period(account))
    return plan.key if plan else ""


class TestThisBillingPeriod:
    def test_the_example_of_the_source_costs_18_50(self) -> None:
        make_company()
        factories.use("conversations", 275)
        factories.use("phone", 120)
        words = read(browser().get(PAGE))
        assert "Conversations 275 250 25 $0.50 $12.50" in words
        assert "Phone 120 100 20 $0.30 $6.00" in words
        assert "Overage and pay-as-you-go $18.50" in words
        assert "Starter plan $49.00" in words
        assert "Total so far $67.50" in words
        assert "So far $67.50" in words

    def test_shows_where_it_is_heading_as_an_estimate(self) -> None:
        make_company()
        factories.use("conversations", 275)
        words = read(browser().get(PAGE))
        # $49 + (275 / 14.5 x 30 - 250) x $0.50
        assert "Projected total $208.48" in words
        assert "An estimate. Usage can change; the invoice uses actual usage. 15 days remain." in words

    def test_in_the_first_24_hours_it_is_too_early(self) -> None:
        account = make_company()
        stand_at(account, at(1, hour=3))
        words = read(browser().get(PAGE))
        assert "Projected total – Too early to project" in words

    def test_fixed_charges_stand_line_by_line(self) -> None:
        account = make_company()
        contract(account, 50)
        buy_proactive_support(account)
        factories.use("seats", 4, at=at(3))
        words = read(browser().get(PAGE))
        assert "Proactive Support Plus $99.00" in words
        assert "50 contracted AI Agent resolutions $44.50" in words
        assert "4 seats (billed by the day, the invoice may differ) $100.00" in words

    def test_kinds_of_terms_read_differently(self) -> None:
        make_company(workspaces=("atlas", "birch"))
        factories.use("whatsapp", 5)
        factories.use("conversations", 2, workspace_key="birch")
        words = read(browser().get(PAGE))
        assert "WhatsApp Atlas 5 · Pay-as-you-go 5 – – $0.08 $0.40" in words
        assert "Conversations Birch 2 2 250 0 $0.50 $0.00" in words
        assert "SMS Never charged 0 Unlimited – – $0.00" in words

    def test_leads_to_all_usage(self) -> None:
        make_company()
        page = browser().get(PAGE).content.decode()
        assert '<a class="btn btn-primary" href="/w/atlas/usage">See all usage</a>' in page

    def test_without_a_plan_it_says_so(self) -> None:
        make_company(plan=None)
        words = read(browser().get(PAGE))
        assert "No plan An administrator starts the subscription." in words
        assert "No metric has terms in this period: nothing is charged." in words

    def test_a_part_brings_the_line_of_the_last_update_along(self) -> None:
        make_company()
        part = browser(htmx=True).get(PAGE).content.decode()
        assert "<html" not in part
        assert 'id="page-meta" hx-swap-oob="true"' in part


class TestContacts:
    def test_added_changed_and_removed(self) -> None:
        make_company()
        ada = browser(htmx=True)
        answer = ada.post(ADD, {"name": "Ben", "email": "BEN@example.com"})
        assert toast(answer) == "Saved. Ben gets every alert, limit and invoice e-mail."
        added = BillingContact.objects.get(name="Ben")
        assert added.teammate is not None  # found by the address of the login
        ada.post(f"{PAGE}/contacts/{added.pk}", {"name": "Benjamin", "email": "ben@acme.example"})
        added.refresh_from_db()
        assert (added.name, added.email) == ("Benjamin", "ben@acme.example")
        assert "Benjamin" in read(browser().get(PAGE))
        assert "Remove Benjamin?" in read(ada.get(f"{PAGE}/contacts/{added.pk}/remove"))
        answer = ada.post(f"{PAGE}/contacts/{added.pk}/remove")
        assert toast(answer) == "Benjamin gets no more e-mails."
        assert not BillingContact.objects.filter(pk=added.pk).exists()
        changes = AuditEntry.objects.filter(action__startswith="contact.", actor__email="ada@example.com")
        assert list(changes.order_by("pk").values_list("action", flat=True)) == [
            "contact.added",
            "contact.changed",
            "contact.removed",
        ]

    def test_the_last_one_warns_before_and_after(self) -> None:
        account = make_company()
        contact = account.billing_contacts.get()
        assert "This is the last billing contact." in read(browser().get(f"{PAGE}/contacts/{contact.pk}/remove"))
        browser().post(f"{PAGE}/contacts/{contact.pk}/remove")
        assert "There is no billing contact." in read(browser().get(PAGE))

    @pytest.mark.parametrize(
        ("data", "sentence"),
        [
            ({"email": ""}, "This field is required."),
            ({"email": "nonsense"}, "Enter a valid email address."),
            ({"email": "a@b.example\r\nBcc: x@y.example"}, "Enter a valid email address."),
            ({"email": "MONA@acme.example"}, "This address is a billing contact already."),
            ({"email": "x@y.example", "name": "n" * 121}, "at most 120 characters"),
            ({"email": "x@y.example", "name": "a\nb"}, "control"),
        ],
    )
    def test_impossible_ones_are_refused_in_place(self, data: dict[str, str], sentence: str) -> None:
        make_company()
        answer = browser(htmx=True).post(ADD, {"name": "", **data})
        assert answer.status_code == 422
        assert sentence in read(answer)
        assert BillingContact.objects.count() == 1

    def test_need_the_permission_in_any_workspace_of_the_account(self) -> None:
        account = make_company(workspaces=("atlas", "birch"))
        contact = account.billing_contacts.get()
        for email in ("ben@example.com", "cleo@example.com"):
            person = browser(email, htmx=True)
            for path in (ADD, f"{PAGE}/contacts/{contact.pk}", f"{PAGE}/contacts/{contact.pk}/remove", SPEND):
                assert person.get(path).status_code == 403
                answer = person.post(path, {"email": "x@y.example", "alert_on": "on", "threshold": "5"})
                assert answer.status_code == 403
                assert "This feature is restricted" in read(answer)
        assert list(BillingContact.objects.values_list("email", flat=True)) == ["mona@acme.example"]
        assert not SpendAlert.objects.exists()
        assert AuditEntry.objects.filter(action="contact.refused").count() == 6
        assert AuditEntry.objects.filter(action="spend_alert.refused").count() == 2
        factories.make_teammate("birch", "ben@example.com", billing=True)
        assert browser("ben@example.com", htmx=True).get(ADD).status_code == 200

    def test_of_another_account_are_not_found(self) -> None:
        make_company()
        other = make_company("other", workspaces=("birch",))
        factories.make_teammate("atlas", "eve@example.com", billing=True)
        contact = other.billing_contacts.get()
        eve = browser("eve@example.com")
        assert eve.post(f"{PAGE}/contacts/{contact.pk}/remove").status_code == 404
        assert eve.post(f"{PAGE}/contacts/{contact.pk}", {"email": "x@y.example"}).status_code == 404

    def test_without_the_permission_controls_ask_why(self) -> None:
        make_company()
        page = browser("ben@example.com").get(PAGE).content.decode()
        assert 'data-restricted="/w/atlas/billing/restricted"' in page
        assert 'id="add-contact"' in page
        answer = browser("ben@example.com", htmx=True).get("/w/atlas/billing/restricted")
        assert "Can manage billing" in read(answer)


class TestTheSpendAlert:
    def test_is_set_and_shown(self) -> None:
        make_company()
        answer = browser(htmx=True).post(SPEND, {"alert_on": "on", "threshold": "1,500.50", "also_50_80": "on"})
        assert toast(answer) == "Saved. The spend alert at $1,500.50 is on."
        assert SpendAlert.objects.get().threshold == Decimal("1500.50")
        assert "Tell us at $1,500.50 (also 50% and 80%)" in read(browser().get(PAGE))

    def test_at_or_below_the_charges_it_is_scheduled(self) -> None:
        make_company()  # $49 for the plan
        answer = browser(htmx=True).post(SPEND, {"alert_on": "on", "threshold": "40"})
        assert toast(answer) == "Saved. The spend alert at $40.00 starts on 1 Jul 2026."
        assert "From 1 Jul $40.00" in read(browser().get(PAGE))
        words = read(browser().get(SPEND))
        assert "is scheduled: it takes effect on 1 Jul 2026" in words
        assert "No spend alert. Last changed by Ada on " in words

    @pytest.mark.parametrize("typed", ["", "abc", "0", "-5", "1.005", "NaN", "Infinity", "1e5", "9" * 30, "1,00"])
    def test_an_impossible_amount_is_refused_in_place(self, typed: str) -> None:
        make_company()
        answer = browser(htmx=True).post(SPEND, {"alert_on": "on", "threshold": typed})
        assert answer.status_code == 422
        assert 'aria-invalid="true"' in answer.content.decode()
        assert not SpendAlert.objects.exists()


class TestAnotherPlan:
    def test_plans_stand_side_by_side(self) -> None:
        make_company()
        words = read(browser().get(f"{PAGE}/plans"))
        assert "Starter Your plan $49.00 a billing period" in words
        assert "Professional $199.00 a billing period, with workflows Conversations 1,000 included, then $0.45" in words

    def test_an_upgrade_is_previewed_line_by_line_and_starts_at_once(self) -> None:
        account = make_company()
        factories.use("conversations", 275)
        path = f"{PAGE}/plans/professional"
        words = read(browser(htmx=True).get(path))
        assert "Upgrade to Professional" in words
        # 14 days Starter, 16 days Professional of 30.
        assert "Starter plan, 1 Jun – 14 Jun 2026 $22.87" in words
        assert "Professional plan, 15 Jun – 30 Jun 2026 $106.13" in words
        assert "Total before tax $129.00" in words
        assert "On Starter $61.50" in words
        assert plan_of(account) == "starter"
        answer = browser(htmx=True).post(path, {"version": "1", "kind": "upgrade"})
        assert toast(answer) == "Professional is in force now."
        assert plan_of(account) == "professional"
        assert "Total so far $129.00" in read(browser().get(PAGE))

    def test_a_downgrade_waits_for_the_next_period(self) -> None:
        account = make_company(plan="professional")
        path = f"{PAGE}/plans/starter"
        words = read(browser(htmx=True).get(path))
        assert "Change to Starter Acme · takes effect on 1 Jul 2026" in words
        assert "Schedule for 1 Jul" in words
        answer = browser(htmx=True).post(path, {"version": "1", "kind": "downgrade"})
        assert toast(answer) == "Starter holds from 1 Jul 2026 on."
        assert plan_of(account) == "professional"
        assert "Starter begins on 1 Jul 2026." in read(browser().get(PAGE))

    def test_what_is_confirmed_is_what_was_shown(self) -> None:
        make_company()
        for data in ({}, {"version": "1", "kind": "downgrade"}, {"version": "2", "kind": "upgrade"}):
            answer = browser(htmx=True).post(f"{PAGE}/plans/professional", data)
            assert answer.status_code == 422
            assert "The offer has changed since you opened it." in read(answer)
        assert Subscription.objects.count() == 1

    def test_twice_is_once(self) -> None:
        make_company()
        for _ in range(2):
            browser(htmx=True).post(f"{PAGE}/plans/professional", {"version": "1", "kind": "upgrade"})
        assert Subscription.objects.exclude(plan__key="starter").count() == 1

    def test_needs_the_permission_for_the_click_not_for_the_preview(self) -> None:
        account = make_company()
        ben = browser("ben@example.com", htmx=True)
        page = ben.get(f"{PAGE}/plans/professional")
        assert page.status_code == 200
        assert 'data-restricted="/w/atlas/billing/restricted"' in page.content.decode()
        answer = ben.post(f"{PAGE}/plans/professional", {"version": "1", "kind": "upgrade"})
        assert answer.status_code == 403
        assert "Nothing was changed." in read(answer)
        assert plan_of(account) == "starter"

    def test_advice_says_why_and_what_it_would_cost(self) -> None:
        account = make_company()
        for month in (6, 7, 8):
            factories.use("conversations", 240, at=at(20, month=month))
        stand_at(account, at(15, month=9))
        factories.use("conversations", 600, at=at(10, month=9))
        words = read(browser().get(PAGE))
        assert "Professional would cost less" in words
        assert "Conversations reached 80% of what is included in each of the last three periods." in words
        assert "At this pace Conversations will exceed what is included." in words
        assert "250 included, then $0.50 on Starter 1,000 included, then $0.45 on Professional" in words
        assert "Use the cheapest channel that fits each case." in words
        assert "Preview the upgrade" in words
