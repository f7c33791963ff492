"""A period turns while all jobs stand still: whoever asks over HTTP gets right answers (spec 2.10, 4.4)."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django_q.models import OrmQ

from alerts.models import Delivery
from billing.services.contacts import add_contact
from tests.alerts.conversations import make_account, set_clock
from tests.factories import BY, bearer, event, make_key

pytestmark = pytest.mark.django_db

JULY = datetime(2026, 7, 1, tzinfo=UTC)
LATE_IN_JUNE, EARLY_IN_JULY = JULY - timedelta(minutes=10), JULY + timedelta(seconds=1)


class Application:
    """The metered product, which speaks HTTP and nothing else. Its account's clock stands where the test put it."""

    def __init__(self, account: Any) -> None:
        self.headers = bearer(make_key(account))
        self.ids = map(str, itertools.count(1))

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = Client().generic(
            method,
            f"/api/v1/{path}",
            data=json.dumps(body),
            content_type="application/json",
            headers=self.headers,
        )
        assert answer.status_code == 200, answer.content
        return answer.json()

    def uses(self, type_: str, count: int) -> None:
        sent = [event(type_, id_=next(self.ids)) for _ in range(count)]
        assert self.ask("POST", "events", sent)["accepted"] == count

    def consumes(self, quantity: int) -> dict[str, Any]:
        body = {"metric": "ai_resolutions", "quantity": quantity, "id": next(self.ids)}
        return dict(self.ask("POST", "workspaces/atlas/consume", body))

    def is_answered_by(self) -> str:
        question = {"conversation_id": next(self.ids), "message_id": "1", "metric": "ai_resolutions"}
        return str(self.ask("POST", "workspaces/atlas/route", question | {"event": "started"})["answered_by"])

    def usage(self, metric: str) -> dict[str, Any]:
        answer = self.ask("GET", "workspaces/atlas/usage")
        row = next(row for row in answer["metrics"] if row["key"] == metric)
        return {"from": answer["period"]["starts_at"][:10], **row}

    def told(self) -> list[tuple[str, str, str, str]]:
        rows = self.ask("GET", "workspaces/atlas/notifications")["items"]
        return [(row["kind"], row["metric"], row["threshold"] or "", row["period"][:10]) for row in rows]


def test_with_all_jobs_stopped_the_new_period_counts_stops_and_starts_by_itself() -> None:
    account = make_account(plan="professional")
    add_contact(account=account, email="mona@acme.example", by=BY)
    app = Application(account)

    set_clock(account, LATE_IN_JUNE)
    app.ask("PUT", "workspaces/atlas/limits/ai_resolutions", {"enabled": True, "limit": 3, "effective": "now"})
    app.ask("PUT", "workspaces/atlas/limits/ai_resolutions", {"enabled": True, "limit": 5, "effective": "next_period"})
    app.ask("PUT", "workspaces/atlas/alerts/whatsapp", {"enabled": True, "threshold": 60})
    app.uses("whatsapp.message", 40)
    scheduled = app.ask("PUT", "workspaces/atlas/alerts/whatsapp", {"enabled": True, "threshold": 30})
    assert scheduled["in_force"]["threshold"] == "60"
    assert scheduled["scheduled"] == {
        "enabled": True,
        "threshold": "30",
        "also_50_80": False,
        "from": "2026-07-01T00:00:00Z",
    }
    app.uses("whatsapp.message", 20)
    app.uses("ai_resolution.recorded", 3)
    assert app.consumes(1)["reason"] == "limit_reached"
    assert app.is_answered_by() == "handover"

    set_clock(account, EARLY_IN_JULY)
    # The agent that was stopped is on before anything has happened in the new period …
    assert app.is_answered_by() == "ai_agent"
    app.uses("ai_resolution.recorded", 1)
    # … whose first event counts in it, while last month stays as it was.
    july = app.usage("ai_resolutions")
    assert (july["from"], july["quantity"], july["limit"], july["limit_reached"]) == ("2026-07-01", "1", "5", False)
    june = app.ask("GET", "workspaces/atlas/usage?at=2026-06-30T12:00:00Z")
    assert next(row["quantity"] for row in june["metrics"] if row["key"] == "ai_resolutions") == "3"
    # The limit that was set last month is in force, to the unit.
    assert app.consumes(5) == {
        "allowed": False, "remaining": "4", "limit": "5", "resets_at": "2026-08-01T00:00:00Z", "reason": "limit_reached"
    }  # fmt: skip
    assert app.consumes(4)["remaining"] == "0"
    assert app.consumes(1)["allowed"] is False
    assert app.is_answered_by() == "handover"
    # So is the threshold that was scheduled.
    in_force = app.ask("GET", "workspaces/atlas/alerts/whatsapp")
    assert (in_force["in_force"]["threshold"], in_force["scheduled"]) == ("30", None)
    app.uses("whatsapp.message", 31)

    # Nothing has run so far; when the jobs start, everything that was reached in time is told, once.
    assert OrmQ.objects.exists()
    assert app.told() == []
    for _ in range(2):
        call_command("refresh", "--account", "acme", stdout=StringIO())
        assert sorted(app.told()) == [
            ("limit_reached", "ai_resolutions", "3", "2026-06-01"),
            ("limit_reached", "ai_resolutions", "5", "2026-07-01"),
            ("usage_alert", "whatsapp", "30", "2026-07-01"),
            ("usage_alert", "whatsapp", "60", "2026-06-01"),
        ]
    assert Delivery.objects.filter(channel="email").count() == 4
    call_command("check_invariants", stdout=StringIO())
