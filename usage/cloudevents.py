"""CloudEvents 1.0 over HTTP: structured, batched and binary requests become a list of decoded events (spec 2.3). Pure.

What is wrong with the request as a whole raises `Unreadable`; what is wrong with one event is found later, by
`usage.events`, except for headers of a binary request, which are decoded here.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from usage import strict_json
from usage.events import Rejection, is_json

MAX_BODY: Final = 10 * 1024 * 1024  # bytes, after decompression
MAX_EVENTS: Final = 1000

_STRUCTURED: Final = "application/cloudevents+json"
_BATCH: Final = "application/cloudevents-batch+json"
_PREFIX: Final = "application/cloudevents"
_UTF8: Final = frozenset({"utf-8", "utf8", "us-ascii"})
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PERCENT: Final = re.compile(rb"%(?:([0-9A-Fa-f]{2})|)")


class Unreadable(Exception):
    """The request as a whole cannot be read: HTTP status, code and reason."""

    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Request:
    """The events of a request as sent; `is_suspect`: some object names something twice. `rejected` holds a binary
    request's event whose headers could not be decoded."""

    sent: list[Any]
    is_suspect: bool
    rejected: list[Rejection] = field(default_factory=list)


def read_request(*, content_type: str, content_encoding: str, attributes: Mapping[str, str], body: bytes) -> Request:
    """Read a request. `attributes` are its `ce-` headers without that prefix, in lower case, as they came (Latin-1).

    Without a content type the body is JSON. Plain JSON without `ce-` headers is read by its shape: an object is one
    structured event, an array a batch. Raises Unreadable with 400, 413 or 415.
    """
    media_type, charset = _content_type(content_type)
    body = _decompressed(body, content_encoding)
    is_structured = media_type.startswith(_PREFIX)
    if is_structured and media_type not in (_STRUCTURED, _BATCH):
        raise Unreadable(415, "unsupported_media_type", f"Send events as {_STRUCTURED}, {_BATCH}, or in binary mode.")
    if is_structured and attributes:
        raise Unreadable(400, "mixed_modes", "The request is structured and binary at once: leave out the ce- headers.")
    if attributes:
        return _binary(media_type, charset, attributes, body)
    if not is_structured and media_type and not is_json(media_type):
        raise Unreadable(415, "unsupported_media_type", f"Send events as {_STRUCTURED}, {_BATCH}, or in binary mode.")
    value, is_suspect = _parse(body, charset)
    if isinstance(value, list) and media_type != _STRUCTURED:
        if not value:
            raise Unreadable(400, "no_events", "The batch is empty.")
        if len(value) > MAX_EVENTS:
            raise Unreadable(413, "too_many_events", f"A batch has at most {MAX_EVENTS} events, not {len(value)}.")
        return Request(value, is_suspect)
    if isinstance(value, dict) and media_type != _BATCH:
        return Request([value], is_suspect)
    wanted = "array of events" if media_type == _BATCH else "object"
    raise Unreadable(400, "bad_request", f"The body must be a JSON {wanted}.")


def _content_type(header: str) -> tuple[str, str]:
    media_type, _, parameters = header.partition(";")
    charset = "utf-8"
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
    return media_type.strip().lower(), charset


def _decompressed(body: bytes, encoding: str) -> bytes:
    match encoding.strip().lower():
        case "" | "identity":
            plain = body
        case "gzip" | "x-gzip":
            plain = _gunzip(body)
        case _:
            raise Unreadable(415, "unsupported_encoding", "The body may be compressed with gzip only.")
    if len(plain) > MAX_BODY:
        raise Unreadable(413, "too_large", f"A request has at most {MAX_BODY} bytes.")
    return plain


def _gunzip(body: bytes) -> bytes:
    """Never holds more than the limit, whatever the body claims to contain."""
    parts: list[bytes] = []
    left = MAX_BODY + 1
    while body and left > 0:
        stream = zlib.decompressobj(wbits=31)
        try:
            part = stream.decompress(body, left)
        except zlib.error:
            raise Unreadable(400, "bad_request", "The body is not gzip.") from None
        parts.append(part)
        left -= len(part)
        if not stream.eof and left > 0:
            raise Unreadable(400, "bad_request", "The gzip body breaks off.")
        body = stream.unused_data
    return b"".join(parts)


def _parse(body: bytes, charset: str) -> tuple[Any, bool]:
    if charset not in _UTF8:
        raise Unreadable(415, "unsupported_charset", "JSON must be sent as UTF-8.")
    if not body:
        raise Unreadable(400, "bad_request", "The body is empty.")
    try:
        return strict_json.parse(body)
    except strict_json.UnreadableJson as error:
        raise Unreadable(400, "bad_request", str(error)) from None


def _binary(media_type: str, charset: str, attributes: Mapping[str, str], body: bytes) -> Request:
    sent: dict[str, Any] = {}
    for name, raw in attributes.items():
        try:
            if name in ("data", "datacontenttype"):
                raise ValueError("belongs into the body and its Content-Type, not into a ce- header")
            sent[name] = _header_text(raw)
        except ValueError as error:
            event_id = sent.get("id")
            return Request([], False, [Rejection(0, event_id, "invalid_attribute", name, f"ce-{name} {error}")])
    is_suspect = False
    if media_type:
        sent["datacontenttype"] = media_type
    if body and (not media_type or is_json(media_type)):
        sent["data"], is_suspect = _parse(body, charset)
    return Request([sent], is_suspect)


def _header_text(raw: str) -> str:
    """A header's value as text: quotes removed, percent-encoding undone, strict UTF-8 (HTTP binding 3.1.3.2).

    Raises ValueError, also for overlong and surrogate encodings.
    """
    value = raw.strip(" \t")
    quoted = _QUOTED.fullmatch(value)
    if quoted:
        value = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)
    if not value.isascii():
        raise ValueError("must percent-encode characters beyond ASCII")

    def decode(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            raise ValueError("has a % that begins no percent-encoding")
        return bytes.fromhex(match[1].decode())

    try:
        return _PERCENT.sub(decode, value.encode()).decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 when its percent-encoding is undone") from None
