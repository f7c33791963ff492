"""Whatever dies while somebody is told: everything is decided once, nothing is lost (spec 3.2, 9 i, j)."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from django.db import connection

from alerts import jobs
from alerts.invariants import CHECKS
from alerts.models import Delivery, Firing, LimitState, Notification
from tests.alerts.timeline import Story
from tests.processes import until
from tests.servers import ROOT, database_url
from tests.smtp import SmtpSink

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

KILLED = 137


def run_job(call: str, *, fault: str, mail: str = "") -> int:
    """The exit status of a process that runs `jobs.<call>` and is killed at the fault point."""
    script = f"import django; django.setup(); from alerts import jobs; jobs.{call}"
    environment = os.environ | {
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": "tests-only",
        "EMAIL_URL": mail,
        "FAULT_POINT": fault,
        "LOG_LEVEL": "ERROR",
    }
    return subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, check=False).returncode


def no_transaction_is_left() -> bool:
    """No other connection to this database is inside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'"
        )
        return cursor.fetchone() == (0,)


@pytest.fixture
def story() -> Story:
    story = Story(contacts=("mona@acme.example", "nils@acme.example"))
    story.now = datetime.now(UTC)
    return story.alert(10, halves=True).uses(8).about("ai_resolutions").limit(2).uses(2)


def holds() -> bool:
    return not [line for check in CHECKS for line in check()]


@pytest.mark.parametrize(
    ("point", "is_decided"),
    [
        ("evaluate.after_firings", False),
        ("evaluate.after_messages", False),
        ("evaluate.before_commit", False),
        ("evaluate.after_commit", True),
    ],
)
def test_an_evaluation_that_dies_is_done_once_by_the_next(story: Story, point: str, is_decided: bool) -> None:
    assert run_job(f"evaluate_account({story.account.pk})", fault=point) == KILLED
    assert (Firing.objects.exists(), Notification.objects.exists()) == (is_decided, is_decided)
    assert holds()
    jobs.evaluate_account(story.account.pk)
    jobs.evaluate_account(story.account.pk)
    assert sorted(Firing.objects.values_list("rule", "level")) == [
        ("limit", 100),
        ("usage_alert", 50),
        ("usage_alert", 80),
    ]
    assert Notification.objects.count() == 2
    assert Delivery.objects.count() == 4
    assert LimitState.objects.get().changes == 1
    assert holds()


@pytest.mark.parametrize(
    ("point", "repeated"),
    [("deliver.before_send:2", 0), ("deliver.after_send:2", 1), ("deliver.after_commit:2", 0)],
)
def test_a_sender_that_dies_gives_its_message_back_at_once(
    story: Story, smtp_sink: SmtpSink, point: str, repeated: int
) -> None:
    story.evaluates()
    assert run_job("deliver()", fault=point, mail=smtp_sink.url) == KILLED
    # PostgreSQL ends the dead sender's transaction as soon as it reads from the broken connection.
    assert until(no_transaction_is_left)
    jobs.deliver()
    assert set(Delivery.objects.values_list("state", flat=True)) == {"sent"}
    ids = [message["Message-ID"] for _, message in smtp_sink.messages]
    assert (len(set(ids)), len(ids)) == (4, 4 + repeated)
