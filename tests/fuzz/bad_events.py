"""Requests to ingest that hold something wrong: which events of them must be refused, and for which attribute."""

from __future__ import annotations

import gzip
import itertools
from random import Random
from typing import Any

from tests.fuzz import garbage
from tests.fuzz.case import Case
from tests.fuzz.garbage import Maker, Pairs, Raw, dump, quoted

PATH = "/api/v1/events"
BATCH = "application/cloudevents-batch+json"
STRUCTURED = "application/cloudevents+json"
STORED = {"specversion": "1.0", "id": "stored", "source": "urn:fuzz", "type": "sms.message", "subject": "atlas"}

_numbers = itertools.count(1)
_TIMES = ["2026-06-15T11:59:00Z", "2026-06-01T00:00:00Z", "2026-06-02T08:00:00.123456+02:00", None]


def good_event(random: Random) -> dict[str, Any]:
    """An event that counts."""
    type_ = random.choice(["ai_resolution.recorded", "sms.message", "call.ended", "conversation.created"])
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"good-{next(_numbers)}",
        "source": "urn:fuzz",
        "type": type_,
        "subject": random.choice(["atlas", "birch"]),
    }
    time = random.choice(_TIMES)
    if time is not None:
        event["time"] = time
    if type_ == "call.ended":
        event["data"] = {"started_at": "2026-06-10T10:00:00Z", "ended_at": "2026-06-10T10:02:30Z"}
    elif type_ == "sms.message":
        event["data"] = {"value": random.choice([1, "2.5", 0.000001])}
    return event


# (attribute or member of data, its type of event, what must be refused there)
_WRONG: list[tuple[str, str, tuple[Maker, ...]]] = [
    ("specversion", "", (garbage.no_text, garbage.no_choice, lambda random: random.choice(['"0.3"', '"1"', "1.0"]))),
    ("id", "", (garbage.no_text, garbage.long_text, garbage.broken_text, lambda random: r'"a\u0007b"')),
    ("source", "", (garbage.no_text, garbage.long_text, garbage.broken_text)),
    ("source", "", (lambda random: quoted(random.choice(["a b", "<x>", "%zz", "headroom:consume", "hé", "a:b:\\"])),)),
    ("type", "", (garbage.no_text, garbage.long_text, garbage.broken_text)),
    ("type", "", (lambda random: quoted(random.choice(["moon.rose", "SMS.MESSAGE", "sms.message "])),)),
    ("subject", "", (garbage.no_key,)),
    ("time", "", (garbage.no_time,)),
    ("time", "", (lambda random: quoted(random.choice(["2026-06-15T12:05:01Z", "9999-12-31T23:59:59Z"])),)),
    ("time", "", (lambda random: quoted(random.choice(["2026-05-31T23:59:59.999999Z", "0001-01-01T00:00:00Z"])),)),
    ("data", "", (garbage.no_object,)),
    ("data", "", (lambda random: '{"a":' + garbage.nest(random) + "}", lambda random: r'{"\ud800":1}')),
    ("data", "", (lambda random: '{"value":' + garbage.broken_text(random) + "}",)),
    ("data.value", "sms.message", (garbage.no_positive_quantity, garbage.long_text)),
    ("data.started_at", "call.ended", (garbage.no_time,)),
    ("data.ended_at", "call.ended", (garbage.no_time, lambda random: quoted("2026-06-10T09:59:59Z"))),
    ("data.ended_at", "call.ended", (lambda random: quoted("2026-06-15T12:30:00Z"),)),
    ("moonphase", "", (lambda random: random.choice(["1.5", "[]", "{}", str(2**31), "-1e9"]), garbage.long_text)),
    ("datacontenttype", "", (lambda random: quoted(random.choice(["text/plain", "json", "", "a b/c"])),)),
    ("dataschema", "", (lambda random: quoted(random.choice(["relative", "", "a b", "://x"])), garbage.long_text)),
    ("data_base64", "", (lambda random: quoted(random.choice(["?", "e30", "bnVsbA", "e30=="])),)),
]
_NAMELESS = ["Upper", "under_score", "", "with space", "é", "a-b", "a\u0000"]


