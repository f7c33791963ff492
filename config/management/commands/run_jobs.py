"""Runs the background jobs and keeps them running (spec 8.1)."""

import contextlib
import logging
import socket
import sys
import time
from argparse import ArgumentParser
from datetime import timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ
from django_q.tasks import async_task

from config import processes
from config.schedules import sync_schedules
from usage.models import Heartbeat

log = logging.getLogger(__name__)

CLUSTERS_PER_MACHINE = 64
LONGEST_JOB = int(str(settings.Q_CLUSTER["timeout"]))  # seconds


class Command(BaseCommand):
    requires_system_checks = ()  # a start must not wait for checks that every build has made
    help = "Run the background jobs: a cluster of workers under a watch that starts a new one when it dies or hangs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--beat", type=float, default=10, help="seconds between two signs of life")
        parser.add_argument(
            "--stale-after",
            type=float,
            default=LONGEST_JOB + 60,
            help="seconds without a sign of life until the cluster is replaced; longer than the longest job",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alarm = processes.Alarm()
        with contextlib.ExitStack() as stack:
            name = _free_name(stack, settings.VAR / "jobs")
            _Watch(name, beat=options["beat"], stale_after=options["stale_after"], alarm=alarm).run()


def _free_name(stack: contextlib.ExitStack, folder: Path) -> str:
    """`jobs-1`, `jobs-2`, …: the first that nobody on this machine holds. After a kill -9 its name is free again, and
    whoever takes it knows that processes marked with it are left over."""
    for number in range(1, CLUSTERS_PER_MACHINE + 1):
        if stack.enter_context(processes.only_one(folder / f"{number}.lock")):
            return f"jobs-{number}"
    raise CommandError(f"{CLUSTERS_PER_MACHINE} of these run on this machine already")


class _Watch:
    def __init__(self, name: str, *, beat: float, stale_after: float, alarm: processes.Alarm) -> None:
        self.name = f"{socket.gethostname()}:{name}"
        self.mark = f"{settings.VAR}:{name}"
        self.beat = beat
        self.stale_after = stale_after
        self.alarm = alarm
        self.cluster: Popen[bytes] | None = None
        self.is_database_lost = False

    def run(self) -> None:
        processes.end_leftovers(self.mark)
        next_beat = 0.0
        try:
            while not self.alarm.rang:
                try:
                    close_old_connections()
                    if self._needs_new_cluster():
                        self._replace_cluster()
                        next_beat = 0.0
                    if time.monotonic() >= next_beat:
                        async_task("usage.jobs.beat", group="beat", save=False)
                        next_beat = time.monotonic() + self.beat
                    self.is_database_lost = False
                except (DatabaseError, InterfaceError):
                    # Workers that were cut off from the database give up one by one; all new is faster and certain.
                    connection.close()
                    self.is_database_lost = True
                self.alarm.sleep(0.5)
        finally:
            if self.cluster:
                processes.stop(self.cluster, patience=15)
            with contextlib.suppress(DatabaseError, InterfaceError):
                Heartbeat.objects.filter(name=self.name).delete()

    def _needs_new_cluster(self) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        if self.cluster is None or self.is_database_lost or self.cluster.poll() is not None:
            return True
        return not self._living().filter(name=self.name).exists()

    def _replace_cluster(self) -> None:
        if self.cluster:
            log.warning("%s: the cluster died or hangs; starting a new one", self.name)
            processes.stop(self.cluster, patience=1 if self.is_database_lost else 5)
        sync_schedules(now=timezone.now())
        self._hand_back_tasks()
        Heartbeat.objects.filter(beat_at__lt=Now() - timedelta(days=1)).delete()  # of machines that are gone
        Heartbeat.objects.update_or_create(name=self.name, defaults={"beat_at": Now()})
        self.cluster = processes.start(
            [sys.executable, "-m", "config.cluster"], mark=self.mark, environment={"HEADROOM_CLUSTER": self.name}
        )

    def _hand_back_tasks(self) -> None:
        """Tasks that the dead cluster had taken would wait for `retry` to pass. Nobody else runs: give them out now.

        While other clusters live, their tasks cannot be told from ours, and ours wait.
        """
        if not self._living().exclude(name=self.name).exists():
            OrmQ.objects.filter(lock__gt=Now()).update(lock=Now())

    def _living(self) -> QuerySet[Heartbeat]:
        return Heartbeat.objects.filter(beat_at__gt=Now() - timedelta(seconds=self.stale_after))
