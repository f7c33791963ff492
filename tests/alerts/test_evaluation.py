"""Evaluation as a machine: when it is woken, what it marks, what its jobs do (spec 2.8, 3.2, 7.4; Data 7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django_q.models import OrmQ

from alerts.jobs import evaluate_account, evaluate_all, recalculate_limits, refresh
from alerts.models import Delivery, Firing, Notification
from alerts.services.evaluate import evaluate, evaluate_each
from tests.alerts.timeline import Story
from tests.factories import workspace
from usage.models import JobRun, UsageTotal

pytestmark = pytest.mark.django_db


def level_of(story: Story, workspace_key: str = "atlas") -> Decimal | None:
    return UsageTotal.objects.get(
        workspace=workspace(workspace_key), metric=story.metric, period=story.period.starts_at
    ).next_level


def queued(function: str) -> int:
    return sum(row.func() == function for row in OrmQ.objects.all())


# --- The quantity at which somebody must be told ---


def test_a_new_total_wakes_evaluation(story: Story) -> None:
    OrmQ.objects.all().delete()
    story.uses(1)
    assert queued("alerts.jobs.evaluate_account") == 1


def test_usage_below_every_level_wakes_nobody(story: Story) -> None:
    story.alert(100, halves=True).uses(1).evaluates()
    assert level_of(story) == 50
    OrmQ.objects.all().delete()
    story.uses(48)
    assert queued("alerts.jobs.evaluate_account") == 0
    story.uses(1)
    assert queued("alerts.jobs.evaluate_account") == 1


def test_without_alerts_nobody_is_ever_woken_again(story: Story) -> None:
    story.uses(1).evaluates()
    assert level_of(story) is None
    OrmQ.objects.all().delete()
    story.uses(10_000)
    assert not OrmQ.objects.exists()


def test_after_a_level_the_next_one_wakes(story: Story) -> None:
    story.alert(100, halves=True).uses(50).evaluates()
    assert level_of(story) == 80
    story.uses(40).evaluates()
    assert level_of(story) == 100
    story.uses(40).evaluates()
    assert level_of(story) is None


def test_usage_that_fell_below_its_baseline_does_not_wake_for_levels_up_to_it(story: Story) -> None:
    story.uses(25).uses(60).alert(100, halves=True).takes_back().evaluates()
    assert level_of(story) == 100


def test_the_limit_is_a_level_too(story: Story) -> None:
    story.about("ai_resolutions").limit(3).uses(1).evaluates()
    assert level_of(story) == 3
    story.uses(2).evaluates()
    assert level_of(story) is None


def test_a_pool_level_is_shared_out_among_the_workspaces(a_story: Callable[..., Story]) -> None:
    story = a_story(workspaces=("atlas", "birch"), plan="starter", metric_key="phone")
    story.uses(30).at("birch").uses(10).evaluates()
    # 80 of 100 minutes are told next: 40 remain, 20 for each; kept in seconds.
    assert (level_of(story), level_of(story, "birch")) == (50 * 60, 30 * 60)


def test_parts_that_do_not_divide_are_rounded_down_so_that_nobody_is_told_late(a_story: Callable[..., Story]) -> None:
    places = tuple(f"place-{number}" for number in range(7))
    story = a_story(workspaces=places, plan="starter", metric_key="phone")
    for place in places:
        story.at(place).uses(1)
    story.evaluates()
    asleep = sum(level_of(story, place) or 0 for place in places)  # what they come to before one of them wakes
    assert 80 * 60 - Decimal("0.00001") < asleep <= 80 * 60


def test_the_pool_cannot_cross_without_a_workspace_reaching_its_part(a_story: Callable[..., Story]) -> None:
    story = a_story(workspaces=("atlas", "birch"), plan="starter", metric_key="phone")
    story.uses(1).at("birch").uses(1).evaluates()
    for place, minutes in (("atlas", 30), ("birch", 5), ("atlas", 20), ("birch", 20), ("atlas", 2)):
        OrmQ.objects.all().delete()
        story.at(place).uses(minutes)
        while queued("alerts.jobs.evaluate_account"):
            OrmQ.objects.all().delete()
            story.evaluates()
    story.tells()
    OrmQ.objects.all().delete()
    story.at("birch").uses(1)
    assert queued("alerts.jobs.evaluate_account") == 1


def test_a_correction_always_wakes(story: Story) -> None:
    story.uses(10).evaluates()
    OrmQ.objects.all().delete()
    story.takes_back()
    assert queued("alerts.jobs.evaluate_account") == 1


def test_saving_an_alert_wakes(story: Story) -> None:
    story.uses(10).evaluates()
    OrmQ.objects.all().delete()
    story.alert(100)
    assert (level_of(story), queued("alerts.jobs.evaluate_account")) == (0, 1)


def test_changed_terms_wake(a_story: Callable[..., Story]) -> None:
    story = a_story(plan="starter", metric_key="phone").uses(10).evaluates()
    OrmQ.objects.all().delete()
    story.changes_plan("professional")
    assert queued("alerts.jobs.evaluate_terms") >= 1


def test_with_live_evaluation_off_only_the_sweeps_tell(story: Story, settings: Any) -> None:
    settings.LIVE_EVALUATION = False
    OrmQ.objects.all().delete()
    story.alert(10).uses(10).takes_back()
    assert queued("alerts.jobs.evaluate_account") == 0
    story.uses(10)
    evaluate_all(now=story.now)
    story.has_told("atlas 100% of 10 at 10")


def test_late_usage_wakes_no_more_than_once(story: Story) -> None:
    story.alert(100).on(30).uses(1)
    happened = story.now
    story.on(2, month=7).uses(1, at=happened).evaluates()
    OrmQ.objects.all().delete()
    story.uses(500, at=happened)
    assert not OrmQ.objects.exists()


# --- Marks ---


def test_what_was_looked_at_is_not_looked_at_again(story: Story) -> None:
    story.alert(100).uses(5).evaluates()
    total = UsageTotal.objects.get()
    assert (total.evaluated_seq, total.evaluated_at) == (total.seq, story.now)
    story.on(3).evaluates()
    assert UsageTotal.objects.get().evaluated_at == total.evaluated_at


def test_a_full_sweep_takes_few_statements_whatever_the_number_of_accounts(
    a_story: Callable[..., Story], django_assert_max_num_queries: Any
) -> None:
    for number in range(4):
        story = a_story(key=f"account-{number}", workspaces=(f"place-{number}",))
        story.alert(10).uses(10)
    with django_assert_max_num_queries(12 + 2):  # two of them mark the transaction
        done = evaluate(account_ids=None, now=story.now)
    assert (done.firings, done.unsettled) == (4, 0)
    with django_assert_max_num_queries(4 + 2):
        evaluate(account_ids=None, now=story.now)


def test_evaluation_of_one_account_leaves_the_others_alone(a_story: Callable[..., Story]) -> None:
    first, second = a_story(key="one", workspaces=("one",)), a_story(key="two", workspaces=("two",))
    for story in (first, second):
        story.alert(10).uses(10)
    first.tells("one 100% of 10 at 10")
    assert not Firing.objects.filter(account=second.account).exists()


# --- Sandbox accounts (7.4) ---


def test_sweeps_leave_sandbox_accounts_out_and_their_own_evaluation_does_not(a_story: Callable[..., Story]) -> None:
    story = a_story(is_sandbox=True).alert(10).uses(10)
    evaluate_all(now=story.now)
    story.has_told()
    evaluate_account(story.account.pk)
    story.has_told("atlas 100% of 10 at 10")


def test_what_sandbox_accounts_are_told_is_kept_not_sent(a_story: Callable[..., Story]) -> None:
    a_story(is_sandbox=True).alert(10).uses(10).evaluates()
    assert Delivery.objects.get().state == Delivery.State.KEPT


def test_a_sandbox_account_is_evaluated_by_its_own_clock(a_story: Callable[..., Story]) -> None:
    story = a_story(is_sandbox=True).alert(10).uses(10)
    evaluate_account(story.account.pk)
    assert Notification.objects.get().at == story.now


# --- Jobs ---


def test_a_slot_is_done_once_however_often_it_is_delivered(story: Story) -> None:
    slot = "2026-06-02T12:30:00+00:00"
    story.now = datetime.now(UTC)  # jobs read the system's clock
    story.alert(10).uses(10)
    refresh(slot)
    recalculate_limits(slot)
    assert Firing.objects.count() == 1
    refresh(slot)
    recalculate_limits(slot)
    assert sorted(JobRun.objects.values_list("name", flat=True)) == ["recalculate-limits", "refresh"]
    assert Notification.objects.count() == 1


def test_one_account_whose_message_cannot_be_written_does_not_silence_the_others(
    a_story: Callable[..., Story], monkeypatch: pytest.MonkeyPatch
) -> None:
    from alerts.services import messages

    first, second = a_story(key="one", workspaces=("one",)), a_story(key="two", workspaces=("two",))
    for story in (first, second):
        story.alert(10).uses(10)
    render = messages.render_to_string

    def break_for_the_first(template: str, context: dict[str, Any]) -> str:
        if context["account"].key == "one":
            raise KeyError("a name that no template can show")
        return render(template, context)

    monkeypatch.setattr(messages, "render_to_string", break_for_the_first)
    evaluate_all(now=first.now)
    second.has_told("two 100% of 10 at 10")
    first.has_told()
    monkeypatch.undo()
    evaluate_each(account_ids=[first.account.pk], now=first.now)
    first.has_told("one 100% of 10 at 10")


def test_the_refresh_tells_what_was_reached_before_the_turn(story: Story) -> None:
    story.alert(10).on(30).uses(10)
    evaluate_all(now=datetime(2026, 7, 3, tzinfo=UTC))
    story.on(3, month=7).has_told("atlas 100% of 10 at 10")
