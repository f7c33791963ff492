"""Periodic jobs: one table of schedules (spec 8.1), and a delivery that comes twice changes nothing."""

import uuid
from datetime import UTC, datetime

import pytest
from django.db import connection, connections, transaction
from django_q.brokers import get_broker
from django_q.models import OrmQ, Schedule
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from billing.services.issuing import queue_rendering
from config import schedules
from config.schedules import JOBS, PeriodicJob, sync_schedules
from usage import jobs
from usage.jobs import once_per_slot
from usage.models import Heartbeat, JobRun

NOON = datetime(2026, 3, 1, 12, 7, tzinfo=UTC)
SLOT = "2026-03-01T12:30:00+00:00"


@pytest.mark.django_db
def test_a_migrated_database_has_exactly_the_schedules_of_the_table() -> None:
    rows = set(Schedule.objects.values_list("name", "func", "cron", "schedule_type", "intended_date_kwarg"))
    assert rows == {(job.name, job.function, job.cron, Schedule.CRON, "slot") for job in JOBS}


@pytest.mark.django_db
def test_schedules_follow_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    Schedule.objects.update(next_run=NOON)
    Schedule.objects.create(name="made by hand", func="x.y")
    Schedule.objects.create(name=JOBS[1].name, func="twice")
    changed = PeriodicJob(JOBS[0].name, JOBS[0].function, "15 * * * *")
    monkeypatch.setattr(schedules, "JOBS", (changed, JOBS[1]))
    sync_schedules(now=NOON)
    rows = {schedule.name: schedule for schedule in Schedule.objects.all()}
    assert sorted(rows) == sorted([JOBS[0].name, JOBS[1].name])
    assert Schedule.objects.count() == 2
    assert rows[JOBS[0].name].next_run == datetime(2026, 3, 1, 12, 15, tzinfo=UTC)
    # An unchanged one keeps its slot, even a missed one.
    assert (rows[JOBS[1].name].func, rows[JOBS[1].name].next_run) == (JOBS[1].function, NOON)


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_every_schedule_is_understood_by_the_queue(job: PeriodicJob) -> None:
    slot = job.next_slot(after=NOON)
    assert slot > NOON
    assert slot.second == 0


def test_the_limits_are_recalculated_on_the_half_hour_and_usage_is_refreshed_every_30_minutes() -> None:
    cron = {job.name: job.cron for job in JOBS}
    assert cron["recalculate-limits"] == "30 * * * *"
    assert cron["refresh"] == "*/30 * * * *"


@pytest.mark.django_db
def test_a_slot_is_worked_on_once() -> None:
    done: list[int] = []
    for _ in range(3):
        with once_per_slot("refresh", SLOT) as run:
            if run is not None:
                done.append(run.pk)
                run.result = {"accounts": 2}
    [row] = JobRun.objects.filter(name="refresh")
    assert done == [row.pk]
    assert row.finished_at is not None
    assert row.result == {"accounts": 2}


@pytest.mark.django_db
def test_another_slot_and_another_job_are_their_own() -> None:
    for name, slot in (("a", SLOT), ("b", SLOT), ("a", NOON)):
        with once_per_slot(name, slot) as run:
            assert run is not None


@pytest.mark.django_db
def test_one_moment_is_one_slot_however_it_is_written() -> None:
    with once_per_slot("a", "2026-03-01T12:30:00"):
        pass
    with once_per_slot("a", "2026-03-01T13:30:00+01:00") as run:
        assert run is None


@pytest.mark.django_db(transaction=True)
def test_a_run_that_failed_is_done_again() -> None:
    with pytest.raises(ZeroDivisionError), once_per_slot("a", SLOT):
        raise ZeroDivisionError
    with once_per_slot("a", SLOT) as run:
        assert run is not None
    with once_per_slot("a", SLOT) as run:
        assert run is None


@pytest.mark.django_db(transaction=True)
def test_a_delivery_during_the_first_run_does_nothing() -> None:
    other = connections.create_connection("default")
    try:
        with once_per_slot("a", SLOT) as first, pytest.MonkeyPatch.context() as patch:
            assert first is not None
            patch.setattr(jobs, "connection", other)
            with once_per_slot("a", SLOT) as second:
                assert second is None
    finally:
        other.close()


@pytest.mark.django_db(transaction=True)
def test_a_run_whose_worker_was_killed_is_done_again_at_once() -> None:
    other = connections.create_connection("default")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs, "connection", other)
        lost = once_per_slot("a", SLOT)
        assert lost.__enter__() is not None
        with connection.cursor() as cursor:
            assert other.connection is not None
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [other.connection.info.backend_pid])
    with once_per_slot("a", SLOT) as run:
        assert run is not None
    other.close()


@pytest.mark.parametrize("slot", ["", "soon", "2026-13-01"])
def test_a_slot_that_is_no_moment_is_refused(slot: str) -> None:
    with pytest.raises(ValueError), once_per_slot("a", slot):
        pass


@pytest.mark.django_db
def test_a_beat_leaves_one_row_for_each_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_CLUSTER", "here")
    Heartbeat.objects.create(name="here", beat_at=NOON)
    jobs.beat()
    jobs.beat()
    monkeypatch.setenv("HEADROOM_CLUSTER", "there")
    jobs.beat()
    assert set(Heartbeat.objects.filter(beat_at__gt=NOON).values_list("name", flat=True)) == {"here", "there"}


@pytest.mark.django_db
def test_a_job_is_queued_with_the_data_or_not_at_all() -> None:
    with transaction.atomic():
        async_task("usage.jobs.beat")
        transaction.set_rollback(True)
    assert not OrmQ.objects.exists()


@pytest.mark.django_db
def test_what_people_wait_for_overtakes_the_rendering_of_documents() -> None:
    OrmQ.objects.all().delete()
    queue_rendering([uuid.uuid4() for _ in range(50)])
    for number in (1, 2):
        async_task("alerts.jobs.evaluate_account", number)
    broker = get_broker()
    taken = []
    while task_set := broker.dequeue():
        ((ack, payload),) = task_set
        task = SignedPackage.loads(payload)
        taken.append((task["func"], *map(str, task["args"][:1]))[: 2 if "alerts" in task["func"] else 1])
        broker.acknowledge(ack)
    rendering = ("billing.jobs.render_documents",)
    assert taken == [("alerts.jobs.evaluate_account", "1"), ("alerts.jobs.evaluate_account", "2"), *[rendering] * 3]
    assert OrmQ.objects.count() == 0


@pytest.mark.django_db
def test_a_job_that_is_taken_is_not_given_out_again() -> None:
    OrmQ.objects.all().delete()
    queue_rendering([uuid.uuid4()])
    assert get_broker().dequeue()
    assert not get_broker().dequeue()
