"""Values that no field may take, as raw JSON text, so that also what no parser should read can be sent.

Each pool belongs to a kind of field and holds only what spec 2.2-2.6, 4.8 and 10.5 refuse there. `VALUES` makes them
endless: a seeded choice with lengths, digits and characters of its own each time.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

Token = str  # raw JSON text
Maker = Callable[[Random], Token]

_HOSTILE = [
    "",
    " ",
    "../../etc/passwd",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "%00",
    "\u202egnp.exe",
    "🌍" * 3,
    "e\u0301",
    "\ufeffatlas",
    "\u2028",
    "null",
    "NaN",
    "${7*7}",
    "{{7*7}}",
    "atlas\n",
    "ATLAS",
    "atlas/../birch",
    "١٢",
]
# What cannot stand in a text at all: half surrogate pairs, NUL, other control characters.
_BROKEN_TEXTS = [r'"\ud800"', r'"a\udfff"', r'"\udc00\ud800"', r'"\u0000"', r'"a\u0000b"', r'"\ud800\u0041"']


def quoted(text: str) -> Token:
    """`text` as a JSON string."""
    return json.dumps(text)


def hostile_text(random: Random) -> Token:
    """A string that looks like trouble; whether a field may hold it depends on the field."""
    return quoted(random.choice(_HOSTILE) + random.choice(["", "", str(random.randrange(10**6))]))


def broken_text(random: Random) -> Token:
    """A string that no UTF-8 text and no text column can hold."""
    return random.choice(_BROKEN_TEXTS)


def long_text(random: Random) -> Token:
    """A string longer than any field takes."""
    return quoted(random.choice(["x", "é", "🌍", "0", "\\"]) * random.choice([1025, 1026, 2048, 20_000]))


def no_text(random: Random) -> Token:
    """Anything that is no string, or an empty one."""
    return random.choice(
        ["null", "true", "false", "0", "-1", "1.5", "1e400", "[]", "{}", '["x"]', '{"id":"x"}', '""', number(random)]
    )


def number(random: Random) -> Token:
    """A number as JSON writes it, of any size."""
    digits = "".join(random.choice("0123456789") for _ in range(random.choice([1, 5, 19, 40, 400, 5000])))
    plain = digits.lstrip("0") or "0"
    tail = random.choice(["", "", "." + digits[:40], "e5", "E-7", "e400", "e999999999", "e-999999999"])
    return random.choice(["", "-"]) + plain + tail


def no_json(random: Random) -> Token:
    """Not a JSON value at all."""
    return random.choice(["NaN", "Infinity", "-Infinity", "nan", "undefined", "+1", "01", ".5", "5.", "0x10", "'x'"])


def nest(random: Random) -> Token:
    """Deeper than any body may be."""
    depth = random.choice([33, 34, 64, 500, 5000])
    opening, closing = random.choice([("[", "]"), ('{"a":', "}")])
    return opening * depth + "1" + closing * depth


def no_quantity(random: Random) -> Token:
    """Not a number > 0, at most 10^12, with at most 6 decimals; as number or string."""
    wrong = random.choice(
        [
            "-1",
            "-0.5",
            "0.0000001",
            "1.1234567",
            "1000000000001",
            "1e13",
            "1e400",
            "1e-400",
            "-1e400",
            "1e999999999",
            "1e-999999999",
            "9" * 40,
            "0." + "0" * 39 + "1",
            "9" * random.randrange(14, 5000),
            f"{random.random():.17f}9e-1",
        ]
    )
    as_text = quoted(
        random.choice(
            [
                wrong,
                "",
                " 1",
                "1 ",
                "1,5",
                "1_000",
                "+1",
                ".5",
                "5.",
                "0x10",
                "NaN",
                "Infinity",
                "-0.1",
                "one",
                "١٢",
                "1e1000",
                "1.5.2",
                "0b1",
                "1" * 65,
                "½",
                "1\xa0000",
            ]
        )
    )
    other = random.choice(["true", "false", "null", "[]", "{}", "[1]", '{"value":1}', '["1"]'])
    return random.choice([wrong, wrong, as_text, as_text, other])


def no_positive_quantity(random: Random) -> Token:
    """As `no_quantity`, also 0."""
    return random.choice([no_quantity(random), no_quantity(random), "0", "-0", "0.0", "0e5", '"0"', '"0.000000"'])


def no_whole_number(random: Random) -> Token:
    """Not a whole number >= 0 up to 10^12."""
    return random.choice([no_quantity(random), "0.5", "1.000001", '"2.5"', '"1e-1"', "1e123"])


def no_threshold(random: Random) -> Token:
    """Not a whole number >= 1."""
    return random.choice([no_whole_number(random), "0", '"0"', "-0"])


def no_bool(random: Random) -> Token:
    """Neither true nor false."""
    return random.choice(
        ["null", "0", "1", "-1", "1.0", '"true"', '"false"', '"on"', '""', "[]", "[true]", "{}", number(random)]
    )


def no_object(random: Random) -> Token:
    """Anything that is no object."""
    return random.choice(["[]", "[{}]", '"x"', "1", "1.5", "true", "false", '""', number(random), hostile_text(random)])


def no_time(random: Random) -> Token:
    """Not an RFC 3339 timestamp with an offset, of the years 1 to 9999."""
    day = f"{random.randrange(1, 10_000):04}-{random.randrange(1, 13):02}-{random.randrange(1, 29):02}"
    clock = f"{random.randrange(24):02}:{random.randrange(60):02}:{random.randrange(60):02}"
    text = random.choice(
        [
            f"{day}T{clock}",
            f"{day} {clock}",
            f"{day}",
            clock,
            f"{day}T{clock}z+00:00",
            f"{day}T{clock}+0000",
            f"{day}T{clock}+24:00",
            f"{day}T{clock}+00:60",
            f"{day}T{clock}-99:99",
            f"{day}T{clock}+1:00",
            "",
            f"{day}T24:00:01Z",
            f"{day}T24:00:00Z",
            f"{day}T{clock[:5]}:60Z",
            f"{day}T{clock[:5]}Z",
            f"{day}T{clock},5Z",
            f"{day}T{clock}.Z",
            f"0000-01-01T{clock}Z",
            f"10000-01-01T{clock}Z",
            f"-2026-01-01T{clock}Z",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-10T00:00:00Z",
            "2025-02-29T00:00:00Z",
            "0001-01-01T00:00:00+23:59",
            "9999-12-31T23:59:59-23:59",
            "1767225600",
            "1767225600000",
            "2026-W01-1T00:00:00Z",
            "2026-001T00:00:00Z",
            f"{day}T{clock}." + "1" * 31 + "Z",
            f" {day}T{clock}Z",
            f"{day}T{clock}Z\n",
            f"{day}T{clock}UTC",
            "now",
            f"٢٠٢٦-01-01T{clock}Z",
            f"{day}T{clock}[Europe/Dublin]",
            f"{day}T{clock}Z" + "0" * 60,
        ]
    )
    return random.choice([quoted(text)] * 6 + ["1767225600", "1767225600.5", "true", "[]", "{}", "1e400", "false"])


def no_key(random: Random) -> Token:
    """Not the key of anything there is."""
    return random.choice(
        [quoted(random.choice(["moons", "nowhere", "x" * 64, "-a", "_a", "a b", "ä", "Atlas", "atlas ", "cedar9"]))] * 3
        + [hostile_text(random), long_text(random), no_text(random), quoted(f"none-{random.randrange(10**9)}")]
    )


def no_choice(random: Random) -> Token:
    """Not one of the words of a list."""
    return random.choice(
        [quoted(random.choice(["ended", "Now", "NEXT_PERIOD", "fax", "both", "started "])), no_key(random)]
    )


def pick(random: Random, *makers: Maker) -> Token:
    """What one of the makers makes."""
    return random.choice(makers)(random)


def dump(value: Any) -> str:
    """JSON text of `value`, in which every `Raw` stands as it is, and a list of pairs in a `Pairs` may repeat names."""
    match value:
        case Raw():
            return value.text
        case Pairs():
            return "{" + ",".join(f"{quoted(name)}:{dump(child)}" for name, child in value.pairs) + "}"
        case dict():
            return "{" + ",".join(f"{quoted(name)}:{dump(child)}" for name, child in value.items()) + "}"
        case list():
            return "[" + ",".join(dump(child) for child in value) + "]"
        case _:
            return json.dumps(value)


class Raw:
    """A piece of raw JSON inside a value."""

    def __init__(self, text: Token) -> None:
        self.text = text


class Pairs:
    """An object whose names may stand twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs
