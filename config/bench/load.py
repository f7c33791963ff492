"""HTTP requests as fast as a client can send them without costing more than the server: ready-made bytes over kept
connections, one thread each."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final

_TIMEOUT: Final = 60  # seconds for one answer


class WrongAnswer(Exception):
    """The server refused what the benchmark sent; a figure of refusals would mean nothing."""


def http_request(path: str, body: bytes, *, key: str, content_type: str = "application/json") -> bytes:
    """A POST as bytes, ready to be sent over a kept connection."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(slots=True)
class Answers:
    """What came back: bodies in no order, and how long each answer took in seconds."""

    bodies: list[bytes] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class Connection:
    """A kept connection. Raises WrongAnswer for any status but 200 and 204."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        self._socket.sendall(request)
        received = self._socket.recv(65536)
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._more()
        head = received[:end].lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        while len(received) < end + 4 + length:
            received += self._more()
        if head[9:12] not in (b"200", b"204"):
            raise WrongAnswer(received[:2000].decode(errors="replace"))
        return received[end + 4 :]

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> bytes:
        part = self._socket.recv(65536)
        if not part:
            raise WrongAnswer("the server closed the connection")
        return part


def send_all(port: int, lanes: Sequence[Sequence[bytes]]) -> Answers:
    """Send each lane's requests one after the other over a connection of its own, all lanes at once."""
    answers = Answers()

    def send(lane: Sequence[bytes]) -> None:
        connection = Connection(port)
        for request in lane:
            began = time.perf_counter()
            body = connection.ask(request)
            answers.seconds.append(time.perf_counter() - began)
            answers.bodies.append(body)
        connection.close()

    _run([(send, (lane,)) for lane in lanes])
    return answers


def send_at_rate(port: int, requests: Sequence[bytes], *, each_second: float, connections: int) -> Answers:
    """Send the requests at fixed moments, however long answers take; an answer's time begins at its moment."""
    answers = Answers()
    numbers: Iterator[int] = count()
    began = time.perf_counter() + 0.05

    def send() -> None:
        connection = Connection(port)
        while (number := next(numbers)) < len(requests):
            moment = began + number / each_second
            time.sleep(max(0.0, moment - time.perf_counter()))
            body = connection.ask(requests[number])
            answers.seconds.append(time.perf_counter() - moment)
            answers.bodies.append(body)
        connection.close()

    _run([(send, ())] * connections)
    return answers


def _run(calls: Sequence[tuple]) -> None:  # type: ignore[type-arg]
    """Each call in a thread; the first error of any is raised."""
    errors: list[Exception] = []

    def guarded(function, arguments) -> None:  # type: ignore[no-untyped-def]
        try:
            function(*arguments)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
