"""The jobs and commands around evaluation and delivery (spec 2.8, 8.1, 10.3)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from alerts import jobs
from alerts.models import Delivery, Notification
from tests.alerts.timeline import Story
from tests.smtp import SmtpSink
from usage.models import JobRun

pytestmark = pytest.mark.django_db


@pytest.fixture
def story(a_story: Callable[..., Story]) -> Story:
    """A story that happens today, because jobs read the system's clock."""
    story = a_story()
    story.now = datetime.now(UTC)
    return story


def output_of(command: str, *options: str) -> str:
    out = StringIO()
    call_command(command, *options, stdout=out)
    return out.getvalue().strip()


def test_usage_ends_as_a_mail_by_the_jobs_alone(story: Story, smtp_sink: SmtpSink) -> None:
    story.alert(10).uses(10)
    jobs.evaluate_account(story.account.pk)
    jobs.deliver()
    assert [recipient for recipient, _ in smtp_sink.messages] == ["mona@acme.example"]


def test_jobs_delivered_twice_change_nothing(story: Story, smtp_sink: SmtpSink) -> None:
    story.alert(10).uses(10)
    for _ in range(2):
        jobs.evaluate_account(story.account.pk)
        jobs.evaluate_terms(story.account.pk, story.period.starts_at.isoformat())
        jobs.refresh("2026-06-02T12:30:00Z")
        jobs.recalculate_limits("2026-06-02T12:30:00Z")
        jobs.deliver()
        jobs.deliver_pending("2026-06-02T12:30:00Z")
    assert len(smtp_sink.messages) == 1


def test_the_refresh_command_tells_and_is_a_sweep(story: Story) -> None:
    story.alert(10).uses(10)
    assert output_of("refresh") == "1 told"
    assert output_of("refresh") == "0 told"
    assert JobRun.objects.filter(name="refresh", finished_at__isnull=False).count() == 2


def test_the_refresh_command_can_be_about_one_account(a_story: Callable[..., Story]) -> None:
    sandbox = a_story(is_sandbox=True).alert(10).uses(10)
    assert output_of("refresh") == "0 told"
    assert output_of("refresh", "--account", sandbox.account.key) == "1 told"
    with pytest.raises(CommandError, match="no account"):
        call_command("refresh", "--account", "nobody")


def test_the_recalculation_command_tells_limits(story: Story) -> None:
    story.about("ai_resolutions").limit(1).uses(1)
    assert output_of("recalculate_limits") == "1 told"
    assert output_of("recalculate_limits") == "0 told"


def test_an_evaluation_queues_the_sending_in_its_own_transaction(story: Story) -> None:
    from django_q.models import OrmQ

    OrmQ.objects.all().delete()
    story.alert(10).uses(10)
    OrmQ.objects.all().delete()
    story.evaluates()
    assert [row.func() for row in OrmQ.objects.all()] == ["alerts.jobs.deliver"]


# --- The turn of a period with all jobs stopped ---


def test_the_turn_of_a_period_with_all_jobs_stopped(a_story: Callable[..., Story]) -> None:
    """Counting, limits and thresholds are right without any job; when the jobs start, what was reached in time is told
    once, nothing twice (spec 2.10, 3.6, 4.4)."""
    story = a_story()
    story.alert(100).about("ai_resolutions").limit(3).limit(5, "next_period")
    story.about("whatsapp").on(29).uses(40).alert(30)  # scheduled for July
    story.about("ai_resolutions").on(30, hour=23).uses(3)
    assert story.is_off()
    story.about("whatsapp").uses(60)

    story.on(1, month=7, hour=0)
    assert story.total() is None
    story.uses(1)
    new = story.total()
    assert new is not None
    assert (new.period, new.quantity) == (datetime(2026, 7, 1, tzinfo=UTC), 1)
    story.shows_alert(in_force=30)
    story.about("ai_resolutions").uses(1).shows_limit(in_force=5)
    assert not story.is_off()
    story.uses(4)
    assert story.is_off()
    story.about("whatsapp").uses(29)

    assert not Notification.objects.exists()
    jobs.evaluate_all(now=story.now)
    story.has_told(
        "atlas 100% of 100 at 100",
        "atlas 100% of 30 at 30",
        "atlas limit 3 reached at 3",
        "atlas limit 5 reached at 5",
    )
    jobs.evaluate_all(now=story.now)
    story.has_told()
    assert Delivery.objects.count() == 4
