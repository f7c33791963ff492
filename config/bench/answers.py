"""What an application asks while its customer waits: consume, decisions, flags; beside a plain view behind the same key
check that reads one row."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from statistics import median
from typing import Final

import psycopg

from alerts.models import StoredAnswer
from alerts.services.workflows import save_workflow
from alerts.workflow_rules import Branch, Rules, Step
from config.bench.filling import BY, METRICS
from config.bench.ground import Ground, Sender, query
from config.bench.load import WrongAnswer, http_request, send_all, send_at_rate
from config.bench.measure import Row, Sample, alternate, percentile, row, typical
from config.bench.urls import COUNTED
from usage.models import Workspace

Requests = Callable[[Sender, int], list[bytes]]  # so many requests of a sender

LANES: Final = 16  # connections: enough that all threads of the server have something to do
_RATE: Final = 300  # questions a second, at which slowness is measured
_numbers = count()


def consume(ground: Ground) -> Iterator[Row]:
    """Check and count on many rows, and all clients on one row."""
    each = ground.sizes.calls(2000) // LANES
    hot = ground.senders[0]
    query(COUNTED)
    for requests in (_objects, plain, _counts, _consumes):
        _send(ground, requests, 12)
    asked, read, counted, spread, on_one, updated = alternate(
        ground.sizes.rounds,
        lambda _: _send(ground, _objects, each),
        lambda _: _send(ground, plain, each),
        lambda _: _send(ground, _counts, each),
        lambda _: _send(ground, _consumes, each),
        lambda _: _send(ground, lambda sender, n: [_consume(hot, 0, METRICS[0]) for _ in range(n)], each),
        lambda _: _update_one_row(ground, each),
    )
    cost, floor = typical(spread, lambda s: s.cost), typical(asked, lambda s: s.cost)
    yield row("consume_cpu", "µs/request", cost * 1e6, floor=floor * 1e6, most_ratio=1.3)
    yield row("consume_cpu_to_read", "µs/request", cost * 1e6, floor=typical(read, lambda s: s.cost) * 1e6)
    yield row("consume_cpu_to_commit", "µs/request", cost * 1e6, floor=typical(counted, lambda s: s.cost) * 1e6)
    yield row("consume_sender_cpu", "µs/request", typical(spread, lambda s: s.sent_with / s.units) * 1e6)
    floor, rate = typical(read, lambda s: s.rate), typical(spread, lambda s: s.rate)
    yield row("consume_many_rows", "requests/s", rate, floor=floor)
    floor, rate = typical(updated, lambda s: s.rate), typical(on_one, lambda s: s.rate)
    yield row("consume_one_row", "requests/s", rate, floor=floor, least=1000)


def decisions(ground: Ground) -> Iterator[Row]:
    """Who answers a new conversation, in workspaces with a workflow; and the flag that asks the same."""
    each = ground.sizes.calls(1000) // LANES
    steady = _RATE if ground.sizes.events < 1_000_000 else 5 * _RATE
    for sender in ground.senders:
        _add_workflow(ground, sender)
    sides: dict[str, Requests] = {"plain": plain, "decision": _questions, "flag": _flags}
    for requests in sides.values():
        _send(ground, requests, 12)

    costs = alternate(ground.sizes.rounds, *(_sending(ground, requests, each) for requests in sides.values()))
    cost = {side: typical(samples, lambda s: s.cost) * 1e6 for side, samples in zip(sides, costs, strict=True)}
    slow: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(ground.sizes.rounds):
        for side, requests in sides.items():
            mixed = [request for sender in ground.senders for request in requests(sender, steady // 4)]
            found = send_at_rate(ground.server.port, mixed, each_second=_RATE, connections=LANES)
            slow[side].append(percentile(found.seconds, 0.99) * 1e3)
    if StoredAnswer.objects.filter(answered_at__gte=ground.now).count() < each * LANES * ground.sizes.rounds:
        raise WrongAnswer("the decisions were not remembered")
    for side in ("decision", "flag"):
        yield row(f"{side}_p99_at_{_RATE}", "ms", median(slow[side]), floor=median(slow["plain"]), most=10)
        yield row(f"{side}_cpu", "µs/request", cost[side], floor=cost["plain"])


def plain(sender: Sender, how_many: int) -> list[bytes]:
    """The floor: the same key check, then one row by a prepared statement."""
    return _asking("one-row", sender, how_many)


def _objects(sender: Sender, how_many: int) -> list[bytes]:
    """The floor as a Django view reads its row: as an object."""
    return _asking("one-object", sender, how_many)


def _asking(what: str, sender: Sender, how_many: int) -> list[bytes]:
    return [http_request(f"/api/v1/bench/{sender.workspaces[0][1]}/{what}", b"", key=sender.api_key)] * how_many


def _counts(sender: Sender, how_many: int) -> list[bytes]:
    """The floor with a commit: on as many rows as `_consumes` has workspaces."""
    return [
        http_request(f"/api/v1/bench/{sender.workspaces[n % len(sender.workspaces)][1]}/count", b"", key=sender.api_key)
        for n in range(how_many)
    ]


def _consumes(sender: Sender, how_many: int) -> list[bytes]:
    return [_consume(sender, n % len(sender.workspaces), METRICS[n % len(METRICS)]) for n in range(how_many)]


def _consume(sender: Sender, workspace: int, metric: str) -> bytes:
    body = {"metric": metric, "quantity": 1, "id": f"consume-{next(_numbers)}"}
    path = f"/api/v1/workspaces/{sender.workspaces[workspace][1]}/consume"
    return http_request(path, json.dumps(body).encode(), key=sender.api_key)


def _questions(sender: Sender, how_many: int) -> list[bytes]:
    path = f"/api/v1/workspaces/{sender.workspaces[0][1]}/route"
    about = {"metric": "ai_resolutions", "channel": "chat", "event": "started"}
    return [
        http_request(
            path,
            json.dumps(about | {"conversation_id": f"c-{number}", "message_id": f"m-{number}"}).encode(),
            key=sender.api_key,
        )
        for number in (next(_numbers) for _ in range(how_many))
    ]


def _flags(sender: Sender, how_many: int) -> list[bytes]:
    body = json.dumps({"context": {"targetingKey": sender.workspaces[0][1]}}).encode()
    return [http_request("/ofrep/v1/evaluate/flags/ai-agent", body, key=sender.api_key)] * how_many


def _sending(ground: Ground, requests: Requests, each: int) -> Callable[[int], Sample]:
    return lambda _: _send(ground, requests, each)


def _send(ground: Ground, requests: Requests, each: int) -> Sample:
    lanes = [requests(ground.senders[lane % len(ground.senders)], each) for lane in range(LANES)]
    with ground.watch_server() as watch:
        answers = send_all(ground.server.port, lanes)
    return watch.sample(len(answers.bodies), sent_with=answers.cpu)


def _add_workflow(ground: Ground, sender: Sender) -> None:
    branches = (
        Branch(name="Phone", rules=Rules(channels=("phone",)), steps=(Step("hand_over_to_team", team="Voice"),)),
        Branch(name="Others", rules=Rules(), steps=(Step("let_ai_agent_answer"),)),
    )
    save_workflow(
        workspace=Workspace.objects.get(pk=sender.workspaces[0][0]),
        workflow_id=None,
        name="First answer",
        audience=Rules(),
        branches=branches,
        is_on=True,
        now=ground.now,
        by=BY,
    )


def _update_one_row(ground: Ground, each: int) -> Sample:
    """As many clients commit as many updates of one row, with nothing around them."""
    query("CREATE TABLE IF NOT EXISTS bench_row (id int PRIMARY KEY, quantity numeric(30, 6))")
    query("INSERT INTO bench_row VALUES (1, 0) ON CONFLICT DO NOTHING")

    def update() -> None:
        with psycopg.connect(ground.url, autocommit=True) as link:
            for _ in range(each):
                link.execute("UPDATE bench_row SET quantity = quantity + 1 WHERE id = 1", prepare=True)

    threads = [threading.Thread(target=update) for _ in range(LANES)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Sample(each * len(threads), time.perf_counter() - began)
