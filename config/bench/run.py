"""Which benchmarks there are, in the order in which they run, and their table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from config.bench import alerts, answers, evaluation, ingest, invoices, page_times, pages
from config.bench.filling import fill
from config.bench.ground import Ground, Sizes, own_database, query
from config.bench.measure import Row
from config.demo.load import make_demo
from usage.clocks import system_clock

Say = Callable[[str], None]

Benchmark = Callable[[Ground], Iterator[Row]]

OF_EVENTS: Final[Mapping[str, Benchmark]] = {
    "pages": pages.usage_page,
    "ingest": ingest.batches,
    "single": ingest.single,
    "consume": answers.consume,
    "decisions": answers.decisions,
    "evaluation": evaluation.sweeps,
    "alerts": alerts.lag,
    "closing": invoices.closing,
    "pdfs": invoices.pdfs,
}
OF_DEMO: Final[Mapping[str, Benchmark]] = {"page_times": page_times.page_times}
BENCHMARKS: Final[Mapping[str, Benchmark]] = {**OF_EVENTS, **OF_DEMO}


def measured(*, names: Iterable[str], sizes: Sizes, say: Say) -> Iterator[Row]:
    """The rows of the benchmarks of these names, on databases of their own that are gone afterwards."""
    grounds = (
        (OF_EVENTS, fill, f"Making {sizes.events:,} events of {sizes.accounts:,} accounts …"),
        (OF_DEMO, _demo, "Making the demo …"),
    )
    for benchmarks, prepare, what in grounds:
        chosen = {name: benchmark for name, benchmark in benchmarks.items() if name in names}
        if not chosen:
            continue
        with own_database(sizes, system_clock()) as ground:
            say(what)
            prepare(ground)
            say(_described())
            for name, benchmark in chosen.items():
                say(f"{name} …")
                yield from benchmark(ground)


def _demo(ground: Ground) -> None:
    make_demo(now=ground.now)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [("", "value", "", "floor", "ratio", "goal", "")]
    for row in rows:
        floor, ratio = ("" if each is None else _short(each) for each in (row.floor, row.ratio))
        verdict = {True: "ok", False: "MISSED", None: ""}[row.ok]
        lines.append((row.name, _short(row.value), row.unit, floor, ratio, row.goal, verdict))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    rule = "|".join("-" * (width + 2) for width in widths)
    texts = ["| " + " | ".join(_padded(line, widths)) + " |" for line in lines]
    return "\n".join([texts[0], f"|{rule}|", *texts[1:]])


def _padded(line: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for column, (text, width) in enumerate(zip(line, widths, strict=True)):
        yield text.rjust(width) if column in (1, 3, 4) else text.ljust(width)


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _described() -> str:
    names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
    found = dict(query("SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [[*names]]))
    return "PostgreSQL: " + ", ".join(f"{name} {found[name]}" for name in names)
