"""HTTP requests as fast as a client can send them without costing more than the server, whose cores it shares:
ready-made bytes over kept connections, all of them watched by one thread."""

from __future__ import annotations

import selectors
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
    """What came back: bodies in no order, how long each answer took in seconds, and the CPU seconds of sending."""

    bodies: list[bytes] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    cpu: float = 0


class Connection:
    """A kept connection. Raises WrongAnswer for any status but 200 and 204."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def ask(self, request: bytes) -> bytes:
        self.send(request)
        while (body := self.receive()) is None:
            pass
        return body

    def send(self, request: bytes) -> None:
        self._socket.sendall(request)

    def receive(self) -> bytes | None:
        """Wait for the next part of the answer; the body when that was the last one."""
        part = self._socket.recv(65536)
        if not part:
            raise WrongAnswer("the server closed the connection")
        self._received += part
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = self._received[:end].lower()
        if head[9:12] not in (b"200", b"204"):
            raise WrongAnswer(self._received[:2000].decode(errors="replace"))
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(self._received) < end + 4 + length:
            return None
        body, self._received = self._received[end + 4 :], b""
        return body

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()


@dataclass(slots=True)
class _Lane:
    connection: Connection
    requests: Iterator[bytes]
    began: float = 0

    def send_next(self) -> bool:
        """False when there is nothing left to send."""
        request = next(self.requests, None)
        if request is None:
            return False
        self.began = time.perf_counter()
        self.connection.send(request)
        return True

    def has_answer(self, answers: Answers) -> bool:
        """Take what has arrived; True when the answer is complete."""
        body = self.connection.receive()
        if body is None:
            return False
        answers.seconds.append(time.perf_counter() - self.began)
        answers.bodies.append(body)
        return True


def send_all(port: int, lanes: Sequence[Sequence[bytes]]) -> Answers:
    """Send each lane's requests one after the other over a connection of its own, all lanes at once."""
    answers = Answers()
    cpu = time.process_time()
    with selectors.DefaultSelector() as waiting:
        for lane in filter(None, lanes):
            runner = _Lane(Connection(port), iter(lane))
            runner.send_next()
            waiting.register(runner.connection, selectors.EVENT_READ, runner)
        while waiting.get_map():
            for key, _ in waiting.select(_TIMEOUT):
                if key.data.has_answer(answers) and not key.data.send_next():
                    waiting.unregister(key.fileobj)
                    key.data.connection.close()
    answers.cpu = time.process_time() - cpu
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
