"""An alert leaves while a thousand events a second stream in (spec 2.8, 3.2). How soon is a row of `manage.py bench`;
here the bound is one that a busy machine keeps, too."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from billing.services.contacts import add_contact
from config.bench.load import http_request, send_at_rate
from tests.billing.books import subscribed
from tests.factories import BY, event, make_key
from tests.journeys.conftest import Application
from tests.processes import running_jobs
from tests.servers import Server
from tests.smtp import SmtpSink
from usage.clocks import system_clock

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

RATE, BATCH, SECONDS = 1000, 100, 4


def batches(key: str) -> list[bytes]:
    """Requests for so many seconds, all of the other workspace."""
    sms = partial(event, "sms.message", subject="birch", time=system_clock())
    many = "application/cloudevents-batch+json"
    return [
        http_request(
            "/api/v1/events",
            json.dumps([sms(id_=f"{number}-{each}") for each in range(BATCH)]).encode(),
            key=key,
            content_type=many,
        )
        for number in range(RATE * SECONDS // BATCH)
    ]


def test_an_alert_leaves_while_a_thousand_events_a_second_stream_in(tmp_path: Path, sink: SmtpSink) -> None:
    account = subscribed(
        "professional", workspaces=("atlas", "birch"), started_on=system_clock().date() - timedelta(days=10)
    )
    add_contact(account=account, email="mona@acme.example", by=BY)
    key = make_key(account)
    requests = batches(key)
    with Server(workers=2) as web, running_jobs(tmp_path, EMAIL_URL=sink.url):
        app = Application(key, web.url)
        app.call("PUT", "workspaces/atlas/alerts/whatsapp", {"enabled": True, "threshold": 100, "also_50_80": True})
        # The first message shows that the jobs are there.
        app.sends("whatsapp.message", value=50)
        sink.wait_for(1, seconds=30)
        stream = threading.Thread(
            target=send_at_rate, args=(web.port, requests), kwargs={"each_second": RATE / BATCH, "connections": 4}
        )
        stream.start()
        for number, quantity in enumerate((30, 20), 2):
            app.sends("whatsapp.message", value=quantity)
            sink.wait_for(number, seconds=10)
        stream.join()
        birch = app.get("workspaces/birch/usage")["metrics"]
        app.close()
    assert next(row["quantity"] for row in birch if row["key"] == "sms") == str(RATE * SECONDS)
    assert [message["Subject"] for _, message in sink.messages] == [
        f"Atlas has reached {what} for WhatsApp" for what in ("50% of your alert", "80% of your alert", "your alert")
    ]
