"""What an event must look like, what identifies it, and what it counts (spec 2.2-2.5). Pure.

An event is judged twice: by the CloudEvents 1.0 text (`parse_event`), then by the metric it belongs to (`measure`).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

from usage import strict_json
from usage.rounding import Increment, duration_seconds, parse_quantity, stored_quantity

MAX_TEXT: Final = 1024  # characters of an attribute; ids and sources are stored as sent
RESERVED_SOURCES: Final = "headroom:"  # Headroom's own consumes and reservations

_REQUIRED: Final = ("id", "source", "type")
_KNOWN: Final = frozenset(
    {
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "data",
        "datacontenttype",
        "dataschema",
        "data_base64",
    }
)
_NAME: Final = re.compile(r"[a-z0-9]+", re.ASCII)
# What the CloudEvents type system forbids in a String: control characters, half surrogate pairs, non-characters.
_FORBIDDEN: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,30})?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_MEDIA_TYPE: Final = re.compile(r"\s*([\w!#$&^.+-]+/([\w!#$&^.+-]+|\*))\s*(;.*)?", re.ASCII | re.DOTALL)
_INT32: Final = range(-(2**31), 2**31)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why one event of a request was not taken (spec 2.3). `index` from 0; `id` and `field` None if unreadable."""

    index: int
    id: str | None
    code: str
    field: str | None
    reason: str


@dataclass(slots=True)
class ParsedEvent:
    """An event that obeys CloudEvents 1.0. `key` and `content` are 128 bits each; `time` is None when absent."""

    index: int
    key: bytes
    content: bytes
    source: str
    id: str
    type: str
    subject: str
    time: datetime | None
    data: Mapping[str, Any]


