"""Closing beside storing the same rows; PDFs beside a bare WeasyPrint loop over the same pages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from billing.models import Invoice
from billing.selectors.documents import with_lines
from billing.services.closing import close_due
from billing.services.documents import page_of, render_documents
from config.bench.filling import BY
from config.bench.ground import Ground, query, tidy
from config.bench.measure import Row, Sample, Watch, alternate, row, typical

_ALL: Final = 10_000
_LATER: Final = timedelta(hours=2)  # than the end of a period: its grace is over

# The rows that a round wrote: of the invoices after a place in the series.
_INVOICES: Final = "(SELECT id FROM billing_invoice WHERE sequence > %(after)s)"
_WRITTEN: Final = {
    "billing_invoice": "s.sequence > %(after)s",
    "billing_invoiceline": f"s.invoice_id IN {_INVOICES}",
    "billing_billedusage": f"s.line_id IN (SELECT id FROM billing_invoiceline WHERE invoice_id IN {_INVOICES})",  # noqa: S608
    "billing_invoicedispatch": f"s.invoice_id IN {_INVOICES}",
    "usage_auditentry": "s.action = 'invoice.issued' AND s.subject IN"
    " (SELECT number FROM billing_invoice WHERE sequence > %(after)s)",
}


def closing(ground: Ground) -> Iterator[Row]:
    """Each round closes the accounts whose period ended on a day of its own, then stores its rows once more."""
    issued = [0]

    def close(number: int) -> Sample:
        issued.append(Invoice.objects.count())
        tidy()
        with ground.watch_here() as watch:
            done = _close(ground, number)
        return watch.sample(done)

    def store(number: int) -> Sample:
        _make_copies()
        copies: list[str] = []
        for table, rows in _WRITTEN.items():
            insert = f"INSERT INTO bench_{table} OVERRIDING SYSTEM VALUE SELECT s.* FROM {table} s WHERE {rows}"  # noqa: S608
            copies.append(f"part{len(copies)} AS ({insert})")
        tidy("billing_invoice", "billing_invoiceline", "billing_billedusage", "usage_auditentry")
        with ground.watch_here() as watch:
            query(f"WITH {', '.join(copies)} SELECT 1", {"after": issued[-1]})
        return watch.sample(query("SELECT count(*) FROM bench_billing_invoice")[0][0])

    closed, stored = alternate(len(ground.closings), close, store)
    floor, each = typical(stored, lambda s: s.each), typical(closed, lambda s: s.each)
    yield row("closing_10000", "s", each * _ALL, floor=floor * _ALL, most=20, most_ratio=4)
    first, last = closed[0].cost, closed[-1].cost
    yield row("closing_as_invoices_grow", "µs/invoice", last * 1e6, floor=first * 1e6)


def _make_copies() -> None:
    """Empty tables like those that closing writes to, with the same indexes, checks and foreign keys."""
    for table in _WRITTEN:
        query(f"DROP TABLE IF EXISTS bench_{table} CASCADE; CREATE TABLE bench_{table} (LIKE {table} INCLUDING ALL)")
    for table in _WRITTEN:
        for (definition,) in query(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'f'",
            [table],
        ):
            key, _, target = definition.partition(" REFERENCES ")
            copied = "bench_" if target.partition("(")[0] in _WRITTEN else ""
            query(f"ALTER TABLE bench_{table} ADD {key} REFERENCES {copied}{target}")


def pdfs(ground: Ground) -> Iterator[Row]:
    """One process draws the documents of a queue, as a worker does; the loop gets the same pages."""
    each = 20 if ground.sizes.events >= 1_000_000 else 4
    waiting = Invoice.objects.filter(documents=None).order_by("sequence")
    for number in range(len(ground.closings)):
        if waiting.count() < each * ground.sizes.rounds:
            _close(ground, number)
    found = list(with_lines(waiting)[: each * ground.sizes.rounds])

    def part(number: int) -> list[Invoice]:
        return found[number * each : (number + 1) * each]

    def bare(number: int) -> Sample:
        pages = [page_of(invoice)[0] for invoice in part(number)]
        told = json.dumps([[page.html, page.css] for page in pages]).encode()
        with Watch([]) as watch:
            subprocess.run([sys.executable, "-W", "ignore", "-c", _LOOP], input=told, check=True, capture_output=True)
        return watch.sample(len(pages))

    def product(number: int) -> Sample:
        with Watch([]) as watch:
            done = render_documents(invoice_ids=[invoice.pk for invoice in part(number)], now=ground.now)
        return watch.sample(done.stored)

    drawn, stored = alternate(ground.sizes.rounds, bare, product)
    floor, rate = typical(drawn, lambda s: s.rate), typical(stored, lambda s: s.rate)
    yield row("pdfs", "documents/s", rate, floor=floor, least_ratio=0.9)


def _close(ground: Ground, number: int) -> int:
    at = ground.closings[number] + _LATER
    done = close_due(clock=lambda: at, by=BY)
    if done.failed:
        raise RuntimeError(f"{done.failed} accounts could not be closed")
    return done.issued


_LOOP: Final = """
import json, sys, weasyprint
fonts = weasyprint.text.fonts.FontConfiguration()
for html, css in json.load(sys.stdin):
    sheet = weasyprint.CSS(string=css, font_config=fonts)
    weasyprint.HTML(string=html).write_pdf(stylesheets=[sheet], font_config=fonts, pdf_variant="pdf/a-3a")
"""
