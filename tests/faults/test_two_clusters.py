"""Two clusters get every job twice, their workers die at one step after the other, the mail server is down, slow, drops
the line after it took a message and refuses one recipient, and seven of eight webhook receivers misbehave: every
message is decided once and nothing is lost (spec 3.2, 3.12, 8.1, 9).

`HEADROOM_LONG=1 bin/test tests/faults/test_two_clusters.py` lets the workers die at every step.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from django.core.management import call_command
from django.db import connection
from django.db.models import Count
from django_q.tasks import async_task

from alerts.models import Delivery, Firing, Notification, WebhookEndpoint
from alerts.services.endpoints import add_endpoint
from tests.alerts.timeline import Story
from tests.factories import BY
from tests.processes import running_jobs, until
from tests.smtp import SmtpSink

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults, pytest.mark.slow]

CONTACTS = ("mona@acme.example", "nils@acme.example", "olga@acme.example")
REFUSED = "nils@acme.example"
# Where the workers of the one and of the other cluster die, the second time that each of them gets there.
STEPS = [("evaluate.before_commit", "deliver.after_send")]
if "HEADROOM_LONG" in os.environ:
    STEPS += [
        ("evaluate.after_firings", "deliver.before_send"),
        ("evaluate.after_messages", "deliver.after_commit"),
        ("evaluate.after_commit", "deliver.after_send"),
    ]
RUDE = ("500", "redirect", "silent", "drip", "flood")  # beside them: an address inside, and TLS that is none

_TWICE = """
CREATE FUNCTION give_out_twice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO django_q_ormq (key, payload, lock) VALUES (NEW.key, NEW.payload, NEW.lock);
    RETURN NULL;
