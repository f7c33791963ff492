"""The drawer's one form: permissions of each section, all or nothing, the confirmation (spec 1.3, 4.1, 4.10)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from alerts.errors import LimitBelowIncluded
from alerts.models import PlanAlertSwitch, UsageAlert
from alerts.selectors.drawer import drawer_state
from alerts.services.drawer import DrawerChanges, DrawerSaved, EffectiveNeeded, save_drawer
from tests.alerts.timeline import Story
from tests.factories import make_teammate
from usage.models import AuditEntry, Teammate, UsageLimit, User
from usage.permissions import Restricted

pytestmark = pytest.mark.django_db

ALERT = DrawerChanges(has_alert=True, threshold=Decimal(500), also_50_80=True)
LIMIT = DrawerChanges(has_limit=True, limit=Decimal(600), effective="now")
BOTH = DrawerChanges(
    has_alert=True, threshold=Decimal(500), plan_alert=True, has_limit=True, limit=Decimal(600), effective="now"
)


@pytest.fixture
def story(a_story: Callable[..., Story]) -> Story:
    story = a_story(workspaces=("atlas", "birch"), metric_key="ai_resolutions")
    make_teammate("atlas", "ada@acme.example", alerts=True, limits=True)
    make_teammate("atlas", "cleo@acme.example", alerts=True)
    make_teammate("atlas", "liam@acme.example", limits=True)
    make_teammate("atlas", "ben@acme.example")
    make_teammate("birch", "bea@acme.example", alerts=True, limits=True)
    return story


def save(story: Story, who: str, changes: DrawerChanges) -> DrawerSaved:
    return save_drawer(
        workspace=story.workspace,
        metric=story.metric,
        changes=changes,
        user=User.objects.get(email=f"{who}@acme.example"),
        clock=story.clock,
    )


def stored() -> tuple[int, int]:
    return UsageAlert.objects.count(), UsageLimit.objects.count()


def test_who_may_do_both_saves_both(story: Story) -> None:
    saved = save(story, "ada", BOTH)
    assert (saved.changed.alert, saved.changed.plan_alert, saved.changed.limit) == (True, False, True)
    story.shows_alert(in_force=500).shows_limit(in_force=600)


@pytest.mark.parametrize(
    ("who", "changes", "missing"),
    [
        ("cleo", LIMIT, ["Can manage hard limits"]),
        ("cleo", BOTH, ["Can manage hard limits"]),
        ("liam", ALERT, ["Can manage usage alerts"]),
        ("liam", BOTH, ["Can manage usage alerts"]),
        ("ben", ALERT, ["Can manage usage alerts"]),
        ("ben", LIMIT, ["Can manage hard limits"]),
        ("ben", BOTH, ["Can manage usage alerts", "Can manage hard limits"]),
        ("bea", ALERT, ["Can manage usage alerts"]),
        ("ben", DrawerChanges(plan_alert=False), ["Can manage usage alerts"]),
    ],
)
def test_one_refused_section_refuses_the_whole_save(
    story: Story, who: str, changes: DrawerChanges, missing: list[str]
) -> None:
    with pytest.raises(Restricted) as refusal:
        save(story, who, changes)
    assert list(refusal.value.permissions) == missing
    assert refusal.value.support_email
    assert stored() == (0, 0)
    entry = AuditEntry.objects.get(action="drawer.refused")
    assert (entry.actor_name, entry.after) == (f"{who}@acme.example", {"missing": missing})


def test_the_refusal_names_who_holds_the_permission_in_the_workspace(story: Story) -> None:
    with pytest.raises(Restricted) as refusal:
        save(story, "cleo", LIMIT)
    assert [holder.email for holder in refusal.value.holders] == ["ada@acme.example", "liam@acme.example"]
    User.objects.filter(email="liam@acme.example").update(is_active=False)
    with pytest.raises(Restricted) as refusal:
        save(story, "cleo", LIMIT)
    assert [holder.email for holder in refusal.value.holders] == ["ada@acme.example"]


def test_only_sections_that_changed_need_their_permission(story: Story) -> None:
    save(story, "ada", LIMIT)
    unchanged = DrawerChanges(has_alert=True, threshold=Decimal(5), has_limit=True, limit=Decimal(600))
    save(story, "cleo", unchanged)
    story.shows_alert(in_force=5).shows_limit(in_force=600)


def test_saving_without_a_change_needs_nothing_and_writes_nothing(story: Story) -> None:
    saved = save(story, "ben", DrawerChanges(has_alert=True, has_limit=True, plan_alert=True))
    assert not saved.changed.anything
    assert stored() == (0, 0)
    assert not AuditEntry.objects.filter(action__in=["alert.changed", "limit.changed", "drawer.refused"]).exists()


def test_plan_alerts_need_the_flag_in_any_workspace_of_the_account(story: Story) -> None:
    Teammate.objects.filter(user__email="bea@acme.example").update(can_manage_limits=False)
    make_teammate("atlas", "bea@acme.example")
    save(story, "bea", DrawerChanges(plan_alert=False))
    assert PlanAlertSwitch.objects.get().is_on is False


def test_a_flag_taken_away_counts_from_the_next_save_on(story: Story) -> None:
    save(story, "cleo", ALERT)
    Teammate.objects.filter(user__email="cleo@acme.example").update(can_manage_alerts=False)
    with pytest.raises(Restricted):
        save(story, "cleo", DrawerChanges(has_alert=True, threshold=Decimal(7)))


def test_a_changed_limit_asks_when_it_starts_before_anything_is_saved(story: Story) -> None:
    with pytest.raises(EffectiveNeeded):
        save(story, "ada", DrawerChanges(has_alert=True, threshold=Decimal(5), has_limit=True, limit=Decimal(9)))
    assert stored() == (0, 0)


def test_alerts_alone_need_no_confirmation(story: Story) -> None:
    save(story, "ada", DrawerChanges(has_alert=True, threshold=Decimal(5), has_limit=True, limit=None))
    story.shows_alert(in_force=5)


def test_a_refused_limit_refuses_the_alert_too(story: Story) -> None:
    story.subscribes("starter").contracts(50).at("birch").limit(0).at("atlas")
    with pytest.raises(LimitBelowIncluded):
        save(
            story,
            "ada",
            DrawerChanges(has_alert=True, threshold=Decimal(5), has_limit=True, limit=Decimal(9), effective="now"),
        )
    assert not UsageAlert.objects.exists()


def test_a_scheduled_limit_can_be_applied_now_with_the_same_number(story: Story) -> None:
    scheduled = DrawerChanges(has_limit=True, limit=Decimal(600), effective="next_period")
    save(story, "ada", scheduled)
    story.shows_limit(in_force=None, scheduled=600)
    save(story, "ada", LIMIT)
    story.shows_limit(in_force=600)


def test_the_drawer_shows_what_is_scheduled_and_saving_it_again_changes_nothing(story: Story) -> None:
    story.uses(5).alert(3)
    saved = save(story, "ben", DrawerChanges(has_alert=True, threshold=Decimal(3)))
    assert not saved.changed.alert


def test_changes_are_audited_with_before_and_after(story: Story) -> None:
    save(story, "ada", ALERT)
    save(story, "ada", DrawerChanges(has_alert=True, threshold=None))
    first, second = AuditEntry.objects.filter(action="alert.changed").order_by("pk")
    assert (first.actor_name, first.how, first.subject) == ("ada@acme.example", "screen", "ai_resolutions")
    assert first.before == {"in_force": None, "scheduled": None}
    assert first.after["in_force"] == {
        "enabled": True,
        "threshold": "500",
        "also_50_80": True,
        "from": "2026-06-01T00:00:00+00:00",
    }
    assert (second.before, second.after["in_force"]) == (first.after, None)


def test_the_drawer_knows_everything_it_shows(story: Story, django_assert_max_num_queries: Any) -> None:
    story.subscribes("starter").contracts(50).uses(20).at("birch").uses(10).at("atlas").limit(60).alert(30)
    with django_assert_max_num_queries(20):
        state = drawer_state(workspace=story.workspace, metric=story.metric, now=story.now)
    assert (state.quantity, state.pool) == (20, 30)
    assert [(other.key, used) for other, used in state.others] == [("birch", 10)]
    assert state.alert.in_force is not None
    assert state.alert.in_force.threshold == 30
    assert (state.plan_alert, state.has_plan_levels, state.is_limit_reached) == (True, True, False)
    assert [contact.email for contact in state.contacts] == ["mona@acme.example"]
    assert state.next_starts_at == state.period.ends_at
