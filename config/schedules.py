"""The one table of periodic jobs. The database follows it: rows are made, changed and removed to match, never by hand.

A schedule with a wrong cron text would stop every other one too (django-q2 handles all due ones in one transaction), so
nothing else writes them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from croniter import croniter
from django.db import connection, transaction
from django.utils import timezone


@dataclass(frozen=True, slots=True)
class PeriodicJob:
    """`cron` is UTC, to the minute. `function` is called with `slot`, the moment that was due, as ISO text."""

    name: str
    function: str
    cron: str

    def next_slot(self, *, after: datetime) -> datetime:
        """The first due moment later than `after`."""
        slot: datetime = croniter(self.cron, after).get_next(datetime)
        return slot


JOBS = (
    PeriodicJob("refresh", "alerts.jobs.refresh", "*/30 * * * *"),  # spec 2.8
    PeriodicJob("recalculate-limits", "alerts.jobs.recalculate_limits", "30 * * * *"),  # spec 2.8
    PeriodicJob("close-due-periods", "billing.jobs.close_due_periods", "*/5 * * * *"),  # spec 5.6
    PeriodicJob("deliver-pending", "alerts.jobs.deliver_pending", "* * * * *"),  # second net for queued messages
)


@transaction.atomic
def sync_schedules(*, now: datetime) -> None:
    """Make django-q2's Schedule rows equal to JOBS. Of two processes at once, the second waits and finds it done.

    A row whose cron text changed, and a new row, get their first slot after `now`; the others keep theirs, so a slot
    that fell into a time without workers is still made up for.
    """
    from django_q.models import Schedule

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('headroom-schedules'))")
    Schedule.objects.exclude(name__in=[job.name for job in JOBS]).delete()
    present = {schedule.name: schedule for schedule in Schedule.objects.order_by("id")}
    for job in JOBS:
        schedule = present.get(job.name) or Schedule(name=job.name)
        wanted: dict[str, Any] = {
            "func": job.function,
            "schedule_type": Schedule.CRON,
            "cron": job.cron,
            "repeats": -1,
            "intended_date_kwarg": "slot",
        }
        if schedule.pk and all(getattr(schedule, field) == value for field, value in wanted.items()):
            continue
        for field, value in wanted.items():
            setattr(schedule, field, value)
        schedule.next_run = job.next_slot(after=now)
        schedule.save()
    # A name that was ever doubled by hand would run its job twice.
    Schedule.objects.exclude(
        id__in=[row.id for row in {s.name: s for s in Schedule.objects.order_by("-id")}.values()]
    ).delete()


def sync_after_migrate(**kwargs: Any) -> None:
    """Receiver of post_migrate: a migrated database has its schedules."""
    if "django_q_schedule" in connection.introspection.table_names():
        sync_schedules(now=timezone.now())
