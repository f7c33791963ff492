"""What the queue calls. Every job may be delivered twice, or be killed half-way and delivered again (spec 8.1)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from billing.services import documents, issuing
from billing.services.closing import close_due
from usage.clocks import system_clock
from usage.jobs import once_per_slot
from usage.services.audit import Actor

CLOSING_TIME: Final = timedelta(seconds=200)  # of the 300 seconds that a job may take


def close_due_periods(slot: str | datetime) -> None:
    """The sweep over periods that have ended: issue their invoices (spec 5.6), and queue the rendering of those that
    still have no PDF. Leaves sandbox accounts out (7.4)."""
    with once_per_slot("close-due-periods", slot) as run:
        if run is None:
            return
        done = close_due(clock=system_clock, by=Actor.of_system(), until=system_clock() + CLOSING_TIME)
        run.result = {"issued": done.issued, "failed": done.failed, "rendering": queue_rendering()}


def queue_rendering() -> int:
    """Queue what was issued a while ago and has no PDF; how many. The second net under the closing's own queue rows: a
    document that is rendered twice is stored once."""
    waiting = documents.invoices_without_document(now=system_clock())
    issuing.queue_rendering(waiting)
    return len(waiting)


def render_documents(invoice_ids: Sequence[str]) -> dict[str, int]:
    """First renderings of these invoices, as far as they have none."""
    done = documents.render_documents(invoice_ids=[UUID(each) for each in invoice_ids], now=system_clock())
    return {"stored": done.stored, "failed": len(done.failed)}


def render_invoice(invoice_id: str) -> None:
    """The first rendering of one invoice."""
    render_documents([invoice_id])