def bad_event(random: Random) -> tuple[Any, str | None]:
    """(an event with one thing wrong, the field that must be named)."""
    event = good_event(random)
    kind = random.randrange(14)
    if kind == 0:
        return Raw(random.choice(["null", "true", "1", '"x"', "[]", "[[]]", "1e400", garbage.number(random)])), None
    if kind == 1:
        event[random.choice(_NAMELESS)] = "x"
        return event, None
    if kind == 2:
        missing = random.choice(["specversion", "id", "source", "type", "subject"])
        del event[missing]
        return event, missing
    if kind == 3:
        name = random.choice([name for name in event if name != "data"])
        return Pairs([*event.items(), (name, random.choice([event[name], "x", Raw("1")]))]), name
    if kind == 4:
        event["data"] = Pairs([("value", 1), ("value", random.choice([1, 2, None]))])
        return event, "data"
    if kind == 5:
        other = {"data": {"value": random.randrange(2, 10**6)}, "type": "ai_resolution.recorded", "subject": "birch"}
        changed = random.choice(list(other))
        return STORED | {changed: other[changed]}, "id"
    field, type_, makers = random.choice(_WRONG)
    wrong = Raw(garbage.pick(random, *makers))
    if type_:
        event["type"] = type_
        event["data"] = {"started_at": "2026-06-10T10:00:00Z", "ended_at": "2026-06-10T10:02:30Z", "value": 1}
    elif field == "time" and event["type"] == "call.ended":
        event["type"] = "sms.message"  # a call happened when it ended, whatever its `time` says
        del event["data"]
    elif field == "data_base64":
        event.pop("data", None)
        event["type"] = "sms.message"
    name, _, member = field.partition(".")
    if member:
        event[name][member] = wrong
    else:
        event[name] = wrong
    return event, field


def bad_batch(random: Random) -> Case:
    """Events in a request: some wrong, the others good, which must be kept."""
    events: list[Any] = []
    rejected: dict[int, str | None] = {}
    count = random.choice([1, 1, 2, 3, 5])
    wrong = set(random.sample(range(count), random.randint(1, count)))
    for index in range(count):
        if index in wrong:
            event, field = bad_event(random)
            rejected[index] = field
        else:
            event = good_event(random)
        events.append(event)
    is_single = count == 1 and not isinstance(events[0], Raw) and random.random() < 0.5
    return Case(
        what=f"batch of {count}, wrong: {rejected}",
        path=PATH,
        body=dump(events[0] if is_single else events).encode(errors="surrogatepass"),
        content_type=random.choice([STRUCTURED if is_single else BATCH, "application/json", ""]),
        rejected=rejected,
        accepted=count - len(rejected),
    )


_HEADERS: list[tuple[str, tuple[Maker, ...]]] = [
    (
        "id",
        (
            lambda random: random.choice(
                ["", "%C0%80", "%ED%A0%80", "%80", "%F5%80%80%80", "%zz", "%", "%00", "%e0%9f"]
            ),
        ),
    ),
    ("id", (lambda random: "x" * 1025, lambda random: "é", lambda random: "%c1%81", lambda random: "%0A")),
    (
        "source",
        (lambda random: random.choice(["", "a b", "%25zz", "headroom:consume", "%c0%af", "%FF", '"a b"', "<>"]),),
    ),
    ("type", (lambda random: random.choice(["", "moon.rose", "%E0%80%80", "sms.message%00", "\u00ff"]),)),
    ("subject", (lambda random: random.choice(["", "nowhere", "cedar", "ATLAS", "%41tlas", "at%20las"]),)),
    (
        "time",
        (
            lambda random: random.choice(
                ["", "now", "2026-06-15T12:00:00", "2026-06-15T11:59:60Z", "0000-01-01T00:00:00Z"]
            ),
        ),
    ),
    ("specversion", (lambda random: random.choice(["", "0.3", "1", "2.0", "%31.1"]),)),
    ("data", (lambda random: "e30=",)),
    ("datacontenttype", (lambda random: "application/json",)),
    ("moonphase", (lambda random: "%80", lambda random: "x" * 1025)),
]


