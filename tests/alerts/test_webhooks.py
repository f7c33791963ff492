"""Webhooks: the Standard Webhooks format, and where they never go (spec 3.12)."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from alerts.models import Delivery, WebhookEndpoint
from alerts.services import webhooks
from alerts.services.delivery import deliver_due
from alerts.services.endpoints import add_endpoint, new_secret, rotate_secret
from alerts.services.webhooks import AddressRefused, NoAnswer, is_public, target_of
from tests.alerts.timeline import Story
from tests.factories import BY
from usage.errors import InvalidInput

NOW = datetime.now(UTC)


class Receiver:
    """A customer's system: keeps what it got, answers what the test wants."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.headers: dict[str, str] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://hooks.example:{self.port}/in?from=headroom"


@pytest.fixture(autouse=True)
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Receivers refuse what was signed more than five minutes ago, and the tests before these may take longer."""
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC))


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """Reachable as hooks.example; for this test the machine's own address counts as public."""
    made = Receiver()
    thread = threading.Thread(target=made.server.serve_forever, args=[0.01], daemon=True)
    thread.start()
    monkeypatch.setattr(webhooks, "is_public", lambda address: address == "127.0.0.1")
    monkeypatch.setattr(webhooks.checked_address, "__kwdefaults__", {"resolver": lambda host, port: ["127.0.0.1"]})
    monkeypatch.setattr(webhooks.post, "__kwdefaults__", {"resolver": lambda host, port: ["127.0.0.1"]})
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def listening(story: Story, receiver: Receiver) -> WebhookEndpoint:
    return add_endpoint(account=story.account, url=receiver.url, by=BY)


def send(**later: float) -> Any:
    return deliver_due(clock=lambda: NOW + timedelta(**later))


@pytest.mark.django_db
def test_an_alert_arrives_signed_and_in_the_documented_shape(
    story: Story, listening: WebhookEndpoint, receiver: Receiver
) -> None:
    story.alert(10).uses(12).evaluates()
    send()
    headers, body = receiver.got[0]
    assert Webhook(listening.secret).verify(body, headers) == json.loads(body)
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "type": "usage.alert.reached",
        "timestamp": "2026-06-02T12:00:00Z",
        "data": {
            "kind": "usage_alert",
            "account": "acme",
            "workspace": "atlas",
            "metric": "whatsapp",
            "level": 100,
            "threshold": "10",
            "quantity": "12",
            "period": "2026-06-01T00:00:00Z",
            "at": "2026-06-02T12:00:00Z",
        },
    }


@pytest.mark.django_db
def test_limits_are_told_reached_and_cleared_in_order(
    story: Story, listening: WebhookEndpoint, receiver: Receiver
) -> None:
    story.about("ai_resolutions").limit(2).uses(2).evaluates().takes_back().evaluates()
    send()
    assert [json.loads(body)["type"] for _, body in receiver.got] == ["limit.reached", "limit.cleared"]


@pytest.mark.django_db
def test_account_level_messages_have_no_workspace(a_story: Callable[..., Story], receiver: Receiver) -> None:
    story = a_story(plan="starter", metric_key="phone")
    add_endpoint(account=story.account, url=receiver.url, by=BY)
    story.uses(80).evaluates()
    send()
    assert json.loads(receiver.got[0][1])["data"]["workspace"] is None


@pytest.mark.django_db
def test_an_endpoint_gets_only_the_types_it_wants(story: Story, receiver: Receiver) -> None:
    add_endpoint(account=story.account, url=receiver.url, types=["limit.reached"], by=BY)
    story.alert(10).uses(10).evaluates()
    assert not Delivery.objects.filter(channel="webhook").exists()


@pytest.mark.django_db
def test_while_a_secret_is_replaced_both_verify(story: Story, listening: WebhookEndpoint, receiver: Receiver) -> None:
    old = listening.secret
    rotated = rotate_secret(endpoint=listening, overlap=timedelta(hours=24), now=NOW, by=BY)
    story.alert(10).uses(10).evaluates()
    send()
    headers, body = receiver.got[0]
    for secret in (old, rotated.secret):
        Webhook(secret).verify(body, headers)


@pytest.mark.django_db
def test_after_the_overlap_only_the_new_secret_verifies(
    story: Story, listening: WebhookEndpoint, receiver: Receiver
) -> None:
    old = listening.secret
    rotate_secret(endpoint=listening, overlap=timedelta(seconds=0), now=NOW, by=BY)
    story.alert(10).uses(10).evaluates()
    send()
    headers, body = receiver.got[0]
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(body, headers)


@pytest.mark.django_db
@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 410, 429, 500, 503])
def test_anything_but_2xx_is_tried_again_and_redirects_are_not_followed(
    story: Story, listening: WebhookEndpoint, receiver: Receiver, status: int
) -> None:
    receiver.status, receiver.headers = status, {"Location": "http://169.254.169.254/latest"}
    story.alert(10).uses(10).evaluates()
    assert send().later == 1
    assert len(receiver.got) == 1
    receiver.status = 200
    assert send(minutes=5).sent >= 1
    first, second = receiver.got
    assert first[1] == second[1]
    assert first[0]["webhook-id"] == second[0]["webhook-id"]


@pytest.mark.django_db
def test_an_endpoint_that_is_switched_off_gets_nothing_more(
    story: Story, listening: WebhookEndpoint, receiver: Receiver
) -> None:
    story.alert(10).uses(10).evaluates()
    WebhookEndpoint.objects.update(is_on=False)
    send()
    assert receiver.got == []
    assert Delivery.objects.get(channel="webhook").state == "failed"


