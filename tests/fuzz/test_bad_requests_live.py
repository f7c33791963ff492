"""Bad requests to the real server: what it makes of generated ones, and of bytes that are hardly HTTP."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
from random import Random
from typing import Any

import pytest

from tests.alerts.conversations import make_account
from tests.factories import bearer, event, make_key
from tests.fuzz.bad_calls import bad_call
from tests.fuzz.bad_events import BATCH, STORED, bad_ingest
from tests.fuzz.case import Case, check_flag_refusal, check_ingested, check_problem
from tests.servers import Server
from usage.models import UsageEvent

pytestmark = pytest.mark.django_db(transaction=True)

NUMBER = 400


@pytest.fixture
def key() -> str:
    make_account("other", workspaces=("cedar",))
    return make_key(make_account(workspaces=("atlas", "birch")))


def can_travel(case: Case) -> bool:
    """Whether a client can write this down as HTTP at all."""
    try:
        case.path.encode("ascii")
        case.content_type.encode("ascii")  # the server leaves out other content types
        for value in case.headers.values():
            if any(character in value for character in "\x00\r\n"):
                return False
            value.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return " " not in case.path


def ask(
    client: http.client.HTTPConnection, case: Case, headers: dict[str, str]
) -> tuple[http.client.HTTPResponse, bytes]:
    """The answer, on a new connection where the server has closed the one that was used before."""
    for attempt in (1, 2):
        try:
            client.request(case.method, case.path, case.body, headers)
            response = client.getresponse()
            return response, response.read()
        except (http.client.RemoteDisconnected, ConnectionError):
            client.close()
            if attempt == 2:
                raise
    raise AssertionError("unreachable")


def test_generated_requests_are_refused_over_the_wire(key: str) -> None:
    random = Random("live")
    kept = 0
    with Server() as server:
        assert server.post("/api/v1/events", STORED, bearer(key))[0] == 200
        client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        for number in range(NUMBER):
            case = next(
                c
                for c in iter(lambda: (bad_ingest if random.random() < 0.5 else bad_call)(random), None)
                if can_travel(c)
            )
            headers = bearer(key) | case.headers | ({"Content-Type": case.content_type} if case.content_type else {})
            response, content = ask(client, case, headers)
            message = f"request {number}: {response.status} {content[:1000]!r}\n{case}"
            assert response.status < 500, message
            if "/reservations/held/" in case.path or case.what in ("path", "key"):
                assert response.status >= 400, message  # a refusal of the server's own has no shape of ours
                continue
            answer = json.loads(content)
            if case.rejected is not None:
                check_ingested(case, response.status, answer)
                kept += case.accepted
            elif case.is_ofrep:
                check_flag_refusal(answer, response.status)
            else:
                assert response.status in case.statuses, message
                check_problem(answer, response.status, response.headers["Content-Type"])
        client.close()
        assert server.post("/api/v1/events", event(), bearer(key))[0] == 200
    assert UsageEvent.objects.count() == kept + 2


def raw(server: Server, sent: bytes) -> bytes:
    """What comes back for these bytes: the head of the answer, or nothing when the server hangs up."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as wire:
        received = b""
        with contextlib.suppress(OSError):
            wire.sendall(sent)
            wire.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while part := wire.recv(65536):
                received += part
        return received


def _head(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, "Host: localhost", *headers, "", ""]).encode("latin-1")


