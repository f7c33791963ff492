"""What the queue calls: the sign of life of a cluster, and the guard that makes a second delivery of a job a no-op."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from django.db import connection
from django.db.models.functions import Now

from usage.models import Heartbeat, JobRun


def cluster_name() -> str:
    """The name of the cluster whose worker runs this process; the supervisor gives it to its children."""
    return os.environ.get("HEADROOM_CLUSTER", "jobs")


def beat() -> None:
    """Say that a worker of this cluster takes tasks (spec 8.1). The moment is the database's, so that clocks of several
    machines need not agree."""
    Heartbeat.objects.bulk_create(
        [Heartbeat(name=cluster_name(), beat_at=Now())],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["beat_at"],
    )


@contextmanager
def once_per_slot(name: str, slot: str | datetime) -> Iterator[JobRun | None]:
    """Run the body of a periodic job once for its slot, however often the queue delivers it.

        with once_per_slot("refresh", slot) as run:
            if run is None:
                return
            run.result = refresh(now=...)

    `slot` is the moment that was due: aware, or ISO text as the scheduler passes it (no zone = UTC). Gives None when
    the slot is done, or is being worked on at this moment by somebody who lives. A run that raised or was killed leaves
    its slot unfinished, and the next delivery does it again; the body must therefore be repeatable. The sign of being
    alive is a session lock: PostgreSQL drops it with the connection, so it needs no time-out and outlives nobody.
    Raises ValueError when `slot` is no moment.
    """
    moment = datetime.fromisoformat(slot) if isinstance(slot, str) else slot
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    key = f"job {name} {moment.astimezone(UTC).isoformat()}"
    if not _ask("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", key):
        yield None
        return
    try:
        JobRun.objects.bulk_create([JobRun(name=name, slot=moment)], ignore_conflicts=True)
        run = JobRun.objects.get(name=name, slot=moment)
        if run.finished_at is not None:
            yield None
            return
        yield run
        JobRun.objects.filter(pk=run.pk).update(finished_at=Now(), result=run.result)
    finally:
        _ask("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", key)


def _ask(query: str, key: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(query, [key])
        row = cursor.fetchone()
    return bool(row and row[0])