END $$;
CREATE TRIGGER twice AFTER INSERT ON django_q_ormq FOR EACH ROW WHEN (pg_trigger_depth() = 0)
EXECUTE FUNCTION give_out_twice();
"""


class MoodyServer(SmtpSink):
    """Takes its time over each message, and hangs up after some that it has taken."""

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = await super().handle_DATA(server, session, envelope)
        time.sleep(0.1)
        if len(self.messages) % 5 == 3:
            assert server.transport is not None
            server.transport.abort()
        return answer


class Receivers:
    """Webhook receivers of every kind, by the path they listen at. `got`: (webhook-id, body) at `/ok`."""

    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        got = self.got

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                match self.path.strip("/"):
                    case "ok":
                        got.append((self.headers["webhook-id"], body))
                        self.send_response(204)
                    case "500":
                        self.send_response(500)
                    case "redirect":
                        self.send_response(302)
                        self.send_header("Location", "http://169.254.169.254/latest")
                    case "silent":
                        time.sleep(1)
                        return
                    case "drip":
                        for byte in b"HTTP/1.1":
                            self.wfile.write(bytes([byte]))
                            time.sleep(0.1)
                        return
                    case "flood":
                        self.wfile.write(b"x" * 5_000_000)
                        return
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:  # the sender had enough of it
                    return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=[0.05], daemon=True).start()

    def urls(self) -> list[str]:
        port = self.server.server_address[1]
        names = [f"http://hooks.example:{port}/{name}" for name in ("ok", *RUDE)]
        return [*names, f"http://inside.example:{port}/", f"https://hooks.example:{port}/tls"]


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    made = Receivers()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def every_job_twice() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute(_TWICE)
        yield
        cursor.execute("DROP TRIGGER twice ON django_q_ormq; DROP FUNCTION give_out_twice")


@pytest.fixture
def story(receivers: Receivers) -> Story:
    story = Story(workspaces=("atlas", "birch"), contacts=CONTACTS)
    story.now = datetime.now(UTC)
    for url in receivers.urls():
        add_endpoint(account=story.account, url=url, by=BY)
    story.alert(20, halves=True).at("birch").alert(10, halves=True)
    return story.about("ai_resolutions").limit(3)


def uses_everything_up(story: Story) -> None:
    """Level after level, each seen by the jobs before the next one is reached."""
    for more, fired in ((5, 2), (3, 4), (3, 7)):
        story.now = datetime.now(UTC)
        story.about("whatsapp").at("birch").uses(more).at("atlas").uses(2 * more)
        story.about("ai_resolutions").at("birch").uses(1)
        assert until(lambda fired=fired: Firing.objects.count() == fired, seconds=60), fired  # type: ignore[misc]


def time_passes() -> None:
    """What waits to be tried again is due now, and the sweeps come by."""
    Delivery.objects.filter(state="waiting").update(next_attempt_at=datetime.now(UTC))
    async_task("alerts.jobs.deliver")


def is_settled(mail: SmtpSink) -> bool:
    """Whether everything that can arrive did; if not, more time passes."""
    open_mail = Delivery.objects.filter(channel="email", state="waiting")
    open_hook = Delivery.objects.filter(channel="webhook", state="waiting", recipient__endswith="/ok")
    inside = Delivery.objects.filter(channel="webhook", state="waiting", recipient__contains="inside")
    if not (open_mail.exists() or open_hook.exists() or inside.exists()):
        return True
    time_passes()
    time.sleep(0.5)
    return False


@pytest.mark.parametrize("steps", STEPS)
def test_every_message_is_decided_once_and_none_is_lost(
    story: Story, receivers: Receivers, every_job_twice: None, tmp_path: Path, steps: tuple[str, str]
) -> None:
    mail = MoodyServer()
    mail.refuse[REFUSED] = "550 5.1.1 no such user"
    own = {"DJANGO_SETTINGS_MODULE": "tests.faults.open_hooks", "EMAIL_URL": mail.url}
    try:
        with ExitStack() as clusters:
            for step in steps:
                clusters.enter_context(running_jobs(tmp_path, **own, FAULT_POINT=f"{step}:2"))
            uses_everything_up(story)
            assert until(lambda: Delivery.objects.filter(attempts__gt=0).exists(), seconds=60)
            mail.start()  # until now it was down
            assert until(lambda: is_settled(mail), seconds=90), Counter(
                Delivery.objects.values_list("channel", "state", "recipient", "last_error")
            )
    finally:
        mail.stop()

    # Decided once: each level of each alert and the limit, and of each message one for everybody.
    fired = Counter(Firing.objects.values_list("rule", "workspace__key", "level"))
    alerts = [("usage_alert", place, level) for place in ("atlas", "birch") for level in (50, 80, 100)]
    assert fired == Counter([*alerts, ("limit", "birch", 100)])
    assert Notification.objects.count() == 7
    told = Notification.objects.annotate(deliveries_made=Count("deliveries"))
    assert set(told.values_list("deliveries_made", flat=True)) == {len(CONTACTS) + len(receivers.urls())}

    # Nothing lost: what was decided arrived; a repeated message is the same one.
    for contact in CONTACTS:
        wanted = set(Delivery.objects.filter(recipient=contact).values_list("message_id", flat=True))
        assert {str(each["Message-ID"]) for each in mail.to(contact)} == (set() if contact == REFUSED else wanted)
    assert set(Delivery.objects.filter(recipient=REFUSED).values_list("state", flat=True)) == {"failed"}
    hooks = Delivery.objects.filter(channel="webhook")
    assert {id_ for id_, _ in receivers.got} == set(
        hooks.filter(recipient__endswith="/ok").values_list("message_id", flat=True)
    )
    assert len(set(receivers.got)) == len({id_ for id_, _ in receivers.got})
    # The rude ones hold nobody up; what they did not take is kept for them, and can be seen.
    for endpoint in WebhookEndpoint.objects.exclude(url__endswith="/ok"):
        rows = hooks.filter(endpoint=endpoint)
        assert not rows.filter(state="sent").exists()
        assert rows.exclude(last_error="").exists(), endpoint.url
    out = StringIO()
    call_command("check_invariants", stdout=out)
    assert out.getvalue() == ""
