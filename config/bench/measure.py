"""Samples, medians and the rows of the table. CPU comes from /proc; where there is none, ratios are of time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

_TICK: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """One round: `units` done in `seconds`, for which `cpu` seconds of server processes were used (None = unknown);
    `sent_with` are the CPU seconds of who sent the requests."""

    units: int
    seconds: float
    cpu: float | None = None
    sent_with: float = 0

    @property
    def rate(self) -> float:
        return self.units / self.seconds

    @property
    def each(self) -> float:
        """Seconds of one unit."""
        return self.seconds / self.units

    @property
    def cost(self) -> float:
        """CPU seconds of one unit; where CPU cannot be seen, seconds."""
        return self.each if self.cpu is None else self.cpu / self.units


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table. `ratio` = value / floor; `goal` in words; `ok` None where nothing is demanded."""

    name: str
    unit: str
    value: float
    floor: float | None
    ratio: float | None
    goal: str
    ok: bool | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def row(
    name: str,
    unit: str,
    value: float,
    *,
    floor: float | None = None,
    most: float | None = None,
    least: float | None = None,
    most_ratio: float | None = None,
    least_ratio: float | None = None,
) -> Row:
    """A row with its verdict: `most` and `least` bound the value, `most_ratio` and `least_ratio` value / floor."""
    ratio = None if floor is None else value / floor
    limits: list[tuple[str, float | None, float | None, str]] = [
        ("≤", most, value, ""),
        ("≥", least, value, ""),
        ("≤", most_ratio, ratio, " × floor"),
        ("≥", least_ratio, ratio, " × floor"),
    ]
    words, kept = [], []
    for sign, bound, found, of in limits:
        if bound is None or found is None:
            continue
        words.append(f"{sign} {bound:g}{of}")
        kept.append(found <= bound if sign == "≤" else found >= bound)
    return Row(name, unit, value, floor, ratio, ", ".join(words), all(kept) if kept else None)


class Watch:
    """Takes the time and the CPU of processes: `with Watch(pids) as watch: …`, then `watch.sample(units)`."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._pids = tuple(pids)

    def __enter__(self) -> Watch:
        self._cpu = cpu_of(self._pids)
        self._began = time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self._seconds = time.perf_counter() - self._began
        after = cpu_of(self._pids)
        self._used = None if after is None or self._cpu is None else after - self._cpu

    def sample(self, units: int, *, sent_with: float = 0) -> Sample:
        return Sample(units, self._seconds, self._used, sent_with)


def alternate(rounds: int, *sides: Callable[[int], Sample]) -> list[list[Sample]]:
    """The samples of each side, taken in turns: A B A B. A side is called with the number of the round."""
    taken: list[list[Sample]] = [[] for _ in sides]
    for number in range(rounds):
        for samples, side in zip(taken, sides, strict=True):
            samples.append(side(number))
    return taken


def typical(samples: Iterable[Sample], of: Callable[[Sample], float]) -> float:
    """The median over the rounds."""
    return median(of(sample) for sample in samples)


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cpu_of(pids: Iterable[int]) -> float | None:
    """CPU seconds that these processes have used so far, all threads; None where the kernel does not tell."""
    found = [seconds for pid in pids if (seconds := _cpu(pid)) is not None]
    return sum(found) if found else None


def memory_of(pids: Iterable[int]) -> int | None:
    """Bytes of memory that these processes hold, None where the kernel does not tell."""
    total = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total or None


def processes_of(session: int) -> list[int]:
    """The processes of a session, as the kernel lists them."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            if int(entry.read_text().rpartition(")")[2].split()[3]) == session:
                found.append(int(entry.parent.name))
    return found


def _cpu(pid: int) -> float | None:
    # By the scheduler's own clock, in nanoseconds; ticks are 10 ms long.
    with suppress(OSError, ValueError, IndexError):
        threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
        if nanoseconds := sum(int(thread.read_text().split()[0]) for thread in threads):
            return nanoseconds / 1e9
    with suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK
    return None
