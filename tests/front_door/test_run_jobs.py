"""The background jobs go on whatever is killed (spec 8.1)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection
from django_q.models import Task
from django_q.tasks import async_task

from config import processes
from tests import servers
from usage.models import Heartbeat

ROOT = Path(__file__).resolve().parents[2]
RECOVERED_WITHIN = 10  # seconds

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.slow]


@contextmanager
def running_jobs(var: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """`manage.py run_jobs` on the test's own database."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": servers.database_url(),
        "HEADROOM_VAR": str(var),
        "SECRET_KEY": "tests-only",
        "LOG_LEVEL": "CRITICAL",
    }
    command = [sys.executable, str(ROOT / "manage.py"), "run_jobs", *options]
    watch = subprocess.Popen(command, env=environment)
    try:
        yield watch
    finally:
        watch.terminate()
        watch.wait(30)
        processes.end_leftovers(mark(var))
        connection.ensure_connection()


def mark(var: Path) -> str:
    return f"{var.resolve()}:jobs-1"


def members(var: Path) -> list[int]:
    """The cluster's processes: parent, sentinel, workers, monitor, pusher, in the order of their start."""
    return sorted(processes.carrying(mark(var)))


def until(what: Callable[[], bool], *, seconds: float = RECOVERED_WITHIN) -> bool:
    deadline = time.monotonic() + seconds
    while not (done := what()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return done


def a_job_runs() -> None:
    identity = async_task("usage.jobs.beat")
    assert until(lambda: Task.objects.filter(id=identity, success=True).exists()), "the job did not run in time"


def test_a_job_runs_soon_after_any_one_process_was_killed_and_stopping_leaves_nothing(tmp_path: Path) -> None:
    with running_jobs(tmp_path) as watch:
        a_job_runs()
        # By place in the cluster: a waiting worker (it may hold the queue's lock), the pusher, the parent.
        for place in (2, 5, 0):
            assert until(lambda: len(members(tmp_path)) >= 6)
            victim = members(tmp_path)[place]
            os.kill(victim, signal.SIGKILL)
            assert until(lambda victim=victim: victim not in members(tmp_path))  # type: ignore[misc]
            a_job_runs()
        assert watch.poll() is None
        watch.terminate()
        assert watch.wait(15) == 0
        assert members(tmp_path) == []
        assert not Heartbeat.objects.exists()


def test_a_cluster_that_hangs_is_replaced(tmp_path: Path) -> None:
    with running_jobs(tmp_path, "--beat", "0.5", "--stale-after", "3"):
        a_job_runs()
        hanging = members(tmp_path)
        for pid in hanging:
            os.kill(pid, signal.SIGSTOP)
        assert until(lambda: not set(hanging) & set(members(tmp_path)), seconds=15)
        a_job_runs()


def test_nothing_is_left_of_a_killed_watch_and_the_next_one_takes_over(tmp_path: Path) -> None:
    with running_jobs(tmp_path) as watch:
        a_job_runs()
        orphans = members(tmp_path)
        watch.kill()
        watch.wait()
        identity = async_task("usage.jobs.beat")
        with running_jobs(tmp_path):
            assert until(lambda: Task.objects.filter(id=identity, success=True).exists())
            assert not set(orphans) & set(members(tmp_path))
