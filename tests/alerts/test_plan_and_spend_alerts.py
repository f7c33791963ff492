"""Alerts on the account as a whole: plan levels over the pool, and spend (spec 3.7, 3.10)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from alerts.models import Notification
from alerts.selectors.settings import spend_alert_of
from tests.alerts.timeline import Story
from usage.errors import InvalidInput
from usage.models import AuditEntry

pytestmark = pytest.mark.django_db


@pytest.fixture
def starter(a_story: Callable[..., Story]) -> Story:
    """Starter includes 100 minutes of Phone; two workspaces share them."""
    return a_story(workspaces=("atlas", "birch"), plan="starter", metric_key="phone")


# --- Plan alerts (3.7) ---


def test_the_pool_is_told_at_80_90_and_100_percent(starter: Story) -> None:
    starter.uses(80).tells("plan 80% of 100 at 80")
    starter.uses(10).tells("plan 90% of 100 at 90")
    starter.uses(10).tells("plan 100% of 100 at 100")
    starter.uses(500).tells()


def test_all_workspaces_count_together(starter: Story) -> None:
    starter.uses(45).tells().at("birch").uses(34).tells().uses(1).tells("plan 80% of 100 at 80")


def test_several_plan_levels_at_once_make_one_message(starter: Story) -> None:
    starter.uses(120).tells("plan 100% of 100 at 120")


def test_plan_alerts_and_own_alerts_are_independent(starter: Story) -> None:
    starter.alert(85).uses(85).tells("plan 80% of 100 at 85", "atlas 100% of 85 at 85")


def test_unlimited_metrics_have_no_plan_levels(starter: Story) -> None:
    starter.about("sms").uses(100_000).tells()


def test_pay_as_you_go_has_no_plan_levels(starter: Story) -> None:
    starter.about("whatsapp").uses(100_000).tells()


def test_a_contracted_amount_has_plan_levels(starter: Story) -> None:
    starter.about("whatsapp").contracts(50).uses(40).tells("plan 80% of 50 at 40")


def test_nothing_included_has_no_plan_levels(starter: Story) -> None:
    starter.about("whatsapp").contracts(0).uses(40).tells()


def test_without_a_plan_there_are_no_plan_levels(story: Story) -> None:
    story.about("phone").uses(500).tells()


def test_switched_off_they_are_silent(starter: Story) -> None:
    starter.plan_alerts(False).uses(95).tells()


def test_switched_off_for_one_metric_the_others_tell(starter: Story) -> None:
    starter.plan_alerts(False).about("conversations").uses(200).tells("plan 80% of 250 at 200")


def test_levels_passed_while_off_are_not_told_afterwards(starter: Story) -> None:
    starter.plan_alerts(False).uses(85).plan_alerts(True).tells().uses(5).tells("plan 90% of 100 at 90")


def test_switched_off_it_first_tells_what_was_reached(starter: Story) -> None:
    starter.uses(80).plan_alerts(False).tells("plan 80% of 100 at 80")


def test_off_and_on_again_is_armed_in_the_next_period(starter: Story) -> None:
    starter.plan_alerts(False).uses(85).plan_alerts(True).tells()
    starter.on(2, month=7).uses(80).tells("plan 80% of 100 at 80")


def test_an_upgrade_re_arms_against_the_new_amount(starter: Story) -> None:
    starter.uses(80).tells("plan 80% of 100 at 80")
    starter.on(16).changes_plan("professional").tells()
    starter.uses(320).tells("plan 80% of 500 at 400")


def test_an_upgrade_tells_what_is_reached_of_the_new_amount_too(starter: Story) -> None:
    starter.uses(450).tells("plan 100% of 100 at 450")
    starter.on(16).changes_plan("professional").tells("plan 90% of 500 at 450")


def test_a_downgrade_counts_from_the_next_period_on(a_story: Callable[..., Story]) -> None:
    story = a_story(plan="professional", metric_key="phone").uses(90).changes_plan("starter").tells()
    story.on(2, month=7).uses(80).tells("plan 80% of 100 at 80")


def test_usage_received_late_does_not_reach_plan_levels(starter: Story) -> None:
    starter.on(30).uses(50)
    happened = starter.now
    starter.on(1, month=7, hour=1).uses(40, at=happened).tells()


def test_plan_levels_reached_in_time_are_told_after_the_turn(starter: Story) -> None:
    starter.on(30).uses(60).at("birch").uses(30).on(4, month=7).tells("plan 90% of 100 at 90")


def test_account_level_messages_belong_to_no_workspace(starter: Story) -> None:
    starter.uses(80).evaluates()
    assert Notification.objects.get().workspace is None


def test_switching_is_audited(starter: Story) -> None:
    starter.plan_alerts(False).plan_alerts(False)
    entry = AuditEntry.objects.get(action="plan_alert.changed")
    assert (entry.subject, entry.before, entry.after) == ("phone", {"enabled": True}, {"enabled": False})


# --- Spend alerts (3.10); Starter costs 49 a month, WhatsApp 0.08, phone above 100 minutes 0.30 ---


def test_charges_so_far_reach_the_spend_alert(starter: Story) -> None:
    starter.about("whatsapp").spend_alert("60").uses(137).tells()
    starter.uses(1).tells("spend 100% of 60 at 60.04")


def test_the_spend_alert_has_halves_too(starter: Story) -> None:
    starter.about("whatsapp").spend_alert("100", halves=True).tells()
    starter.uses(388).tells("spend 80% of 100 at 80.04")


def test_a_spend_alert_at_or_below_the_charges_waits_for_the_next_period(starter: Story) -> None:
    starter.about("whatsapp").spend_alert("49").tells()
    state = spend_alert_of(account=starter.account, period=starter.period.starts_at)
    assert state.in_force is None
    assert state.scheduled is not None
    starter.on(2, month=7).tells("spend 100% of 49 at 49")


def test_spend_is_told_once_a_period(starter: Story) -> None:
    starter.about("whatsapp").spend_alert("60").uses(200).tells("spend 100% of 60 at 65").uses(100).tells()


def test_switched_off_spend_is_silent(starter: Story) -> None:
    starter.about("whatsapp").spend_alert("60").spend_alert(None).uses(500).tells()


def test_spend_reached_in_time_is_told_after_the_turn(starter: Story) -> None:
    starter.about("whatsapp").spend_alert("60").on(30).uses(200).on(2, month=7).tells("spend 100% of 60 at 65")


def test_late_usage_never_makes_a_spend_alert(starter: Story) -> None:
    starter.about("whatsapp").spend_alert("60").on(30).uses(100)
    happened = starter.now
    starter.on(1, month=7).uses(400, at=happened).tells()


@pytest.mark.parametrize("money", ["0", "-1", "1.005", "NaN", "Infinity", "1e13"])
def test_impossible_spend_thresholds_are_refused(starter: Story, money: str) -> None:
    with pytest.raises(InvalidInput):
        starter.spend_alert(money)
