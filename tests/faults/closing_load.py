"""A process that keeps sending, amending and voiding into past periods, consuming and settling in the running one.

python -m tests.faults.closing_load NUMBER BEGINS SECONDS
"""

import random
import sys
import time
from datetime import datetime, timedelta
from decimal import Decimal

import django

django.setup()

from tests.factories import BY, event  # noqa: E402
from usage.clocks import system_clock  # noqa: E402
from usage.errors import HeadroomError  # noqa: E402
from usage.models import Account, Workspace  # noqa: E402
from usage.services.consume import consume, reserve, settle  # noqa: E402
from usage.services.corrections import amend_event, void_event  # noqa: E402
from usage.services.ingest import ingest_sent  # noqa: E402

MINUTE = timedelta(minutes=1)


def main(me: str, begins: datetime, seconds: float) -> None:
    """Two months' time from `begins` on."""
    dice, ends = random.Random(me), time.monotonic() + seconds
    account, atlas = Account.objects.get(), Workspace.objects.get(key="atlas")
    ids: list[str] = []
    while time.monotonic() < ends:
        sent = []
        for _ in range(dice.randrange(1, 12)):
            ids.append(f"{me}-{len(ids)}")
            when = begins + timedelta(minutes=dice.randrange(61 * 1440))
            place = dice.choice(["atlas", "birch"])
            kind = "sms.message" if len(ids) % 3 else "conversation.created"
            sent.append(event(kind, id_=ids[-1], subject=place, time=when))
            if dice.random() < 0.1:
                held = {"value": dice.randrange(9)}
                sent.append(event("seats.set", id_=f"seats {ids[-1]}", subject=place, time=when, data=held))
        ingest_sent(account_id=account.pk, sent=sent, clock=system_clock)
        which = {"account": account, "source": "urn:tests", "reason": "test", "clock": system_clock, "by": BY}
        try:
            if dice.random() < 0.5:
                void_event(event_id=dice.choice(ids), **which)
            else:
                amend_event(event_id=dice.choice(ids), quantity=Decimal(dice.randrange(1, 9)), **which)
        except HeadroomError:
            pass  # voided already, or of a kind that is counted and cannot be amended
        unit = {"account_id": account.pk, "workspace_id": atlas.pk, "clock": system_clock}
        consume(**unit, metric_key="ai_resolutions", quantity=Decimal(1), consume_id=ids[-1])
        reserve(**unit, metric_key="ai_resolutions", quantity=Decimal(2), reservation_id=ids[-1], expires_in=MINUTE)
        settle(**unit, reservation_id=ids[-1], quantity=Decimal(1))


if __name__ == "__main__":
    main(sys.argv[1], datetime.fromisoformat(sys.argv[2]), float(sys.argv[3]))
