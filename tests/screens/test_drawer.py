"""The drawer of alerts and limits (spec 1.3, 3.1-3.8, 4.1, 4.2, 4.7), with a script and without."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from alerts.models import UsageAlert
from alerts.services.evaluate import evaluate
from billing.services.contacts import remove_contact
from tests import factories
from tests.alerts.conversations import limit
from tests.screens.drawers import DRAWER, HALVES, PRICE, events, form, limits, save
from tests.screens.pages import NOON, at, browser, contract, make_company, read, stand_at
from usage.clocks import system_clock
from usage.formats import short_date
from usage.models import UsageTotal
from usage.periods import local_day

pytestmark = pytest.mark.django_db


class TestItsWords:
    def test_alerts_and_limit_of_an_agent(self) -> None:
        make_company()
        factories.use("ai_resolutions", 20)
        words = read(browser().get(DRAWER))
        assert "Usage alerts and limits AI Agent resolutions · Atlas · 20 so far this period" in words
        assert "Tells your billing contacts by e-mail. It never stops AI Agent." in words
        assert HALVES in words
        assert "When Atlas reaches it, AI Agent is off for the rest of the period." in words
        assert "New conversations go to your handover steps" in words
        assert "The final number can be a little higher or lower: usage is reported after the fact" in words
        assert "Review your billing contacts" in words
        assert "mona@acme.example" in words
        assert "Save changes" in words

    def test_a_metric_without_limit_has_alerts_alone(self) -> None:
        make_company()
        words = read(browser().get("/w/atlas/usage/whatsapp/alerts"))
        assert "It never stops a channel or a message." in words
        assert "Limit" not in words
        assert "Plan alerts" not in words

    def test_voice_says_that_telephony_is_not_affected(self) -> None:
        make_company()
        said = "Telephony is billed separately and is not affected."
        assert said in read(browser().get("/w/atlas/usage/voice_resolutions/alerts"))
        assert said not in read(browser().get(DRAWER))

    def test_several_workspaces_share_what_is_contracted(self) -> None:
        contract(make_company(workspaces=("atlas", "birch")), 50)
        words = read(browser().get(DRAWER))
        assert "Alerts are set for each workspace, although the contracted 50 are shared." in words
        assert "Plan alerts at 80%, 90% and 100% of the 50 contracted, for all workspaces." in words

    def test_without_contacts_it_warns(self) -> None:
        account = make_company()
        remove_contact(contact=account.billing_contacts.get(), by=factories.BY)
        assert "There is no billing contact" in read(browser().get(DRAWER))

    def test_names_who_changed_it_last_and_what_was_told(self) -> None:
        account = make_company()
        assert "Last changed" not in read(browser().get(DRAWER))
        assert save("cleo@example.com", alert_on="on", threshold="25").status_code == 204
        factories.use("ai_resolutions", 30)
        evaluate(account_ids=[account.pk], now=NOON, include_sandbox=True)
        words = read(browser().get(DRAWER))
        assert "Last changed by Cleo on " in words
        assert "Told in this period" in words
        assert "15 Jun" in words

    def test_says_for_each_setting_since_when_it_holds_and_who_changed_it(self) -> None:
        account = make_company()
        assert save("cleo@example.com", alert_on="on", threshold="25").status_code == 204
        assert save(alert_on="on", threshold="25", limit_on="on", limit="40", when="now").status_code == 204
        said = read(browser().get(DRAWER))
        # The clock of this account stands before the trail's: all it can say is the period.
        assert "Alert at 25, in force since 1 Jun 2026. Last changed by Cleo on " in said
        assert "Limit of 40, in force since 1 Jun 2026. Last changed by Ada on " in said
        assert "Plan alerts" not in said.partition("Told in this period")[2]
        stand_at(account, system_clock() + timedelta(minutes=1))
        assert save(alert_on="on", threshold="30", limit_on="on", limit="40").status_code == 204
        today = short_date(local_day(system_clock(), "UTC"))
        assert f"Alert at 30, in force since {today}. Last changed by Ada on {today}." in read(browser().get(DRAWER))

    def test_a_setting_that_is_off_says_so(self) -> None:
        make_company()
        assert save("cleo@example.com", alert_on="on", threshold="25").status_code == 204
        assert save().status_code == 204
        assert "No alert. Last changed by Ada on " in read(browser().get(DRAWER))

    def test_a_part_is_a_fragment_and_a_page_is_whole(self) -> None:
        make_company()
        assert "<html" not in browser(htmx=True).get(DRAWER).content.decode()
        assert '<h1 id="drawer-title"' in browser().get(DRAWER).content.decode()


class TestThePrice:
    def price(self, quantity: str, *, field: str = "threshold") -> str:
        kind = "limit" if field == "limit" else "alert"
        return read(browser(htmx=True).get(PRICE, {"for": kind, field: quantity}))

    def test_pay_as_you_go_shows_the_whole_charge(self) -> None:
        make_company()
        assert self.price("100") == "$99.00 at the end of the period"
        assert self.price("0", field="limit") == "$0.00 at the end of the period"

    def test_contracted_shows_the_additional_cost_with_the_others_at_their_usage(self) -> None:
        contract(make_company(workspaces=("atlas", "birch")), 400)
        factories.use("ai_resolutions", 92, workspace_key="birch")
        # 500 + 92 - 400 = 192 at $0.99.
        assert self.price("500") == "+ $190.08 above the 400 contracted, with Birch at 92"
        assert self.price("1,000") == "+ $685.08 above the 400 contracted, with Birch at 92"
        assert self.price("10", field="limit") == "+ $0.00 above the 400 contracted, with Birch at 92"

    @pytest.mark.parametrize("nonsense", ["", "abc", "-1", "1.5", "NaN", "9" * 40, "²", "1,00"])
    def test_what_is_no_number_has_no_price(self, nonsense: str) -> None:
        make_company()
        assert self.price(nonsense) == "–"

    def test_unlimited_is_never_charged(self) -> None:
        make_company()
        answer = browser().get("/w/atlas/usage/sms/price", {"for": "alert", "threshold": "5"})
        assert read(answer) == "$0.00 unlimited, never charged"


class TestSavingAlerts:
    def test_an_alert_above_usage_is_on_at_once_without_a_question(self) -> None:
        make_company()
        answer = save(alert_on="on", threshold="500", also_50_80="on")
        assert answer.status_code == 204
        row = UsageAlert.objects.get()
        assert (row.threshold, row.also_50_80) == (Decimal(500), True)
        told = events(answer)
        assert told["toast"]["message"] == "Saved. The alert at 500 is on."
        assert "drawer:close" in told
        assert "usage:changed" in told

    def test_an_alert_at_usage_is_scheduled_with_its_date(self) -> None:
        make_company()
        factories.use("ai_resolutions", 20)
        answer = save(alert_on="on", threshold="20")
        assert events(answer)["toast"]["message"] == "Saved. The alert at 20 starts on 1 Jul 2026."
        words = read(browser().get(DRAWER))
        assert "The alert at 20 is scheduled: it takes effect on 1 Jul 2026. Until then there is none." in words
        assert 'value="20"' in browser().get(DRAWER).content.decode()

    def test_off_is_off_whatever_number_stands_beside_it(self) -> None:
        make_company()
        save(alert_on="on", threshold="500")
        answer = save(threshold="nonsense")
        assert events(answer)["toast"]["message"] == "Saved. The alert is off."
        assert UsageAlert.objects.latest("pk").threshold is None

    def test_plan_alerts_are_a_checkbox_of_the_account(self) -> None:
        contract(make_company(), 50)
        answer = save(has_plan_alert="1")
        assert events(answer)["toast"]["message"] == "Saved. Plan alerts are changed."
        assert 'name="plan_alert" checked' not in browser().get(DRAWER).content.decode()

    def test_nothing_changed_says_so(self) -> None:
        make_company()
        assert events(save())["toast"] == {"message": "Nothing was changed.", "tone": "info"}

    @pytest.mark.parametrize(
        ("typed", "sentence"),
        [
            ("", "Enter a number."),
            ("abc", "The number must be a whole number."),
            ("1.5", "The number must be a whole number."),
            ("0", "The number must be at least 1."),
            ("-3", "The number must be at least 1."),
            ("9" * 20, "The number must be at most 1,000,000,000,000."),
        ],
    )
    def test_an_impossible_number_is_refused_in_place(self, typed: str, sentence: str) -> None:
        make_company()
        answer = save(alert_on="on", threshold=typed)
        assert answer.status_code == 422
        assert sentence in read(answer)
        assert 'aria-invalid="true"' in answer.content.decode()
        assert not UsageAlert.objects.exists()

    def test_markup_that_is_typed_stays_text(self) -> None:
        make_company()
        answer = save(alert_on="on", threshold='"><script>alert(1)</script>')
        assert "<script>alert" not in answer.content.decode()


class TestSavingLimits:
    def test_asks_first_when_the_limit_starts(self) -> None:
        make_company()
        answer = save(limit_on="on", limit="600")
        assert answer.headers["HX-Retarget"] == "#popup"
        words = read(answer)
        assert "When should the new limit start?" in words
        assert (
            "Your limit of 600 AI Agent resolutions for Atlas takes effect at the start of your next billing period, "
            "on 1 Jul 2026." in words
        )
        assert "Schedule changes" in words
        assert "Apply now" in words
        assert "immediately" not in words
        assert limits() == []

    def test_scheduled_it_starts_with_the_next_period(self) -> None:
        make_company()
        answer = save(limit_on="on", limit="600", when="next")
        assert events(answer)["toast"]["message"] == "Saved. Your limit of 600 starts on 1 Jul 2026."
        assert limits() == [("1 Jul", 600)]
        words = read(browser().get(DRAWER))
        assert "The limit of 600 is scheduled: it starts on 1 Jul 2026. Until then there is none." in words

    def test_applied_now_it_holds_at_once(self) -> None:
        make_company()
        factories.use("ai_resolutions", 20)
        answer = save(limit_on="on", limit="600", when="now")
        assert events(answer)["toast"]["message"] == "Saved. The limit of 600 is in force."
        assert UsageTotal.objects.get().hard_limit == 600

    def test_at_or_below_usage_it_warns_that_the_agent_stops(self) -> None:
        make_company()
        factories.use("ai_resolutions", 20)
        for quantity in ("20", "3", "0"):
            words = read(save(limit_on="on", limit=quantity))
            assert "Atlas has already used 20. Apply now turns AI Agent off immediately, until 1 Jul." in words

    def test_the_question_repeats_the_whole_form(self) -> None:
        make_company()
        answer = save(alert_on="on", threshold="500", limit_on="on", limit="600")
        page = answer.content.decode()
        for name, value in (("alert_on", "1"), ("threshold", "500"), ("limit_on", "1"), ("limit", "600")):
            assert f'name="{name}" value="{value}"' in page
        assert not UsageAlert.objects.exists()  # all or nothing
        save(alert_on="1", threshold="500", limit_on="1", limit="600", when="next")
        assert UsageAlert.objects.get().threshold == 500

    def test_off_is_asked_too(self) -> None:
        make_company()
        limit(40)
        assert "When should the limit end?" in read(save())
        assert events(save(when="now"))["toast"]["message"] == "Saved. The limit is off."
        assert limits()[-1][1] is None

    def test_never_below_what_is_contracted_and_says_the_lowest_number(self) -> None:
        contract(make_company(workspaces=("atlas", "birch")), 50)
        limit(10, workspace="birch")
        answer = save(limit_on="on", limit="30")
        assert answer.status_code == 422
        assert (
            "The limit can't be lower than 40 in Atlas (Birch: 10): 50 are included in your subscription; "
            "you would still be charged for 50." in read(answer)
        )
        assert "Schedule changes" not in read(answer)
        assert limits() == [("1 Jun", 10)]
        assert save(limit_on="on", limit="40", when="now").status_code == 204

    def test_a_refusal_after_the_question_stands_in_the_drawer_again(self) -> None:
        contract(make_company(), 50)
        answer = save(limit_on="on", limit="30", when="now")
        assert answer.status_code == 422
        assert "popup:close" in events(answer)
        assert "can't be lower than 50 in Atlas: 50 are included" in read(answer)

    def test_a_limit_in_force_can_be_raised_and_the_reached_one_says_off(self) -> None:
        make_company()
        limit(5)
        factories.use("ai_resolutions", 6)
        assert "The limit of 5 is reached: AI Agent is off until 1 Jul." in read(browser().get(DRAWER))
        save(limit_on="on", limit="9", when="now")
        assert "is reached" not in read(browser().get(DRAWER))


class TestWithoutAScript:
    def test_every_step_is_a_page(self) -> None:
        make_company()
        asked = save(limit_on="on", limit="600", htmx=False)
        assert "<html" in asked.content.decode()
        assert "When should the new limit start?" in read(asked)
        done = save(limit_on="on", limit="600", when="next", htmx=False)
        assert done.headers["Location"] == "/w/atlas/usage#ai_resolutions"
        refused = save(alert_on="on", threshold="x", htmx=False)
        assert (refused.status_code, "<html" in refused.content.decode()) == (422, True)

    def test_what_was_saved_is_said_on_the_next_page(self) -> None:
        make_company()
        client = browser()
        client.post(DRAWER, form(alert_on="on", threshold="500"))
        assert "Saved. The alert at 500 is on." in read(client.get("/w/atlas/usage"))


def test_a_new_period_clears_what_was_reached() -> None:
    account = make_company()
    limit(5)
    factories.use("ai_resolutions", 6)
    stand_at(account, at(2, month=7))
    words = read(browser().get(DRAWER))
    assert "0 so far this period" in words
    assert "is reached" not in words


def test_an_ended_account_answers_in_words() -> None:
    account = make_company()
    type(account).objects.filter(pk=account.pk).update(ended_at=at(20))
    stand_at(account, at(25, month=8))
    assert browser().get(DRAWER).status_code == 422
    answer = save(alert_on="on", threshold="500")
    assert answer.status_code == 422
    assert "The account has ended before that." in read(answer)
