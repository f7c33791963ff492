"""CSV that a spreadsheet cannot mistake for a program, written a line at a time (spec 2.12). Pure.

A text that a spreadsheet would take for a formula gets an apostrophe before it. Reading takes that apostrophe off
again, so that what was exported and imported is the same text. Numbers, dates and blanks are ours and stay as they are.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from io import StringIO
from typing import Any, Final

from usage.periods import plain_instant
from usage.rounding import plain_quantity

# Also behind apostrophes, so that taking one off never makes a formula of a text that was written with it. The wide
# forms are read as formulas by East Asian versions.
_FORMULA: Final = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")


def cell(value: Any) -> str:
    """One value as text: decimals without exponent, instants in UTC, texts made harmless; None is blank."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Decimal():
            return plain_quantity(value)
        case int():
            return str(value)
        case datetime():
            return plain_instant(value)
        case date():
            return value.isoformat()
    text = str(value)
    return f"'{text}" if _FORMULA.match(text) else text


def text_of(value: str) -> str:
    """The text that `cell` was given."""
    return value[1:] if value.startswith("'") and _FORMULA.match(value) else value


def csv_lines(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The lines of a file, for a streaming answer: memory does not grow with their number."""
    buffer = StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    yield _taken(buffer)
    for values in rows:
        writer.writerow([cell(value) for value in values])
        yield _taken(buffer)


def _taken(buffer: StringIO) -> str:
    line = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return line