@pytest.mark.django_db
def test_an_endpoint_that_is_down_does_not_hold_up_another(
    story: Story, listening: WebhookEndpoint, receiver: Receiver
) -> None:
    dead = add_endpoint(account=story.account, url=f"http://hooks.example:{_unused_port()}/", by=BY)
    story.alert(10, halves=True).uses(5).evaluates().uses(5).evaluates()
    done = send()
    assert len(receiver.got) == 2
    waiting = Delivery.objects.filter(endpoint=dead)
    assert (done.later, sorted(waiting.values_list("attempts", flat=True))) == (1, [0, 1])


# --- Receivers that misbehave ---


@contextmanager
def rude_server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            try:
                line, _ = server.accept()
                with line:
                    answer(line)
            except OSError:
                return

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
    thread.join(timeout=5)


def post_to(port: int) -> int:
    endpoint = WebhookEndpoint(url=f"http://hooks.example:{port}/", secret=new_secret())
    return webhooks.post(endpoint=endpoint, message_id="msg_1", payload={"a": 1}, now=NOW)


def test_a_receiver_that_never_answers_is_given_up(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TIME_LIMIT", 0.3)
    done = threading.Event()
    with rude_server(lambda line: (done.wait(5), None)[1]) as port:
        with pytest.raises(NoAnswer, match=r"no answer within|timed out"):
            post_to(port)
        done.set()


def test_a_receiver_that_drips_is_given_up(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "TIME_LIMIT", 0.4)
    done = threading.Event()

    def drip(line: socket.socket) -> None:
        for _ in range(100):
            line.sendall(b"x")
            if done.wait(0.05):
                return

    with rude_server(drip) as port, pytest.raises(NoAnswer):
        post_to(port)
    done.set()


@pytest.mark.parametrize(
    "answer", [b"", b"hello\r\n\r\n", b"HTTP/1.1 \r\n", b"HTTP/2 200 OK\r\n", b"\x15\x03\x01\x00\x02"]
)
def test_an_answer_that_is_no_http_is_no_answer(receiver: Receiver, answer: bytes) -> None:
    def reply(line: socket.socket) -> None:
        line.recv(65_536)
        line.sendall(answer)

    with rude_server(reply) as port, pytest.raises(NoAnswer):
        post_to(port)


def test_an_endless_answer_is_not_read(receiver: Receiver) -> None:
    def flood(line: socket.socket) -> None:
        line.recv(65_536)
        line.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(1_000):
            line.sendall(b"x" * 65_536)

    with rude_server(flood) as port:
        assert post_to(port) == 200


def test_https_is_not_spoken_with_just_anybody(receiver: Receiver) -> None:
    endpoint = WebhookEndpoint(url=f"https://hooks.example:{receiver.port}/", secret=new_secret())
    with pytest.raises(NoAnswer):
        webhooks.post(endpoint=endpoint, message_id="msg_1", payload={}, now=NOW)


# --- Where they never go ---


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.1.2.3", "0.0.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1",
        "240.0.0.1", "255.255.255.255", "192.88.99.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1",
        "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:1:2:3:4:5:6", "fec0::1",
        "::127.0.0.1", "100::1", "not an address", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_of_the_open_internet_are_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "64:ff9b::808:808", "2002:808:808::1"]
)
def test_public_addresses_are_fine(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "javascript:alert(1)", "//example.com", "",
        "http://", "http:///path", "http://user:pass@example.com/", "http://user@example.com/", "http://exa mple.com/",
        "http://example.com:99999/", "http://example.com:port/", "http://ex\u0430mple.com/", "http://a_b.example/",
        "http://example.com/a b", "http://example.com/\r\nX-Evil: 1", "http://example.com/\u00e9", "http://[::1", "http://[x]/",
    ],
)  # fmt: skip
def test_urls_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        target_of(url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "017700000001", "127.1", "localhost", "localhost.", "[::1]", "0"]
)
def test_own_addresses_in_disguise_are_refused_before_connecting(host: str) -> None:
    target = target_of(f"http://{host}:1/")
    with pytest.raises((AddressRefused, NoAnswer)) as refusal:
        webhooks.checked_address(target)
    assert refusal.type is AddressRefused or "resolved" in str(refusal.value)


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    target = target_of("http://rebind.example/")
    with pytest.raises(AddressRefused):
        webhooks.checked_address(target, resolver=lambda host, port: ["8.8.8.8", "10.0.0.1"])


def test_the_name_is_asked_once_and_the_checked_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    connected: list[Any] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["8.8.8.8"] if len(asked) == 1 else ["127.0.0.1"]

    def connect(address: Any, timeout: float) -> socket.socket:
        connected.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(webhooks.socket, "create_connection", connect)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:3128")
    endpoint = WebhookEndpoint(url="http://rebind.example/", secret=new_secret())
    with pytest.raises(NoAnswer):
        webhooks.post(endpoint=endpoint, message_id="msg_1", payload={}, now=NOW, resolver=resolver)
    assert (asked, connected) == (["rebind.example"], [("8.8.8.8", 80)])


@pytest.mark.django_db
def test_a_private_destination_fails_for_good_and_is_seen(story: Story) -> None:
    WebhookEndpoint.objects.create(account=story.account, url="http://127.0.0.1:1/", secret=new_secret())
    story.alert(10).uses(10).evaluates()
    send()
    delivery = Delivery.objects.get(channel="webhook")
    assert (delivery.state, "not a public address" in delivery.last_error) == ("failed", True)


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["http://10.0.0.1/", "ftp://example.com/", "http://user:pw@example.com/"])
def test_an_impossible_endpoint_is_refused_when_it_is_added(story: Story, url: str) -> None:
    with pytest.raises(InvalidInput):
        add_endpoint(account=story.account, url=url, by=BY)


def _unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
