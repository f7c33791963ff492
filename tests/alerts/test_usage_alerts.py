"""Usage alerts, sentence by sentence (spec 3.1-3.6)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.alerts.timeline import Story

pytestmark = pytest.mark.django_db


# --- Reaching (3.1, 3.2) ---


def test_one_below_the_threshold_is_not_told(story: Story) -> None:
    story.alert(100).uses(99).tells()


def test_reached_means_exactly_the_threshold(story: Story) -> None:
    story.alert(100).uses(99).uses(1).tells("atlas 100% of 100 at 100")


def test_it_tells_each_level_once(story: Story) -> None:
    story.alert(100).uses(100).tells("atlas 100% of 100 at 100")
    story.uses(50).tells().uses(50).tells()


def test_the_checkbox_adds_50_and_80_percent(story: Story) -> None:
    story.alert(100, halves=True)
    story.uses(50).tells("atlas 50% of 100 at 50")
    story.uses(30).tells("atlas 80% of 100 at 80")
    story.uses(20).tells("atlas 100% of 100 at 100")


def test_without_the_checkbox_only_the_number_is_told(story: Story) -> None:
    story.alert(100).uses(85).tells()


def test_half_of_an_odd_number_is_exact(story: Story) -> None:
    story.alert(5, halves=True).uses(2).tells().uses(1).tells("atlas 50% of 5 at 3")


def test_several_levels_at_once_make_one_message_and_the_others_count_as_told(story: Story) -> None:
    story.alert(100, halves=True).uses(90).tells("atlas 80% of 100 at 90")
    assert story.firings() == {("usage_alert", 50, "100"), ("usage_alert", 80, "100")}
    story.takes_back().uses(60).tells()


def test_all_three_levels_at_once_name_the_highest(story: Story) -> None:
    story.alert(100, halves=True).uses(250).tells("atlas 100% of 100 at 250")


def test_a_correction_below_a_level_and_back_does_not_tell_it_again(story: Story) -> None:
    story.alert(100).uses(60).uses(50).tells("atlas 100% of 100 at 110")
    story.takes_back().tells().uses(50).tells()


def test_a_correction_before_anybody_looked_leaves_nothing_to_tell(story: Story) -> None:
    story.alert(100).uses(60).uses(50).takes_back().tells()


def test_an_amendment_upwards_can_reach_a_level(story: Story) -> None:
    story.alert(100).uses(60).tells().amends(100).tells("atlas 100% of 100 at 100")


def test_every_billing_contact_gets_its_own_mail(a_story: Callable[..., Story]) -> None:
    story = a_story(contacts=("mona@acme.example", "nils@acme.example", "olga@acme.example"))
    story.alert(10).uses(10).tells("atlas 100% of 10 at 10")


def test_without_contacts_it_still_fires_and_stays_in_app(a_story: Callable[..., Story]) -> None:
    a_story(contacts=()).alert(10).uses(10).tells("atlas 100% of 10 at 10")


def test_thresholds_are_in_display_units(story: Story) -> None:
    story.about("phone").alert(10).uses(9).tells().uses(1).tells("atlas 100% of 10 at 10")


def test_alerts_belong_to_one_workspace(a_story: Callable[..., Story]) -> None:
    story = a_story(workspaces=("atlas", "birch"))
    story.alert(100).at("birch").alert(50)
    story.uses(60).tells("birch 100% of 50 at 60")
    story.at("atlas").uses(60).tells()


def test_alerts_belong_to_one_metric(story: Story) -> None:
    story.alert(10).about("sms").uses(10).tells()


def test_looking_again_and_again_tells_nothing_new(story: Story) -> None:
    story.alert(100).uses(100).tells("atlas 100% of 100 at 100").tells().tells()


def test_an_alert_never_disables_anything(story: Story) -> None:
    story.about("ai_resolutions").alert(2).uses(3).tells("atlas 100% of 2 at 3")
    assert not story.is_off()


# --- Changing the threshold (3.4) ---


def test_a_first_threshold_above_usage_is_in_force_at_once(story: Story) -> None:
    story.uses(40).alert(100).shows_alert(in_force=100).uses(60).tells("atlas 100% of 100 at 100")


def test_a_first_threshold_below_usage_waits_for_the_next_period(story: Story) -> None:
    story.uses(40).alert(30).shows_alert(in_force=None, scheduled=30)
    story.uses(100).tells()
    story.on(3, month=7).shows_alert(in_force=30).uses(30).tells("atlas 100% of 30 at 30")


def test_a_threshold_at_usage_waits_too(story: Story) -> None:
    story.uses(40).alert(40).shows_alert(in_force=None, scheduled=40).tells()


def test_raising_is_in_force_at_once(story: Story) -> None:
    story.alert(100).uses(40).alert(200).shows_alert(in_force=200)
    story.uses(60).tells().uses(100).tells("atlas 100% of 200 at 200")


def test_lowering_to_above_usage_is_in_force_at_once(story: Story) -> None:
    story.alert(100).uses(40).alert(50).shows_alert(in_force=50).uses(10).tells("atlas 100% of 50 at 50")


def test_lowering_below_usage_keeps_the_old_one_until_the_next_period(story: Story) -> None:
    story.alert(100).uses(60).alert(50).shows_alert(in_force=100, scheduled=50)
    story.uses(40).tells("atlas 100% of 100 at 100")
    story.on(2, month=7).uses(50).tells("atlas 100% of 50 at 50")


def test_what_the_old_threshold_reached_is_told_before_it_goes(story: Story) -> None:
    story.alert(100).uses(100).alert(200).tells("atlas 100% of 100 at 100")


def test_the_baseline_keeps_passed_levels_silent(story: Story) -> None:
    story.uses(60).alert(100, halves=True).tells()
    story.uses(20).tells("atlas 80% of 100 at 80")


def test_a_level_at_the_baseline_is_not_told(story: Story) -> None:
    story.uses(50).alert(100, halves=True).tells().uses(29).tells()


def test_a_correction_below_the_baseline_does_not_make_old_levels_due(story: Story) -> None:
    story.uses(10).uses(50).alert(100, halves=True).takes_back().uses(45).tells()
    story.uses(25).tells("atlas 80% of 100 at 80")


def test_in_the_next_period_the_baseline_is_nothing(story: Story) -> None:
    story.uses(60).alert(100, halves=True).tells()
    story.on(2, month=7).uses(50).tells("atlas 50% of 100 at 50")


def test_the_last_edit_wins_over_a_schedule(story: Story) -> None:
    story.alert(100).uses(60).alert(50).alert(40).shows_alert(in_force=100, scheduled=40)
    story.alert(150).shows_alert(in_force=150)
    story.on(2, month=7).shows_alert(in_force=150)


def test_choosing_the_number_in_force_again_clears_the_schedule(story: Story) -> None:
    story.alert(100).uses(60).alert(50).alert(100).shows_alert(in_force=100, scheduled=None)


def test_saving_the_same_again_changes_nothing_even_when_it_is_reached(story: Story) -> None:
    story.alert(100).uses(120).tells("atlas 100% of 100 at 120")
    story.alert(100).shows_alert(in_force=100, scheduled=None).tells()


def test_ticking_50_and_80_later_tells_only_what_is_still_to_come(story: Story) -> None:
    story.alert(100).uses(60).alert(100, halves=True).tells()
    story.uses(25).tells("atlas 80% of 100 at 85")


def test_ticking_50_and_80_on_a_reached_threshold_waits_for_the_next_period(story: Story) -> None:
    story.alert(100).uses(100).tells("atlas 100% of 100 at 100").alert(100, halves=True)
    story.shows_alert(in_force=100, scheduled=100)
    story.on(2, month=7).uses(50).tells("atlas 50% of 100 at 50")


def test_going_back_to_a_threshold_does_not_repeat_its_levels(story: Story) -> None:
    story.alert(100, halves=True).uses(50).tells("atlas 50% of 100 at 50")
    story.alert(300).alert(100, halves=True).uses(10).tells().uses(20).tells("atlas 80% of 100 at 80")


def test_another_threshold_has_levels_of_its_own(story: Story) -> None:
    story.alert(100).uses(100).tells("atlas 100% of 100 at 100").alert(150).uses(50).tells("atlas 100% of 150 at 150")


# --- Off and on (3.5) ---


def test_off_tells_nothing(story: Story) -> None:
    story.alert(100).alert(None).shows_alert(in_force=None).uses(200).tells()


def test_off_and_on_again_repeats_nothing(story: Story) -> None:
    story.alert(100, halves=True).uses(55).tells("atlas 50% of 100 at 55")
    story.alert(None).alert(100, halves=True).tells().uses(25).tells("atlas 80% of 100 at 80")


def test_levels_passed_while_off_are_not_told(story: Story) -> None:
    story.alert(100, halves=True).alert(None).uses(85).alert(100, halves=True).tells()
    story.uses(15).tells("atlas 100% of 100 at 100")


def test_on_again_below_usage_waits_for_the_next_period(story: Story) -> None:
    story.alert(100).alert(None).uses(120).alert(100).shows_alert(in_force=None, scheduled=100).tells()
    story.on(2, month=7).uses(100).tells("atlas 100% of 100 at 100")


def test_off_clears_the_schedule(story: Story) -> None:
    story.alert(100).uses(60).alert(50).alert(None).shows_alert(in_force=None)
    story.on(2, month=7).shows_alert(in_force=None).uses(200).tells()


def test_off_clears_a_schedule_when_nothing_was_in_force(story: Story) -> None:
    story.uses(60).alert(50).alert(None).shows_alert(in_force=None)
    story.on(2, month=7).uses(200).tells()


def test_off_first_tells_what_was_reached(story: Story) -> None:
    story.alert(100).uses(100).alert(None).tells("atlas 100% of 100 at 100")


# --- New periods (3.6) ---


def test_a_new_period_is_armed_by_itself(story: Story) -> None:
    story.alert(100).uses(100).tells("atlas 100% of 100 at 100")
    story.on(1, month=7, hour=1).uses(100).tells("atlas 100% of 100 at 100")


def test_a_new_period_is_armed_also_when_its_first_reading_is_higher(story: Story) -> None:
    story.alert(100).uses(10).tells().on(2, month=7).uses(130).tells("atlas 100% of 100 at 130")


def test_usage_received_in_time_is_told_after_the_turn(story: Story) -> None:
    story.alert(100).on(30, hour=23, minute=59).uses(100).on(5, month=7).tells("atlas 100% of 100 at 100")


def test_usage_received_after_the_turn_never_alerts(story: Story) -> None:
    story.alert(100).on(30).uses(60)
    happened = story.now
    story.on(2, month=7).uses(50, at=happened).tells()


def test_late_usage_does_not_add_to_what_was_in_time(story: Story) -> None:
    story.alert(100, halves=True).on(30).uses(60)
    happened = story.now
    story.on(2, month=7).uses(50, at=happened).tells("atlas 50% of 100 at 60")


def test_a_late_correction_does_not_silence_what_was_reached_in_time(story: Story) -> None:
    story.alert(100).on(30).uses(100).on(2, month=7).takes_back().tells("atlas 100% of 100 at 100")


def test_two_periods_can_be_told_in_one_evaluation(story: Story) -> None:
    story.alert(100).on(30).uses(100).on(2, month=7).uses(100)
    story.tells("atlas 100% of 100 at 100", "atlas 100% of 100 at 100")


def test_a_schedule_comes_into_force_without_any_job(story: Story) -> None:
    story.uses(60).alert(50).on(1, month=7, hour=0).uses(50).tells("atlas 100% of 50 at 50")


def test_after_the_turn_an_edit_does_not_touch_the_period_that_ended(story: Story) -> None:
    story.alert(100).on(30).uses(100).on(2, month=7).alert(500)
    story.tells("atlas 100% of 100 at 100")
