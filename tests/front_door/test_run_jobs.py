"""The background jobs go on whatever is killed (spec 8.1)."""

import os
import signal
from pathlib import Path

import pytest
from django_q.models import Task
from django_q.tasks import async_task

from tests.processes import members, running_jobs, until
from usage.models import Heartbeat

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.slow]


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
    with running_jobs(tmp_path, "--beat", "0.5", "--stale-after", "5"):
        a_job_runs()
        hanging = members(tmp_path)
        for pid in hanging:
            os.kill(pid, signal.SIGSTOP)
        assert until(lambda: not set(hanging) & set(members(tmp_path)))
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