def hardly_http(key: str) -> list[bytes]:
    """Requests that break HTTP itself: lengths that lie, pieces cut off, characters that no header may hold."""
    key_line, json_line = f"Authorization: Bearer {key}", "Content-Type: application/json"
    post = "POST /api/v1/events HTTP/1.1"
    body = json.dumps(event()).encode()
    binary = ["ce-id: 1", "ce-source: urn:x", "ce-type: sms.message", "ce-specversion: 1.0", "ce-subject: atlas"]
    return [
        b"\x00" * 100,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        _head("GET / HTTP/9.9"),
        _head("FOO /api/v1/events HTTP/1.1", key_line),
        _head("GET /api/v1/\x01 HTTP/1.1", key_line),
        _head("GET /api/v1/" + "a" * 100_000 + " HTTP/1.1", key_line),
        _head("GET /api/v1/workspaces/%C0%AE%C0%AE/usage HTTP/1.1", key_line),
        _head("GET /api/v1/workspaces/%ED%A0%80/usage HTTP/1.1", key_line),
        _head("GET /api/v1/workspaces/%FF%FE/limits/%80 HTTP/1.1", key_line),
        _head("GET /api/v1/workspaces/atlas/usage?at=%ED%A0%80 HTTP/1.1", key_line),
        _head("GET /api/v1/workspaces/atlas/usage?%FF=%FF&at=%FF HTTP/1.1", key_line),
        _head("GET http://elsewhere.example/api/v1/events HTTP/1.1", key_line),
        _head(post, key_line, json_line, "Content-Length: -1") + body,
        _head(post, key_line, json_line, "Content-Length: 99999") + body,
        _head(post, key_line, json_line, "Content-Length: 10") + body,
        _head(post, key_line, json_line, "Content-Length: x") + body,
        _head(post, key_line, json_line, "Content-Length: 5", "Content-Length: 6") + body,
        _head(post, key_line, json_line, "Content-Length: 99999999999999999999") + body,
        _head(post, key_line, json_line, "Transfer-Encoding: chunked") + b"zz\r\nhello\r\n0\r\n\r\n",
        _head(post, key_line, json_line, "Transfer-Encoding: chunked") + b"ffffffffffffffffff\r\n" + body,
        _head(post, key_line, json_line, "Transfer-Encoding: chunked") + b"5\r\nhel",
        _head(post, key_line, json_line, "Transfer-Encoding: chunked", "Content-Length: 3") + b"0\r\n\r\n",
        _head(post, key_line, json_line, "Transfer-Encoding: gzip") + body,
        _head(post, key_line, json_line, *binary, "Content-Length: 12"),
        _head(post, key_line, json_line, *binary, "Content-Length: 12") + b'{"va',
        _head(post, key_line, json_line, *binary, "Transfer-Encoding: chunked"),
        _head(post, key_line, json_line, *binary, "Transfer-Encoding: chunked") + b"c\r\n",
        _head(post, key_line, "Content-Type: \xff\xfe", "Content-Length: 2") + b"{}",
        _head(
            post, key_line, "ce-id: \xff", "ce-source: \x80", "ce-type: x", "ce-specversion: 1.0", "Content-Length: 0"
        ),
        _head(post, key_line, "ce-id : 1", "Content-Length: 0"),
        _head(post, key_line, *[f"ce-x{number}: 1" for number in range(300)], "Content-Length: 0"),
        _head(post, key_line, "ce-moon: " + "x" * 200_000, "Content-Length: 0"),
        _head(post, "Authorization: Bearer \xff\xfe", "Content-Length: 0"),
        _head(post, f"authorization: bearer {key}", key_line, "Content-Length: 0"),
        _head(post, key_line, "Cookie: sessionid=\xff; csrftoken=\x80; =; ;;", "Content-Length: 0"),
        _head(post, key_line, "Host: evil.example\x00", "Content-Length: 0"),
        _head(
            "GET /api/v1/workspaces/atlas/usage HTTP/1.1",
            key_line,
            "Accept: \xff",
            "If-None-Match: \xff",
            "Prefer: \xff",
        ),
        _head("POST /ofrep/v1/evaluate/flags HTTP/1.1", "X-API-Key: \xff", 'If-None-Match: "', "Content-Length: 2")
        + b"{}",
    ]


def test_bytes_that_are_hardly_http_harm_nothing(key: str) -> None:
    with Server() as server:
        for number, sent in enumerate(hardly_http(key)):
            answer = raw(server, sent)
            assert not answer.startswith(b"HTTP/1.1 5"), f"{number}: {sent[:300]!r}\n{answer[:1500]!r}"
            assert b"Traceback" not in answer
            assert UsageEvent.objects.count() == 0, (number, sent, answer)
        assert server.post("/api/v1/events", event(), bearer(key))[0] == 200
    assert UsageEvent.objects.count() == 1


def test_a_body_that_is_too_big_gets_its_answer(key: str) -> None:
    body = b" " * (30 * 1024 * 1024)
    headers = bearer(key) | {"Content-Type": "application/json"}
    pieces = {"Transfer-Encoding": "chunked"}
    with Server() as server:
        for path in ("/api/v1/events", "/api/v1/workspaces/atlas/consume"):
            for more in ({}, pieces):
                client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
                sent = body if not more else (body[start : start + 65536] for start in range(0, len(body), 65536))
                client.request("POST", path, sent, headers | more, encode_chunked=bool(more))
                response = client.getresponse()
                assert (response.status, json.loads(response.read())["code"]) == (413, "too_large"), (path, more)
                client.close()


def test_bodies_in_pieces_are_read_by_every_operation(key: str) -> None:
    consume = json.dumps({"metric": "sms", "quantity": 2, "id": "in pieces"}).encode()
    question = json.dumps({"context": {"targetingKey": "atlas"}}).encode()
    with Server() as server:
        for path, body in (
            ("/api/v1/workspaces/atlas/consume", consume),
            ("/ofrep/v1/evaluate/flags/ai-agent", question),
            ("/api/v1/events", json.dumps(event()).encode()),
        ):
            client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            headers = bearer(key) | {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
            client.request("POST", path, iter([body[:7], body[7:]]), headers, encode_chunked=True)
            response = client.getresponse()
            assert response.status == 200, response.read()
            client.close()


def _memory(server: Server) -> int:
    """Bytes that the server's processes hold at most (their high-water marks)."""
    assert server.process is not None
    children = f"/proc/{server.process.pid}/task/{server.process.pid}/children"
    with open(children, encoding="ascii") as listed:
        processes = [server.process.pid, *map(int, listed.read().split())]
    total = 0
    for process in processes:
        with open(f"/proc/{process}/status", encoding="ascii") as status:
            total += sum(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return total * 1024


def test_a_bomb_of_a_gigabyte_costs_no_memory(key: str) -> None:
    member = gzip.compress(bytes(16 * 1024 * 1024))
    bomb = member * 64
    headers: dict[str, Any] = bearer(key) | {"Content-Type": BATCH, "Content-Encoding": "gzip"}
    with Server() as server:
        assert server.post("/api/v1/events", event(), bearer(key))[0] == 200
        before = _memory(server)
        for _ in range(3):
            status, answer = server.post("/api/v1/events", bomb, headers)
            assert (status, answer["code"]) == (413, "too_large")
        assert _memory(server) - before < 100 * 1024 * 1024
