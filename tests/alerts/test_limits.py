"""Hard limits: setting them, the floor, and what is told (spec 4.1-4.4)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from alerts.errors import LimitBelowIncluded
from alerts.models import Delivery, LimitState, Notification
from tests.alerts.timeline import Story
from usage.errors import InvalidInput
from usage.models import Account, UsageLimit

pytestmark = pytest.mark.django_db


@pytest.fixture
def story(a_story: Callable[..., Story]) -> Story:
    return a_story(metric_key="ai_resolutions")


@pytest.fixture
def two(a_story: Callable[..., Story]) -> Story:
    """Atlas and Birch share 50 contracted resolutions."""
    return a_story(workspaces=("atlas", "birch"), plan="starter", metric_key="ai_resolutions").contracts(50)


# --- When it takes effect (4.1) ---


def test_applied_now_it_is_in_force_at_once(story: Story) -> None:
    story.limit(10).shows_limit(in_force=10).uses(9)
    assert not story.is_off()
    story.uses(1)
    assert story.is_off()


def test_scheduled_it_starts_with_the_next_period(story: Story) -> None:
    story.limit(10, "next_period").shows_limit(in_force=None, scheduled=10).uses(20)
    assert not story.is_off()
    story.on(1, month=7, hour=0).shows_limit(in_force=10).uses(10)
    assert story.is_off()


def test_applied_now_below_usage_the_agent_is_off_at_once(story: Story) -> None:
    story.uses(10).limit(5)
    assert story.is_off()
    story.tells("atlas limit 5 reached at 10")


def test_applied_now_at_usage_the_agent_is_off_at_once(story: Story) -> None:
    story.uses(10).limit(10)
    assert story.is_off()


def test_zero_means_none_allowed(story: Story) -> None:
    story.limit(0).tells("atlas limit 0 reached at 0").uses(1)
    assert story.is_off()
    story.tells()


def test_zero_is_told_again_in_the_next_period_and_never_cleared(story: Story) -> None:
    story.limit(0).tells("atlas limit 0 reached at 0").on(2, month=7).tells()
    story.uses(1).tells("atlas limit 0 reached at 1")


def test_now_replaces_what_was_scheduled(story: Story) -> None:
    story.limit(10, "next_period").limit(20).shows_limit(in_force=20, scheduled=None)
    story.on(2, month=7).shows_limit(in_force=20)


def test_off_replaces_what_was_scheduled(story: Story) -> None:
    story.limit(20).limit(10, "next_period").limit(None).shows_limit(in_force=None)
    story.on(2, month=7).shows_limit(in_force=None)


def test_the_last_schedule_wins(story: Story) -> None:
    story.limit(10, "next_period").limit(30, "next_period").shows_limit(in_force=None, scheduled=30)


def test_a_limit_is_not_changed_by_us_in_a_new_period(story: Story) -> None:
    story.limit(10).on(5, month=9).shows_limit(in_force=10).uses(10)
    assert story.is_off()


@pytest.mark.parametrize("number", ["-1", "1.5", "NaN", "1e13"])
def test_impossible_limits_are_refused(story: Story, number: str) -> None:
    from alerts.services.limits import set_hard_limit
    from tests.factories import BY

    with pytest.raises(InvalidInput) as refusal:
        set_hard_limit(
            workspace=story.workspace,
            metric=story.metric,
            quantity=Decimal(number),
            effective="now",
            clock=story.clock,
            by=BY,
        )
    assert refusal.value.field == "limit"


def test_a_metric_without_limits_has_none(story: Story) -> None:
    with pytest.raises(InvalidInput):
        story.about("whatsapp").limit(5)


# --- Not below what is included (4.2) ---


def test_below_the_included_amount_is_refused_in_these_words(two: Story) -> None:
    two.at("birch").limit(10).at("atlas")
    with pytest.raises(LimitBelowIncluded) as refusal:
        two.limit(30)
    assert refusal.value.detail == (
        "can't be lower than 40 in Atlas (Birch: 10): 50 are included in your subscription; "
        "you would still be charged for 50"
    )
    assert refusal.value.lowest_allowed == 40
    two.shows_limit(in_force=None).limit(40).shows_limit(in_force=40)


def test_a_workspace_without_a_limit_can_use_the_rest(two: Story) -> None:
    two.limit(0).shows_limit(in_force=0)


def test_the_last_workspace_without_a_limit_takes_what_is_left(two: Story) -> None:
    two.limit(0).at("birch")
    with pytest.raises(LimitBelowIncluded) as refusal:
        two.limit(49)
    assert refusal.value.lowest_allowed == 50
    two.limit(50)


def test_the_schedule_is_checked_against_the_limits_of_that_period(two: Story) -> None:
    two.at("birch").limit(10, "next_period").at("atlas")
    with pytest.raises(LimitBelowIncluded) as refusal:
        two.limit(30, "next_period")
    assert refusal.value.lowest_allowed == 40
    two.limit(40, "next_period").shows_limit(in_force=None, scheduled=40)


def test_apply_now_is_checked_for_the_next_period_too(two: Story) -> None:
    two.at("birch").limit(5, "next_period").at("atlas")
    with pytest.raises(LimitBelowIncluded) as refusal:
        two.limit(30)
    assert refusal.value.lowest_allowed == 45


def test_apply_now_names_the_higher_of_both_numbers(two: Story) -> None:
    two.at("birch").limit(20).contracts(60, from_period=two.period.ends_at).at("atlas")
    with pytest.raises(LimitBelowIncluded) as refusal:
        two.limit(10)
    assert refusal.value.lowest_allowed == 40
    assert "60 are included" in refusal.value.detail


def test_off_needs_no_floor(two: Story) -> None:
    two.limit(50).at("birch").limit(0).limit(None).shows_limit(in_force=None)


def test_a_raise_needs_no_floor(two: Story) -> None:
    two.at("birch").limit(0).at("atlas").limit(50)
    two.contracts(80, from_period=two.period.ends_at).on(2, month=7)
    two.limit(60).shows_limit(in_force=60)
    with pytest.raises(LimitBelowIncluded):
        two.limit(59)


def test_pay_as_you_go_has_no_floor(a_story: Callable[..., Story]) -> None:
    a_story(plan="starter", metric_key="ai_resolutions").limit(1).shows_limit(in_force=1)


def test_without_terms_there_is_no_floor(story: Story) -> None:
    story.limit(1).shows_limit(in_force=1)


# --- What is told (4.3, 4.4) ---


def test_reached_is_told_with_an_email_to_every_contact(a_story: Callable[..., Story]) -> None:
    story = a_story(metric_key="ai_resolutions", contacts=("mona@acme.example", "nils@acme.example"))
    story.limit(5).uses(4).tells().uses(1).tells("atlas limit 5 reached at 5").uses(1).tells()
    assert Delivery.objects.count() == 2


def test_a_correction_below_the_limit_is_told_as_cleared(story: Story) -> None:
    story.limit(5).uses(5).tells("atlas limit 5 reached at 5")
    story.takes_back()
    assert not story.is_off()
    story.tells("atlas limit cleared at 4")


def test_reached_again_at_the_same_limit_sends_no_second_email(story: Story) -> None:
    story.limit(5).uses(5).tells("atlas limit 5 reached at 5").takes_back().tells("atlas limit cleared at 4")
    story.uses(1).tells("atlas limit 5 reached at 5 without e-mail")


def test_a_raised_limit_clears(story: Story) -> None:
    story.limit(5).uses(5).tells("atlas limit 5 reached at 5").limit(8).tells("atlas limit cleared at 5")
    story.uses(3).tells("atlas limit 8 reached at 8")


def test_a_limit_switched_off_clears(story: Story) -> None:
    story.limit(5).uses(5).tells("atlas limit 5 reached at 5").limit(None).tells("atlas limit cleared at 5")


def test_a_new_period_clears_without_any_usage(story: Story) -> None:
    story.limit(5).uses(5).tells("atlas limit 5 reached at 5")
    story.on(1, month=7, hour=0)
    assert not story.is_off()
    story.tells("atlas limit cleared at 0").tells()


def test_a_new_period_clears_with_its_first_usage(story: Story) -> None:
    story.limit(5).uses(5).tells("atlas limit 5 reached at 5")
    story.on(2, month=7).uses(1).tells("atlas limit cleared at 1")


@pytest.mark.parametrize("used", [0, 2])
@pytest.mark.parametrize("is_late", [False, True])
def test_what_is_told_as_cleared_names_the_period_in_which_the_agent_is_on(
    story: Story, used: int, is_late: bool
) -> None:
    story.limit(5).on(30).uses(5)
    if not is_late:
        story.evaluates()
    story.on(3, month=7)
    if used:
        story.uses(used)
    story.tells("atlas limit 5 reached at 5", f"atlas limit cleared at {used}")
    reached, cleared = Notification.objects.order_by("pk")
    assert (reached.period.month, cleared.period.month, cleared.quantity) == (6, 7, used)


def test_the_recalculation_opens_the_period_in_which_an_agent_is_on_again(story: Story) -> None:
    story.limit(5).uses(5).evaluates().on(3, month=7).recalculates()
    story.has_told("atlas limit 5 reached at 5", "atlas limit cleared at 0")
    assert Notification.objects.latest("pk").period.month == 7


def test_after_the_accounts_end_nothing_is_on_again(story: Story) -> None:
    story.limit(5).on(30).uses(5).tells("atlas limit 5 reached at 5")
    Account.objects.update(ended_at=story.period.ends_at)
    story.on(3, month=7).tells()


def test_a_new_period_tells_reached_again(story: Story) -> None:
    story.limit(5).uses(5).tells("atlas limit 5 reached at 5").on(2, month=7).tells("atlas limit cleared at 0")
    story.uses(5).tells("atlas limit 5 reached at 5")


def test_a_flip_back_before_evaluation_is_not_told(story: Story) -> None:
    story.limit(5).uses(5).takes_back().tells()
    story.uses(1).tells("atlas limit 5 reached at 5").takes_back().uses(1).tells()


def test_reached_in_time_and_told_after_the_turn_is_followed_by_cleared(story: Story) -> None:
    story.limit(5).on(30).uses(5).on(3, month=7)
    story.tells("atlas limit 5 reached at 5", "atlas limit cleared at 0").tells()


def test_reached_by_late_usage_is_not_told(story: Story) -> None:
    story.limit(5).on(30).uses(3)
    happened = story.now
    story.on(2, month=7).uses(4, at=happened).tells()


def test_both_periods_reached_before_anybody_looked(story: Story) -> None:
    story.limit(5).on(30).uses(5).on(2, month=7).uses(6)
    story.tells("atlas limit 5 reached at 5", "atlas limit 5 reached at 6")


def test_another_limit_value_is_told_on_its_own(story: Story) -> None:
    story.limit(5).uses(8).tells("atlas limit 5 reached at 8").limit(7).tells("atlas limit 7 reached at 8")


def test_the_recalculation_alone_tells_limits(story: Story) -> None:
    story.limit(5).uses(5).recalculates().has_told("atlas limit 5 reached at 5")
    story.takes_back().recalculates().has_told("atlas limit cleared at 4").tells()


def test_limits_belong_to_one_workspace(two: Story) -> None:
    two.limit(20).uses(20)
    assert two.is_off()
    two.at("birch").uses(20)
    assert not two.is_off()


def test_what_was_last_told_is_kept(story: Story) -> None:
    story.limit(5).uses(5).evaluates()
    state = LimitState.objects.get()
    assert (state.is_reached, state.limit, state.quantity, state.changes) == (True, 5, 5, 1)


def test_an_alert_and_a_limit_reached_together_are_two_messages(story: Story) -> None:
    story.alert(5).limit(5).uses(5).tells("atlas 100% of 5 at 5", "atlas limit 5 reached at 5")


def test_ai_voice_behaves_the_same(story: Story) -> None:
    story.about("voice_resolutions").limit(5, "next_period").shows_limit(in_force=None, scheduled=5)
    story.limit(5).uses(5).tells("atlas limit 5 reached at 5")


def test_a_limit_in_minutes_is_kept_in_seconds(story: Story) -> None:
    from usage.models import Metric

    Metric.objects.filter(key="phone").update(supports_limit=True)
    story.about("phone").limit(2).uses(2).tells("atlas limit 2 reached at 2")
    assert UsageLimit.objects.get().quantity == 120