class Flaw(Exception):
    """Why an event is refused: the `code` and `field` of spec 2.3, and a reason in words."""

    def __init__(self, code: str, field: str | None, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.field = field
        self.reason = reason


def event_key(source: str, event_id: str) -> UUID:
    """What identifies an event within its account (spec 2.4): 128 bits of BLAKE2b over source and id."""
    return UUID(bytes=_key(source, event_id))


def parse_events(sent: Sequence[Any], *, is_suspect: bool = True) -> tuple[list[ParsedEvent], list[Rejection]]:
    """Judge decoded JSON values as events, in order; `is_suspect` False skips the search for doubled names."""
    parsed: list[ParsedEvent] = []
    rejected: list[Rejection] = []
    for index, value in enumerate(sent):
        try:
            parsed.append(_parse(index, value, is_suspect))
        except Flaw as flaw:
            event_id = value.get("id") if isinstance(value, dict) else None
            readable = isinstance(event_id, str) and _FORBIDDEN.search(event_id) is None and len(event_id) <= MAX_TEXT
            rejected.append(Rejection(index, event_id if readable else None, flaw.code, flaw.field, flaw.reason))
    return parsed, rejected


def parse_time(value: Any, name: str, code: str = "invalid_attribute") -> datetime:
    """An RFC 3339 timestamp as an aware datetime; digits beyond the microsecond are cut off. Raises Flaw."""
    if not isinstance(value, str) or len(value) > 64 or _TIME.fullmatch(value) is None:
        raise Flaw(code, name, f"{name} must be an RFC 3339 timestamp with an offset, such as 2026-01-31T12:00:00Z")
    if value[17:19] == "60":
        raise Flaw(code, name, f"{name} is a leap second, which no clock here can hold; send the second before it")
    try:
        moment = datetime.fromisoformat(value.upper())
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Flaw(code, name, f"{name} is no moment of the calendar (years 1 to 9999)") from None


@dataclass(frozen=True, slots=True)
class MetricRule:
    """How events of one metric are found and counted (spec 2.1, 2.2); `kind` as in `Metric.Kind`."""

    id: int
    kind: str
    unit_size: int = 1
    filters: Mapping[str, Any] = field(default_factory=dict)
    increment: Increment = field(default_factory=Increment)

    def matches(self, data: Mapping[str, Any]) -> bool:
        """Whether the event's data has the values that the metric asks for, of the same JSON type."""
        return not self.filters or all(
            name in data and strict_json.canonical(data[name]) == strict_json.canonical(strict_json.exact(wanted))
            for name, wanted in self.filters.items()
        )


def measure(event: ParsedEvent, rule: MetricRule) -> tuple[Decimal, datetime | None, str]:
    """(quantity in stored units, moment it happened or None = on arrival, attribute that names the moment).

    Raises Flaw with `invalid_data`.
    """
    data = event.data
    if rule.kind == "duration":
        started_at = parse_time(data.get("started_at"), "data.started_at", "invalid_data")
        ended_at = parse_time(data.get("ended_at"), "data.ended_at", "invalid_data")
        try:
            seconds = duration_seconds(started_at=started_at, ended_at=ended_at, increment=rule.increment)
        except ValueError as error:
            raise Flaw("invalid_data", "data.ended_at", f"data.{error}") from None
        if not seconds:
            raise Flaw("invalid_data", "data.ended_at", "the call lasted no whole second, so there is nothing to count")
        return seconds, ended_at, "data.ended_at"
    if rule.kind == "count":
        return _whole(rule.unit_size), event.time, "time"
    value = data.get("value")
    if value is None and rule.kind == "sum" and "value" not in data:
        return _whole(rule.unit_size), event.time, "time"
    if type(value) is int and 0 < value <= 10**12:
        return _whole(value * rule.unit_size), event.time, "time"
    try:
        shown = parse_quantity(value, zero_allowed=rule.kind == "level")
    except ValueError as error:
        raise Flaw("invalid_data", "data.value", f"data.value {error}") from None
    return stored_quantity(shown, unit_size=rule.unit_size), event.time, "time"


@lru_cache(maxsize=4096)
def _whole(number: int) -> Decimal:
    return Decimal(number)


def _parse(index: int, sent: Any, is_suspect: bool) -> ParsedEvent:
    if not isinstance(sent, dict):
        raise Flaw("invalid_attribute", None, "an event must be a JSON object")
    if is_suspect:
        _check_names_once(sent)
    get: Callable[[str], Any] = sent.get
    if get("specversion") != "1.0":
        raise Flaw("invalid_attribute", "specversion", "specversion must be “1.0”")
    event_id, source, type_, subject = get("id"), get("source"), get("type"), get("subject")
    try:
        text = f"{event_id}{source}{type_}{subject}"
        is_plain = (
            event_id.__class__ is source.__class__ is type_.__class__ is subject.__class__ is str
            and bool(event_id and source and type_ and subject)
            and len(text) <= MAX_TEXT
            and text.isprintable()
        )
    except (ValueError, RecursionError):  # a number or a nest of any size where text belongs
        is_plain = False
    if not is_plain:
        _check_text(sent)
    _check_source(source)
    if not sent.keys() <= _KNOWN:
        _check_extensions(sent)
    content_type, schema = get("datacontenttype"), get("dataschema")
    if content_type is not None:
        _check_content_type(content_type)
    if schema is not None:
        _check_schema(schema)
    time_sent = get("time")
    time = None if time_sent is None else parse_time(time_sent, "time")
    data = get("data")
    if "data_base64" in sent and sent["data_base64"] is not None:
        data, is_suspect = _decoded(sent)
    text = _data_text(data, is_suspect)
    return ParsedEvent(
        index,
        _key(source, event_id),
        blake2b(
            f"{subject}\x00{type_}\x00{time_sent or ''}\x00{text}".encode(), digest_size=16, usedforsecurity=False
        ).digest(),
        source,
        event_id,
        type_,
        subject,
        time,
        data if data is not None else {},
    )


def _key(source: str, event_id: str) -> bytes:
    # NUL cannot stand in either, so no two pairs read alike.
    return blake2b(f"{source}\x00{event_id}".encode(), digest_size=16, usedforsecurity=False).digest()


def _data_text(data: Any, is_suspect: bool) -> str:
    """The canonical text of the data (spec 2.4)."""
    if data is None:
        return "null"
    if not isinstance(data, dict):
        raise Flaw("invalid_data", "data", "data must be a JSON object")
    flaw: str | None = None
    try:
        text = strict_json.canonical(data)
        if is_suspect or "\\u0000" in text or text.count("{") + text.count("[") > strict_json.MAX_DEPTH:
            flaw = strict_json.first_flaw(data, "data")
        if not text.isascii():
            text.encode()
    except (UnicodeEncodeError, RecursionError):
        flaw = strict_json.first_flaw(data, "data")
    if flaw:
        raise Flaw("invalid_data", "data", flaw)
    return text


def _check_names_once(sent: dict[str, Any]) -> None:
    if isinstance(sent, strict_json.Ambiguous):
        name = sent.name if _NAME.fullmatch(sent.name) else None
        raise Flaw("invalid_attribute", name, f"the event names {name or 'an attribute'} twice")


def _check_text(sent: Mapping[str, Any]) -> None:
    """Say which of the text attributes is wrong; returns when they are only unusual."""
    for name in (*_REQUIRED, "subject"):
        value = sent.get(name)
        if value is None:
            raise Flaw("invalid_attribute", name, f"{name} is missing")
        if not isinstance(value, str) or not value:
            raise Flaw("invalid_attribute", name, f"{name} must be a non-empty string")
        if len(value) > MAX_TEXT:
            raise Flaw("invalid_attribute", name, f"{name} is longer than {MAX_TEXT} characters")
        if _FORBIDDEN.search(value):
            raise Flaw("invalid_attribute", name, f"{name} contains a character that CloudEvents forbids")


def _check_source(source: str) -> None:
    if not _is_uri_reference(source):
        raise Flaw("invalid_attribute", "source", "source must be a URI-reference, such as https://example.com/app")
    if source.startswith(RESERVED_SOURCES):
        raise Flaw("invalid_attribute", "source", "sources that begin with “headroom:” are Headroom's own")


def _check_extensions(sent: Mapping[str, Any]) -> None:
    for name, value in sent.items():
        if name in _KNOWN:
            continue
        if _NAME.fullmatch(name) is None:
            raise Flaw("invalid_attribute", None, "attribute names consist of a-z and 0-9")
        if isinstance(value, str):
            if len(value) > MAX_TEXT or _FORBIDDEN.search(value):
                raise Flaw("invalid_attribute", name, f"{name} is too long or contains a forbidden character")
        elif isinstance(value, int):  # a boolean too
            if value not in _INT32:
                raise Flaw("invalid_attribute", name, f"{name} is no 32-bit integer")
        elif value is not None:
            raise Flaw("invalid_attribute", name, f"{name} must be a string, an integer or a boolean")


def _check_content_type(value: Any) -> None:
    match = _MEDIA_TYPE.fullmatch(value) if isinstance(value, str) and len(value) <= MAX_TEXT else None
    if match is None:
        raise Flaw("invalid_attribute", "datacontenttype", "datacontenttype must be a media type")
    if not is_json(match[1]):
        raise Flaw("invalid_data", "datacontenttype", "data must be JSON")


def is_json(media_type: str) -> bool:
    """Whether a media type (without parameters) is JSON."""
    kind = media_type.strip().lower().partition("/")[2]
    return kind == "json" or kind.endswith("+json")


def _check_schema(value: Any) -> None:
    if not isinstance(value, str) or len(value) > MAX_TEXT or not _is_uri_reference(value) or not _SCHEME.match(value):
        raise Flaw("invalid_attribute", "dataschema", "dataschema must be an absolute URI")


def _decoded(sent: Mapping[str, Any]) -> tuple[Any, bool]:
    """The JSON inside `data_base64`."""
    if sent.get("data") is not None:
        raise Flaw("invalid_data", "data_base64", "an event has data or data_base64, not both")
    try:
        return strict_json.parse(binascii.a2b_base64(sent["data_base64"], strict_mode=True))
    except (binascii.Error, TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, strict_json.UnreadableJson) else "data_base64 must be Base64 text"
        raise Flaw("invalid_data", "data_base64", reason) from None


# RFC 3986, URI-reference. `_PCHAR` is what may stand in a path segment.
_PCHAR = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})"
_NO_COLON = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=@]|%[0-9A-Fa-f]{2})"
_AUTHORITY = (
    r"(?:(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})*@)?"
    r"(?:\[[0-9A-Fa-fvV:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
)
_REST = rf"(?:\?(?:{_PCHAR}|[/?])*)?(?:#(?:{_PCHAR}|[/?])*)?"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_URI_REFERENCE = re.compile(
    rf"(?:{_SCHEME.pattern}(?://{_AUTHORITY}(?:/{_PCHAR}*)*|/?(?:{_PCHAR}+(?:/{_PCHAR}*)*)?)"
    rf"|//{_AUTHORITY}(?:/{_PCHAR}*)*"
    rf"|/(?:{_PCHAR}+(?:/{_PCHAR}*)*)?"
    rf"|{_NO_COLON}+(?:/{_PCHAR}*)*"
    rf"|){_REST}"
)


@lru_cache(maxsize=4096)
def _is_uri_reference(text: str) -> bool:
    return _URI_REFERENCE.fullmatch(text) is not None