def bad_binary(random: Random) -> Case:
    """An event in headers, one of them wrong."""
    event = good_event(random) | {"type": "ai_resolution.recorded"}
    data = event.pop("data", None)
    headers = {f"ce-{name}": str(value) for name, value in event.items()}
    field, makers = random.choice(_HEADERS)
    if field in headers and random.random() < 0.1:
        del headers[f"ce-{field}"]
    else:
        headers[f"ce-{field}"] = garbage.pick(random, *makers)
    return Case(
        what=f"binary, wrong: {field}",
        path=PATH,
        body=b"" if data is None else dump(data).encode(),
        content_type="" if data is None else "application/json",
        headers=headers,
        rejected={0: field},
    )


def bad_envelope(random: Random) -> Case:
    """A request that cannot be read as a whole."""
    body = dump([good_event(random) for _ in range(random.choice([1, 2]))]).encode()
    content_type, headers = random.choice([BATCH, "application/json", ""]), {}
    match random.randrange(9):
        case 0:
            body = body[: random.randrange(len(body))]
        case 1:
            at = random.randrange(1, len(body))
            body = body[:at] + random.choice([b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\x00", b"\xf8"]) + body[at:]
        case 2:
            body = body.decode().encode(random.choice(["utf-16", "utf-32", "utf-16-be", "utf-8-sig"]))
        case 3:
            body = random.choice(
                [b"", b"[]", b"null", b"7", b'"x"', b"\x00", b"{", b"[" * 5000, b"]", b"{}{}", b"\xff" * 99]
            )
            content_type = BATCH
        case 4:
            body = body.replace(b'"1.0"', garbage.no_json(random).encode())
        case 5:
            content_type = random.choice(
                [
                    "text/plain",
                    "text/html; charset=utf-8",
                    "application/xml",
                    "application/cloudevents+xml",
                    "json",
                    "/",
                    "application/cloudevents",
                    "multipart/form-data; boundary=x",
                    "application/x-www-form-urlencoded",
                    "application/json; charset=utf-16",
                    "application/json; charset=latin-1",
                    "é",
                    "application/" + "x" * 999,
                ]
            )
        case 6:
            packed = gzip.compress(body)
            wrong = [packed[:-9], packed[: len(packed) // 2], b"\x1f\x8b" + body, body, packed + b"more", packed[:9]]
            body, headers = random.choice(wrong), {"Content-Encoding": "gzip"}
        case 7:
            headers = {"Content-Encoding": random.choice(["br", "deflate", "zstd", "gzip, gzip", "x", "gzip;q=1"])}
        case _:
            content_type, headers = random.choice([BATCH, STRUCTURED]), {"ce-id": "x"}
    return Case(what="envelope", path=PATH, body=body, content_type=content_type, headers=headers)


def too_many(random: Random) -> Case:
    """More events than a batch may have."""
    events = ",".join([dump(good_event(random))] * (1001 + random.randrange(20)))
    return Case(what="too many", path=PATH, body=f"[{events}]".encode(), content_type=BATCH, statuses=(413,))


def too_large(random: Random) -> Case:
    """More bytes than a request may have, as they are or once unpacked."""
    body = dump([good_event(random)]).encode() + b" " * 10 * 1024 * 1024
    if random.random() < 0.7:
        return Case("bomb", PATH, gzip.compress(body, 1), BATCH, {"Content-Encoding": "gzip"}, statuses=(413,))
    return Case("too large", PATH, body, BATCH, statuses=(413,))


def bad_ingest(random: Random) -> Case:
    """Any of these; the costly ones seldom."""
    kind = random.random()
    if kind < 0.002:
        return random.choice([too_many, too_large])(random)
    if kind < 0.25:
        return bad_envelope(random)
    return bad_binary(random) if kind < 0.4 else bad_batch(random)
