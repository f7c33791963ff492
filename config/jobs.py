"""What the queue calls for the installation as a whole."""

from __future__ import annotations

from datetime import datetime

from config.invariants import violations
from usage.jobs import once_per_slot

KEPT = 100  # lines of a result


def check_invariants(slot: str | datetime) -> None:
    """Ask the database for all that must always hold (spec 9), and keep what it said for the health page."""
    with once_per_slot("check-invariants", slot) as run:
        if run is not None:
            lines = violations()
            run.result = {"violations": len(lines), "lines": lines[:KEPT]}
