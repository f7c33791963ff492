"""One django-q2 cluster that ends as a whole when one of its processes was killed: `python -m config.cluster`.

django-q2 replaces a dead worker by a new one. But a worker that was killed while it waited held the queue's read lock,
and nobody can take it any more: the cluster would look alive and never run a task again. So a death by signal ends
all of it at once, and `manage.py run_jobs` starts a new one with fresh queues. No task is lost: its row stays until it
is acknowledged.
"""

import os
import signal

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()

    from django.core.management import call_command
    from django_q import cluster

    from config.processes import die_with_parent

    class WatchfulSentinel(cluster.Sentinel):  # type: ignore[misc]
        def reincarnate(self, process: object) -> None:
            """A process that came to its end is replaced; one that was killed takes the whole cluster with it."""
            was_killed = (getattr(process, "exitcode", 0) or 0) < 0
            if was_killed:
                cluster.logger.error("a process of the cluster was killed: starting all of it anew")
                os.killpg(os.getpgrp(), signal.SIGKILL)
            super().reincarnate(process)

    cluster.Sentinel = WatchfulSentinel
    # Children of children too: a killed parent never leaves workers behind that go on without it.
    os.register_at_fork(after_in_child=lambda: die_with_parent(signal.SIGKILL))
    call_command("qcluster")


if __name__ == "__main__":
    main()
