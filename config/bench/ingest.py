"""Ingest beside COPY: the same rows, into the same table, by the same client library."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from statistics import median
from typing import Any, Final
from uuid import UUID, uuid4

from django.db import connection, transaction

from config.bench.answers import LANES, plain
from config.bench.filling import METRICS
from config.bench.ground import Ground, Sender, tidy
from config.bench.load import Answers, WrongAnswer, http_request, send_all
from config.bench.measure import Row, Sample, alternate, memory_of, row, typical
from usage.models import Metric, Period
from usage.periods import local_day

BATCH: Final = 1000
SOURCE: Final = "https://bench.example/app"
_DAYS: Final = 3  # how far back the events of a batch reach
_PATH: Final = "/api/v1/events"
_BATCH_TYPE: Final = "application/cloudevents-batch+json"
_COPY: Final = """
COPY usage_usageevent (account_id, key, content, workspace_id, metric_id, period, day, quantity, occurred_at,
                       received_at, source, event_id, is_void) FROM STDIN (FORMAT BINARY)
"""
_COPY_TYPES: Final = (
    *("int8", "uuid", "uuid", "int8", "int8", "timestamptz", "date", "numeric", "timestamptz", "timestamptz"),
    *("text", "text", "bool"),
)


class Events:
    """Makes events that nobody has sent yet: in turn of all workspaces and metrics of a sender."""

    def __init__(self, ground: Ground) -> None:
        self._types = dict(Metric.objects.values_list("key", "event_type"))
        self._metrics = {metric.key: metric for metric in Metric.objects.filter(key__in=METRICS)}
        self._now = ground.now
        self._numbers = count()
        self._periods = {
            sender.account_id: Period.objects.get(
                account=sender.account_id, starts_at__lte=ground.now, ends_at__gt=ground.now
            )
            for sender in ground.senders
        }

    def sent(self, sender: Sender, how_many: int) -> list[dict[str, Any]]:
        """CloudEvents as an application sends them."""
        return [self._event(sender, number) for number in (next(self._numbers) for _ in range(how_many))]

    def stored(self, sender: Sender, how_many: int) -> list[tuple[Any, ...]]:
        """The rows that as many events become."""
        period = self._periods[sender.account_id]
        rows = []
        for event in self.sent(sender, how_many):
            at = datetime.fromisoformat(event["time"])
            workspace_id = next(pk for pk, key in sender.workspaces if key == event["subject"])
            metric = next(m for m in self._metrics.values() if m.event_type == event["type"])
            quantity = Decimal(90 if metric.key == "phone" else 1)
            place = (period.starts_at, local_day(at, period.zone), quantity, at, self._now)
            rows.append(
                (sender.account_id, uuid4(), uuid4(), workspace_id, metric.pk, *place, SOURCE, event["id"], False)
            )
        return rows

    def _event(self, sender: Sender, number: int) -> dict[str, Any]:
        metric = METRICS[number % len(METRICS)]
        at = self._now - timedelta(seconds=number * 7919 % (_DAYS * 86_400))
        data: dict[str, Any] = {}
        if metric == "phone":
            data = {"started_at": (at - timedelta(seconds=90)).isoformat(), "ended_at": at.isoformat()}
        elif metric.endswith("resolutions"):
            data = {"conversation_id": f"c-{number}"}
        return {
            "specversion": "1.0",
            "id": str(UUID(int=number)),
            "source": SOURCE,
            "type": self._types[metric],
            "subject": sender.workspaces[number // len(METRICS) % len(sender.workspaces)][1],
            "time": at.isoformat(),
            "data": data,
        }


def batches(ground: Ground) -> Iterator[Row]:
    """Batches of 1000 over HTTP, from several accounts at once; the same batches again; COPY of such rows."""
    events = Events(ground)
    each = max(1, ground.sizes.batches // len(ground.senders))
    requests: dict[int, list[list[bytes]]] = {}
    memory: list[int] = []

    def copy(number: int) -> Sample:
        sender = ground.senders[number % len(ground.senders)]
        parts = [events.stored(sender, BATCH) for _ in range(each * len(ground.senders))]
        with ground.watch_here() as watch:
            for part in parts:
                _copy(part)
        return watch.sample(len(parts) * BATCH)

    def new(number: int) -> Sample:
        requests[number] = [
            [_batch(events.sent(sender, BATCH), sender) for _ in range(each)] for sender in ground.senders
        ]
        sample = _send(ground, requests[number], "accepted")
        memory.append(memory_of(ground.server.pids) or 0)
        return sample

    def again(number: int) -> Sample:
        return _send(ground, requests.pop(number), "duplicate")

    _warm(ground, events)
    copied, sent, repeated = alternate(ground.sizes.rounds, copy, new, again)
    floor, cost = typical(copied, lambda s: s.cost), typical(sent, lambda s: s.cost)
    yield row(
        "ingest_batches",
        "events/s",
        typical(sent, lambda s: s.rate),
        floor=typical(copied, lambda s: s.rate),
        least=20_000,
    )
    yield row("ingest_batches_cpu", "µs/event", cost * 1e6, floor=floor * 1e6, most_ratio=4)
    again_ratio = median(r.cost / s.cost for r, s in zip(repeated, sent, strict=True))
    yield row("ingest_replayed_cpu", "µs/event", again_ratio * cost * 1e6, floor=cost * 1e6, most_ratio=1)
    if len(memory) > 1 and memory[0]:
        yield row("ingest_memory", "MB", memory[-1] / 1e6, floor=memory[0] / 1e6, most_ratio=1.1)
    tidy("usage_usagetotal", "usage_usageday")


def single(ground: Ground) -> Iterator[Row]:
    """One event a request, structured mode."""
    events = Events(ground)
    each = ground.sizes.calls(2000) // LANES
    senders = [ground.senders[lane % len(ground.senders)] for lane in range(LANES)]

    def post(number: int) -> Sample:
        lanes = [
            [_request(json.dumps(event).encode(), sender, "application/cloudevents+json") for event in found]
            for sender, found in ((sender, events.sent(sender, each)) for sender in senders)
        ]
        return _send(ground, lanes, "accepted", size=1)

    def ask(number: int) -> Sample:
        with ground.watch_server() as watch:
            send_all(ground.server.port, [plain(sender, each) for sender in senders])
        return watch.sample(each * LANES)

    _warm(ground, events)
    asked, posted = alternate(ground.sizes.rounds, ask, post)
    floor, rate = typical(asked, lambda s: s.rate), typical(posted, lambda s: s.rate)
    yield row("ingest_single", "requests/s", rate, floor=floor, least=1000)
    floor, cost = typical(asked, lambda s: s.cost), typical(posted, lambda s: s.cost)
    yield row("ingest_single_cpu", "µs/request", cost * 1e6, floor=floor * 1e6)


def _warm(ground: Ground, events: Events) -> None:
    """Every thread of the server has its connection and its statements before anything is measured."""
    for _ in range(3):
        lanes = [[_batch(events.sent(sender, 20), sender)] * 4 for sender in ground.senders * 2]
        send_all(ground.server.port, lanes)


def _batch(events: Sequence[dict[str, Any]], sender: Sender) -> bytes:
    return _request(json.dumps(events).encode(), sender, _BATCH_TYPE)


def _request(body: bytes, sender: Sender, content_type: str) -> bytes:
    return http_request(_PATH, body, key=sender.api_key, content_type=content_type)


def _send(ground: Ground, lanes: Sequence[Sequence[bytes]], outcome: str, size: int = BATCH) -> Sample:
    """Send the lanes; every event must have had that outcome."""
    with ground.watch_server() as watch:
        answers: Answers = send_all(ground.server.port, lanes)
    wanted = sum(len(lane) for lane in lanes) * size
    found = sum(json.loads(body)[outcome] for body in answers.bodies)
    if found != wanted:
        raise WrongAnswer(f"{found} of {wanted} events were {outcome}")
    return watch.sample(wanted)


def _copy(rows: Sequence[tuple[Any, ...]]) -> None:
    with transaction.atomic(), connection.cursor() as cursor, cursor.copy(_COPY) as copy:
        copy.set_types(_COPY_TYPES)
        for values in rows:
            copy.write_row(values)
