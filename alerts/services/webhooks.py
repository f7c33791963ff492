"""Webhooks in the Standard Webhooks format (spec 3.12): signed, to public addresses only, without surprises.

The name is resolved once, every address it has must be public, and the connection goes to the very address that was
checked, so a name cannot change its mind in between. No redirects, no proxies, no cookies; of the answer only the
status is read, and everything together may take ten seconds.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import ipaddress
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from django.core.serializers.json import DjangoJSONEncoder

from alerts.models import WebhookEndpoint

TIME_LIMIT: Final = 10.0  # seconds for everything after the name is resolved
NAME_LIMIT: Final = 5.0
LONGEST_HEAD: Final = 16_384
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})[ \r]")
_HOST: Final = re.compile(r"[A-Za-z0-9.-]{1,253}")
# Ranges in which an IPv4 address travels inside an IPv6 one; the inner address is the one that answers.
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_REFUSED_V6: Final = tuple(ipaddress.ip_network(net) for net in ("64:ff9b:1::/48", "fec0::/10", "::/96"))
_REFUSED_V4: Final = tuple(ipaddress.ip_network(net) for net in ("192.88.99.0/24", "192.0.0.0/24"))

type Address = ipaddress.IPv4Address | ipaddress.IPv6Address
type Resolver = Callable[[str, int], Sequence[str]]


class AddressRefused(Exception):
    """The URL is none that we send to."""


class NoAnswer(Exception):
    """No status came back: the name, the connection, TLS or the time."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart. `host` as in the URL, `port` with the scheme's default, `path` with its query."""

    is_https: bool
    host: str
    port: int
    path: str


def target_of(url: str) -> Target:
    """Take a webhook URL apart: http or https, a host name or address, no credentials. Raises AddressRefused."""
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused(f"The URL cannot be read: {error}") from error
    if parts.scheme not in {"http", "https"}:
        raise AddressRefused("A webhook URL begins with https:// or http://.")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise AddressRefused("A webhook URL must not carry a user name or password.")
    host = parts.hostname or ""
    if not host or not (_HOST.fullmatch(host) or is_literal(host)):
        raise AddressRefused("The URL has no usable host name.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or any(character <= " " or character == "\x7f" for character in path):
        raise AddressRefused("The URL's path must be written in ASCII without spaces.")
    is_https = parts.scheme == "https"
    return Target(is_https=is_https, host=host, port=port if port is not None else (443 if is_https else 80), path=path)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the open Internet: not private, local, multicast or reserved, nor an IPv6 address
    with such an IPv4 address inside it (mapped, NAT64, 6to4, Teredo)."""
    try:
        ip: Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if any(ip in net for net in _REFUSED_V6) or ip.teredo is not None:
            return False
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
        return ip.is_global and not ip.is_multicast
    return ip.is_global and not ip.is_multicast and not any(ip in net for net in _REFUSED_V4)


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host name, in the system's order. Raises NoAnswer."""
    pool = ThreadPoolExecutor(max_workers=1)
    try:
        found = pool.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM).result(timeout=NAME_LIMIT)
    except TooSlow as error:
        raise NoAnswer(f"The name {host} was not resolved within {NAME_LIMIT:.0f} seconds.") from error
    except (OSError, UnicodeError) as error:
        raise NoAnswer(f"The name {host} cannot be resolved: {error}") from error
    finally:
        pool.shutdown(wait=False)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def checked_address(target: Target, *, resolver: Resolver = resolve) -> str:
    """The address to connect to. Raises AddressRefused when any address of the host is not public, NoAnswer when none
    is found."""
    addresses = resolver(target.host, target.port)
    if not addresses:
        raise NoAnswer(f"The name {target.host} has no address.")
    for address in addresses:
        if not is_public(address):
            raise AddressRefused(f"{target.host} is {address}, which is not a public address.")
    return addresses[0]


def body_of(payload: Any) -> bytes:
    """The body as sent: the same bytes at every attempt."""
    return json.dumps(
        payload, cls=DjangoJSONEncoder, ensure_ascii=False, separators=(",", ":"), sort_keys=True
    ).encode()


def signature(*, secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature of Standard Webhooks: `v1,` and base64 of HMAC-SHA256. ValueError for a secret that is none."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    signed = b".".join([message_id.encode(), str(timestamp).encode(), body])
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def signatures(*, endpoint: WebhookEndpoint, message_id: str, now: datetime, body: bytes) -> str:
    """The header's value: one signature, while a secret is being replaced two. Aware `now`."""
    timestamp = int(now.timestamp())
    held = [endpoint.secret]
    if endpoint.previous_secret and endpoint.previous_until is not None and now < endpoint.previous_until:
        held.append(endpoint.previous_secret)
    try:
        return " ".join(
            signature(secret=secret, message_id=message_id, timestamp=timestamp, body=body) for secret in held
        )
    except (ValueError, binascii.Error) as error:
        raise AddressRefused(f"The endpoint's secret cannot be used: {error}") from error


def post(
    *, endpoint: WebhookEndpoint, message_id: str, payload: Any, now: datetime, resolver: Resolver = resolve
) -> int:
    """Send one webhook and return the HTTP status. Raises AddressRefused, NoAnswer. Aware `now`."""
    target = target_of(endpoint.url)
    body = body_of(payload)
    signed = signatures(endpoint=endpoint, message_id=message_id, now=now, body=body)
    address = checked_address(target, resolver=resolver)
    default = 443 if target.is_https else 80
    name = f"[{target.host}]" if ":" in target.host else target.host
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {name}" + ("" if target.port == default else f":{target.port}"),
        "User-Agent: Headroom",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"webhook-id: {message_id}",
        f"webhook-timestamp: {int(now.timestamp())}",
        f"webhook-signature: {signed}",
        "Connection: close",
    ]
    return _exchange(target, address, "\r\n".join([*lines, "", ""]).encode("ascii") + body)


def _exchange(target: Target, address: str, request: bytes) -> int:
    """Connect, send, read the status line. A timer cuts the connection when the time is over, whatever it is doing."""
    held: list[socket.socket] = []
    is_late = threading.Event()

    def cut() -> None:
        is_late.set()
        for line in held:
            with contextlib.suppress(OSError):  # it is over already
                socket.socket.shutdown(line, socket.SHUT_RDWR)

    timer = threading.Timer(TIME_LIMIT, cut)
    timer.daemon = True
    timer.start()
    try:
        with socket.create_connection((address, target.port), timeout=TIME_LIMIT) as line:
            held.append(line)
            if not target.is_https:
                return _status_over(line, request)
            context = ssl.create_default_context()
            with context.wrap_socket(line, server_hostname=target.host, do_handshake_on_connect=False) as secured:
                held.append(secured)
                secured.do_handshake()
                return _status_over(secured, request)
    except OSError as error:  # TLS errors are OSErrors too
        reason = f"no answer within {TIME_LIMIT:.0f} seconds" if is_late.is_set() else str(error)
        raise NoAnswer(f"{target.host}: {reason}") from error
    finally:
        timer.cancel()


def _status_over(line: socket.socket, request: bytes) -> int:
    line.sendall(request)
    head = b""
    while b"\n" not in head:
        if len(head) > LONGEST_HEAD or not (more := line.recv(4096)):
            raise ConnectionError("the answer broke off before its status")
        head += more
    match = _STATUS.match(head)
    if match is None:
        raise ConnectionError("the answer is not HTTP")
    return int(match[1])


def is_literal(host: str) -> bool:
    """Whether a host is an address and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
