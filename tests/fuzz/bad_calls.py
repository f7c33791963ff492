"""Requests to every other part of the API that hold something wrong."""

from __future__ import annotations

from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from tests.fuzz import garbage
from tests.fuzz.case import Case
from tests.fuzz.garbage import Maker, Pairs, Raw, dump, quoted

_WORKSPACE = "/api/v1/workspaces/atlas"
_id = (garbage.no_text, garbage.long_text, garbage.broken_text)
_text_or_null = tuple(
    lambda random, make=make: next(token for token in iter(lambda: make(random), "") if token != "null") for make in _id
)


def _no_reason(random: Random) -> str:
    return random.choice([garbage.broken_text(random), "1", "null", "[]", "{}", "true", quoted("x" * 1001)])


def _no_seconds(random: Random) -> str:
    return random.choice(["0", "-1", "86401", "1.5", "true", "null", '"300"', "[]", "1e400", "9" * 40, "1e2", "NaN"])


# (method, path, a good body, which members are wrong how)
OPERATIONS: list[tuple[str, str, dict[str, Any], dict[str, tuple[Maker, ...]]]] = [
    (
        "POST",
        f"{_WORKSPACE}/consume",
        {"metric": "ai_resolutions", "quantity": "1", "id": "c-1"},
        {"metric": (garbage.no_key, lambda random: '"seats"'), "quantity": (garbage.no_positive_quantity,), "id": _id},
    ),
    (
        "POST",
        f"{_WORKSPACE}/reservations",
        {"metric": "ai_resolutions", "quantity": 2, "id": "r-1", "expires_in": 60},
        {
            "metric": (garbage.no_key,),
            "quantity": (garbage.no_positive_quantity,),
            "id": _id,
            "expires_in": (_no_seconds,),
        },
    ),
    (
        "POST",
        f"{_WORKSPACE}/reservations/held/settle",
        {"quantity": 1},
        {"quantity": (garbage.no_quantity,)},
    ),
    (
        "POST",
        "/api/v1/events/void",
        {"source": "urn:fuzz", "id": "stored", "reason": "test"},
        {"source": _id, "id": _id, "reason": (_no_reason,)},
    ),
    (
        "POST",
        "/api/v1/events/amend",
        {"source": "urn:fuzz", "id": "stored", "reason": "test", "quantity": "2"},
        {"source": _id, "id": _id, "reason": (_no_reason,), "quantity": (garbage.no_positive_quantity,)},
    ),
    (
        "POST",
        f"{_WORKSPACE}/route",
        {"conversation_id": "c", "message_id": "m", "metric": "ai_resolutions", "event": "started", "channel": "chat"},
        {
            "conversation_id": _id,
            "message_id": _id,
            "metric": (garbage.no_key,),
            "event": (garbage.no_choice,),
            "channel": (lambda random: random.choice(['"fax"', '""', "1", "[]", '"Chat"', "true"]),),
        },
    ),
    (
        "PUT",
        f"{_WORKSPACE}/limits/ai_resolutions",
        {"enabled": True, "limit": 500, "effective": "now"},
        {"enabled": (garbage.no_bool,), "limit": (garbage.no_whole_number,), "effective": (garbage.no_choice,)},
    ),
    (
        "PUT",
        f"{_WORKSPACE}/alerts/ai_resolutions",
        {"enabled": True, "threshold": 500, "also_50_80": True},
        {"enabled": (garbage.no_bool,), "threshold": (garbage.no_threshold,), "also_50_80": (garbage.no_bool,)},
    ),
]
_OPTIONAL = {"reason", "channel", "expires_in", "effective", "also_50_80"}


def bad_body(random: Random) -> Case:
    """A body with one thing wrong."""
    method, path, good, wrong = random.choice(OPERATIONS)
    body: Any = dict(good)
    field: str | None = None
    kind = random.randrange(12)
    if kind == 0:
        field = random.choice([name for name in good if name not in _OPTIONAL])
        del body[field]
    elif kind == 1:
        field = random.choice(["moon", "Quantity", "account_id", "__proto__", "limit_", "is_superuser"])
        body[field] = random.choice([1, "x", None, {}])
    elif kind == 2:
        name = random.choice(list(good))
        body = Pairs([*good.items(), (name, good[name])])
    elif kind == 3:
        return Case(
            f"no object to {path}", path, garbage.no_object(random).encode(errors="surrogatepass"), method=method
        )
    elif kind == 4:
        text = dump(good).encode()
        at = random.randrange(1, len(text))
        broken = random.choice([text[:at], text[:at] + b"\xff" + text[at:], b"\xef\xbb\xbf" + text, b"", text + text])
        return Case(f"broken body to {path}", path, broken, method=method, statuses=(400, 422))
    elif kind == 5:
        token = garbage.nest(random) if random.random() < 0.5 else garbage.no_json(random)
        return Case(f"unreadable body to {path}", path, token.encode(), method=method)
    else:
        field = random.choice(list(wrong))
        body[field] = Raw(garbage.pick(random, *wrong[field]))
    return Case(
        what=f"{path}, wrong: {field}",
        path=path,
        body=dump(body).encode(errors="surrogatepass"),
        content_type=random.choice(["application/json", "application/json", "", "text/plain"]),
        method=method,
        field=field,
    )


