"""JSON without surprises: exact decimals, no NaN, no ambiguous objects. Pure.

Python's own parser is lenient where money cannot be: it reads 0.1 as a binary fraction, accepts NaN, and keeps the last
of two equal keys in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

MAX_DEPTH: Final = 32
_LONG: Final = 4000  # digits; a little more and Python refuses to read or write the number


class Ambiguous(dict[str, Any]):
    """An object in which a name stood twice; `name` is the first such."""

    name: str = ""


class UnreadableJson(ValueError):
    """Not JSON; the message says why, in words fit for the sender."""


def parse(body: bytes | str) -> tuple[Any, bool]:
    """(value, is_suspect). Numbers with a fraction or exponent are Decimal. `is_suspect` says that some object in it is
    Ambiguous; `first_flaw` finds which. Raises UnreadableJson."""
    suspect = False

    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal suspect
        built = dict(pairs)
        if len(built) == len(pairs):
            return built
        suspect = True
        ambiguous = Ambiguous(built)
        seen: set[str] = set()
        ambiguous.name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        return ambiguous

    try:
        text = body if isinstance(body, str) else str(body, "utf-8")
        if text.startswith("\ufeff"):
            raise UnreadableJson("The body begins with a byte order mark.")
        try:
            value = json.loads(text, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=build)
        except (ValueError, ArithmeticError) as error:
            if isinstance(error, json.JSONDecodeError | UnreadableJson):
                raise
            # A number with thousands of digits or an absurd exponent: read it, so that its event can be named.
            value = json.loads(
                text, parse_float=_huge, parse_int=_huge, parse_constant=_refuse, object_pairs_hook=build
            )
    except UnicodeDecodeError:
        raise UnreadableJson("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise UnreadableJson(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise UnreadableJson(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    return value, suspect


def first_flaw(value: Any, path: str = "", depth: int = 0) -> str | None:
    """What is wrong inside a parsed value, naming the place: a name twice, too deep, characters that no text column and
    no UTF-8 can hold. None when nothing is."""
    if depth > MAX_DEPTH:
        return f"{path or 'it'} is nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, str):
        return text_flaw(value, path)
    if isinstance(value, Ambiguous):
        return f"“{_join(path, value.name)}” stands twice"
    for name, child in _children(value):
        flaw = text_flaw(name, f"a name in {path or 'it'}") if isinstance(value, dict) else None
        flaw = flaw or first_flaw(child, _join(path, name), depth + 1)
        if flaw:
            return flaw
    return None


def text_flaw(text: str, name: str) -> str | None:
    """Why a text cannot be stored: NUL, or half of a surrogate pair. None when it can."""
    if "\x00" in text:
        return f"{name} contains a NUL character"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return f"{name} contains half a surrogate pair"
    return None


def canonical(value: Any) -> str:
    """One text for all notations of the same value: names sorted, numbers without padding (1.0 = 1). The value must
    have no flaw; a deeper one than Python can walk raises RecursionError."""
    return _encode(value)


def exact(value: Any) -> Any:
    """A value out of the database's JSON, whose fractions Python reads as binary ones, as `parse` reads it."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {name: exact(child) for name, child in value.items()}
    return [exact(child) for child in value] if isinstance(value, list) else value


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield str(index), child


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _refuse(name: str) -> Any:
    raise UnreadableJson(f"The body is not JSON: {name} is no number.")


def _huge(text: str) -> Any:
    if len(text) < _LONG and text.lstrip("-").isdigit():
        return int(text)
    try:
        number = Decimal(text)
    except ArithmeticError:
        return Decimal("Infinity")
    return number


def _number(value: Any) -> Any:
    # No text of a sender can hold NUL, so this cannot be confused with an array that was sent.
    digits = value.as_tuple()
    if not isinstance(digits.exponent, int):
        return ["\x00", "huge"]
    figures = "".join(map(str, digits.digits)).lstrip("0")
    short = figures.rstrip("0")
    exponent = digits.exponent + len(figures) - len(short)
    if not short:
        return 0
    sign = "-" if digits.sign else ""
    if 0 <= exponent <= 40 and len(short) <= 40:
        return int(sign + short) * 10**exponent
    return ["\x00", f"{sign}{short}e{exponent}"]


_encode = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False, default=_number
).encode
