"""Columns of values as PostgreSQL's own binary arrays, for statements that take a thousand rows at a time.

psycopg converts lists one value at a time, in Python, which costs more than everything else on that path; here a column
is one join of bytes. Values may not be None.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar, Final

from psycopg import pq
from psycopg.adapt import AdaptersMap, Dumper
from psycopg.types.numeric import DecimalBinaryDumper

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_EPOCH_DAY: Final = date(2000, 1, 1).toordinal()
_HEAD: Final = struct.Struct(">iiIii")


class _Array(bytes):
    """An array in PostgreSQL's binary form; subclasses say of which type."""

    array_oid: ClassVar[int]
    oid: ClassVar[int]

    @classmethod
    def of(cls, elements: Iterable[bytes], count: int) -> Any:
        """From elements that each begin with their length."""
        return cls(_HEAD.pack(1, 0, cls.oid, count, 1) + b"".join(elements))


class UuidArray(_Array):
    array_oid, oid = 2951, 2950


class BigintArray(_Array):
    array_oid, oid = 1016, 20


class TimestampArray(_Array):
    array_oid, oid = 1185, 1184


class DateArray(_Array):
    array_oid, oid = 1182, 1082


class NumericArray(_Array):
    array_oid, oid = 1231, 1700


class TextArray(_Array):
    array_oid, oid = 1009, 25


class _ReadyMade(Dumper):
    format = pq.Format.BINARY

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


def _dumper(array: type[_Array]) -> type[Dumper]:
    return type(f"{array.__name__}Dumper", (_ReadyMade,), {"oid": array.array_oid})


_DUMPERS: Final = [
    (array, _dumper(array)) for array in (UuidArray, BigintArray, TimestampArray, DateArray, NumericArray, TextArray)
]


def register(adapters: AdaptersMap) -> None:
    """Let a connection send these arrays."""
    for array, dumper in _DUMPERS:
        adapters.register_dumper(array, dumper)


def uuids(values: Sequence[bytes]) -> UuidArray:
    """`uuid[]` from 16 bytes each."""
    return UuidArray.of([b"\x00\x00\x00\x10" + value for value in values], len(values))  # type: ignore[no-any-return]


def bigints(values: Sequence[int]) -> BigintArray:
    """`bigint[]`."""
    return BigintArray.of(map(_bigint, values), len(values))  # type: ignore[no-any-return]


def timestamps(values: Sequence[datetime], *, repeat: bool = False) -> TimestampArray:
    """`timestamptz[]` from aware datetimes; `repeat`: a few of them stand in it many times."""
    dump = _repeated_timestamp if repeat else _timestamp
    return TimestampArray.of(map(dump, values), len(values))  # type: ignore[no-any-return]


def dates(values: Sequence[date]) -> DateArray:
    """`date[]`."""
    return DateArray.of(map(_date, values), len(values))  # type: ignore[no-any-return]


def numerics(values: Sequence[Decimal]) -> NumericArray:
    """`numeric[]`."""
    return NumericArray.of(map(_numeric, values), len(values))  # type: ignore[no-any-return]


def texts(values: Sequence[str]) -> TextArray:
    """`text[]`."""
    return TextArray.of(map(_text, values), len(values))  # type: ignore[no-any-return]


def _text(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(4) + encoded


def _timestamp(value: datetime) -> bytes:
    past = value - _EPOCH
    microseconds = (past.days * 86_400 + past.seconds) * 1_000_000 + past.microseconds
    return b"\x00\x00\x00\x08" + microseconds.to_bytes(8, signed=True)


# Few different values repeat all through a batch.
_repeated_timestamp = lru_cache(maxsize=1024)(_timestamp)


@lru_cache(maxsize=4096)
def _bigint(value: int) -> bytes:
    return b"\x00\x00\x00\x08" + value.to_bytes(8, signed=True)


@lru_cache(maxsize=4096)
def _date(value: date) -> bytes:
    return b"\x00\x00\x00\x04" + (value.toordinal() - _EPOCH_DAY).to_bytes(4, signed=True)


@lru_cache(maxsize=4096)
def _numeric(value: Decimal) -> bytes:
    dumped = bytes(_DECIMAL.dump(value) or b"")
    return len(dumped).to_bytes(4) + dumped


_DECIMAL: Final = DecimalBinaryDumper(Decimal)