_SEGMENTS = [
    "nowhere",
    "cedar",
    "ATLAS",
    "a" * 64,
    "a" * 3000,
    "..",
    "%2e%2e",
    "a%2Fb",
    "%00",
    "a%0Ab",
    "%ff",
    "é",
    "🌍",
]
_SEGMENTS += [
    "' OR 1=1",
    "-",
    "_",
    "%F0%9F%8C%8D",
    "atlas%20",
    "%20atlas",
    "atlas;x=1",
    "atlas%00",
    "\u202e",
    "+",
    "*",
    "%",
]


def bad_path(random: Random) -> Case:
    """A workspace, metric or reservation that is not there."""
    method, path, good, _ = random.choice(OPERATIONS)
    reading = ["/usage", "/notifications", "/limits/ai_resolutions", "/alerts/ai_resolutions"]
    if random.random() < 0.4:
        method, path, good = "GET", _WORKSPACE + random.choice(reading), {}
    parts = path.split("/")
    places = [at for at, part in enumerate(parts) if part in ("atlas", "ai_resolutions", "held")] or [len(parts) - 1]
    parts[random.choice(places)] = random.choice([*_SEGMENTS, f"none-{random.randrange(10**9)}"])
    # How often a slash is written does not matter here; what it leads to does.
    address = quote("/".join(parts), safe="/%;+*'")
    return Case("path", address, dump(good).encode() if good else b"", method=method, statuses=(400, 404, 405, 422))


def bad_query(random: Random) -> Case:
    """Values in the query that mean nothing."""
    which = random.randrange(3)
    if which == 0:
        name, path = "at", f"{_WORKSPACE}/usage"
        wrong = [
            garbage.no_time(random).strip('"').split("\\")[0] or "x",
            *(
                "2026-06-15T12:00:01Z",
                "2026-05-31T23:59:59Z",
                "0001-01-01T00:00:00Z",
                "9999-12-31T23:59:59Z",
                "",
                "\x00",
            ),
        ]
        value = random.choice(wrong)
    elif which == 1:
        name, path = "after", f"{_WORKSPACE}/notifications"
        value = random.choice(["x", "-1", "1.5", "9" * 40, "", "null", "٣", "1e3", " 1", "\x00", "' OR 1=1", "0x1"])
    else:
        name, path = "limit", f"{_WORKSPACE}/notifications"
        value = random.choice(["0", "-1", "1001", "9" * 40, "x", "", "1.5", "NaN", "true", "null", "\x00", "[]", "1e2"])
    return Case(f"query {name}={value!r}", f"{path}?{urlencode({name: value})}", method="GET", field=name)


def bad_key(random: Random) -> Case:
    """A request without a key that is valid."""
    method, path, good, _ = random.choice(OPERATIONS)
    header = random.choice(
        [
            "",
            "Bearer",
            "Bearer ",
            "Bearer x",
            "Basic YTpi",
            "hr_x_y",
            "bearer\thr_a_b",
            "Bearer " + "x" * 9000,
            "Bearer hr_aaaaaaaaaaaa_" + "A" * 43,
            "Bearer é",
            "Bearer \x00",
            "Bearer null",
            "Token x",
            "Bearer hr__",
            "Bearer a b",
        ]
    )
    return Case("key", path, dump(good).encode(), headers={"Authorization": header}, method=method, statuses=(401,))


_FLAGS = "/ofrep/v1/evaluate/flags"


def bad_flag_question(random: Random) -> Case:
    """OFREP without a context that names a workspace."""
    path = random.choice([_FLAGS, f"{_FLAGS}/ai-agent", f"{_FLAGS}/resolution-limit-reached"])
    context: Any = {"targetingKey": "atlas"}
    kind = random.randrange(6)
    if kind == 0:
        context["targetingKey"] = Raw(garbage.pick(random, garbage.no_key))
    elif kind == 1:
        path = random.choice([_FLAGS, f"{_FLAGS}/resolution-limit-reached"])
        context["metric"] = Raw(next(t for t in iter(lambda: garbage.no_key(random), "") if t != "null"))
    elif kind == 2:
        context = Raw(garbage.pick(random, garbage.no_object))
    elif kind == 3:
        text = random.choice(
            [b"", b"{", b"null", b"[]", b"\xff", b"{}{}", garbage.nest(random).encode(), b"1" * 70_000]
        )
        return Case("flag body", path, text, is_ofrep=True, statuses=(400,))
    elif kind == 4:
        path = f"{_FLAGS}/{random.choice(['ai-agents', 'AI-AGENT', 'x' * 500, 'é', '%00', '%ff', ' ', '*'])}"
        return Case(
            "flag name", quote(path, safe="/%"), dump({"context": context}).encode(), is_ofrep=True, statuses=(404,)
        )
    else:
        return Case("flag body", path, garbage.no_json(random).encode(), is_ofrep=True, statuses=(400,))
    body = dump({"context": context}).encode(errors="surrogatepass")
    return Case("flag context", path, body, is_ofrep=True, statuses=(400,))


def bad_call(random: Random) -> Case:
    """Any of these."""
    makers = [bad_body] * 8 + [bad_path, bad_query, bad_key, bad_flag_question, bad_flag_question]
    return random.choice(makers)(random)
