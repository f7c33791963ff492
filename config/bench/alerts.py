"""From the event to the e-mail: how long after its answer the alert is in the mailbox, while others keep sending.

The web server, the jobs, PostgreSQL and SMTP are the real ones; the periodic sweeps do not help.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Final
from uuid import uuid4

from django.conf import settings
from django_q.models import OrmQ

from alerts.models import Delivery
from alerts.services.alerts import set_usage_alert
from alerts.services.evaluate import evaluate
from config import processes
from config.bench.filling import BY
from config.bench.ground import Ground, Sender
from config.bench.ingest import SOURCE, Events
from config.bench.load import Connection, WrongAnswer, http_request, send_at_rate
from config.bench.mailbox import Mailbox
from config.bench.measure import Row, percentile, row
from usage.clocks import system_clock
from usage.models import Heartbeat, Metric, Workspace

RATE: Final = 1000  # events a second that keep arriving
_BATCH: Final = 100
_METRICS: Final = ("sms", "whatsapp")  # their events say how much, so that one of them reaches a level
_THRESHOLD: Final = Decimal(10**9)
_STEPS: Final = ((50, 6 * 10**8), (80, 3 * 10**8), (100, 2 * 10**8))  # the level that so much more reaches
_SECONDS_BETWEEN: Final = 0.25
_PATIENCE: Final = 60  # seconds until the jobs run, and until the last message is there
_ROOT: Final = Path(__file__).resolve().parents[2]

type Told = tuple[int, int, int]  # workspace, metric, level


def lag(ground: Ground) -> Iterator[Row]:
    """Alerts of the senders' workspaces are reached level by level, four a second, in a stream of events."""
    crossings = _crossings(ground, workspaces=1 if ground.sizes.events < 1_000_000 else 4)
    evaluate(account_ids=None, now=system_clock())
    # What the other rows left for jobs that did not run is none of this.
    OrmQ.objects.all().delete()
    Delivery.objects.filter(state=Delivery.State.WAITING).update(state=Delivery.State.SENT)
    answered: dict[Told, float] = {}
    with Mailbox() as mailbox, _jobs(ground, mailbox):
        stream = threading.Thread(target=_stream, args=(ground, (len(crossings) + 8) * _SECONDS_BETWEEN))
        stream.start()
        connection = Connection(ground.server.port)
        began = time.perf_counter() + 4 * _SECONDS_BETWEEN
        for number, (told, request) in enumerate(crossings):
            time.sleep(max(0.0, began + number * _SECONDS_BETWEEN - time.perf_counter()))
            if json.loads(connection.ask(request))["accepted"] != 1:
                raise WrongAnswer("an event that reaches a level was not counted")
            answered[told] = time.perf_counter()
        connection.close()
        stream.join()
        seconds = _waits(answered, mailbox)
    yield row("alert_lag_p50", "ms", median(seconds) * 1e3)
    yield row("alert_lag_p99", "ms", percentile(seconds, 0.99) * 1e3, most=1000)


def _crossings(ground: Ground, workspaces: int) -> list[tuple[Told, bytes]]:
    """Sets an alert with all its levels for each place; then the events that reach them, level after level."""
    metrics = [Metric.objects.get(key=key) for key in _METRICS]
    places = [
        (sender, Workspace.objects.get(pk=pk), metric)
        for sender in ground.senders
        for pk, _ in sender.workspaces[:workspaces]
        for metric in metrics
    ]
    for _, workspace, metric in places:
        set_usage_alert(
            workspace=workspace, metric=metric, threshold=_THRESHOLD, also_50_80=True, clock=system_clock, by=BY
        )
    return [
        ((workspace.pk, metric.pk, level), _event(sender, workspace, metric, quantity))
        for level, quantity in _STEPS
        for sender, workspace, metric in places
    ]


def _event(sender: Sender, workspace: Workspace, metric: Metric, quantity: int) -> bytes:
    sent: dict[str, object] = {"specversion": "1.0", "id": str(uuid4()), "source": SOURCE, "type": metric.event_type}
    sent |= {"subject": workspace.key, "data": {"value": quantity}}
    return http_request("/api/v1/events", json.dumps(sent).encode(), key=sender.api_key)


def _stream(ground: Ground, seconds: float) -> None:
    """The usual events of all senders for so long, made before the first is sent."""
    events = Events(ground)
    many = "application/cloudevents-batch+json"
    requests = [
        http_request(
            "/api/v1/events", json.dumps(events.sent(sender, _BATCH)).encode(), key=sender.api_key, content_type=many
        )
        for number in range(int(seconds * RATE / _BATCH))
        for sender in [ground.senders[number % len(ground.senders)]]
    ]
    send_at_rate(ground.server.port, requests, each_second=RATE / _BATCH, connections=len(ground.senders))


@contextmanager
def _jobs(ground: Ground, mailbox: Mailbox) -> Iterator[None]:
    """`manage.py run_jobs` on the benchmark's database, mailing to the mailbox, as soon as it works."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            "DATABASE_URL": ground.url,
            "DJANGO_SETTINGS_MODULE": "config.bench.settings",
            "HEADROOM_VAR": folder,
            "SECRET_KEY": settings.SECRET_KEY,  # signs the queue's rows; the folder's own would not know them
            "EMAIL_URL": mailbox.url,
            "LOG_LEVEL": "ERROR",
        }
        command = [sys.executable, str(_ROOT / "manage.py"), "run_jobs", "--beat", "1"]
        began = system_clock()
        watch = processes.start(command, mark=f"bench:{os.getpid()}", environment=environment)
        try:
            # The first sign of life stands there before the cluster works; the next one is a job that it has done.
            _await(lambda: Heartbeat.objects.filter(beat_at__gt=began).exists())
            first = Heartbeat.objects.latest("beat_at").beat_at
            _await(lambda: Heartbeat.objects.filter(beat_at__gt=first).exists())
            yield
        finally:
            processes.stop(watch, patience=30)


def _waits(answered: Mapping[Told, float], mailbox: Mailbox) -> list[float]:
    """How long each message took from the answer of its event to its last line."""
    told = Delivery.objects.filter(notification__threshold=_THRESHOLD, state=Delivery.State.SENT)
    _await(lambda: told.count() >= len(answered))
    arrived = {
        tuple(place): mailbox.arrived[message_id]
        for *place, message_id in told.values_list(
            "notification__workspace_id", "notification__metric_id", "notification__level", "message_id"
        )
    }
    return [arrived[each] - moment for each, moment in answered.items()]


def _await(condition: Callable[[], bool]) -> None:
    """Raises WrongAnswer when it does not come true."""
    deadline = time.monotonic() + _PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise WrongAnswer("the jobs did not do their work in time")
        time.sleep(0.05)
