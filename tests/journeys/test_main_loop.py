"""The whole loop, once, with all that runs in production: web and job processes, PostgreSQL, the CloudEvents SDK, an
SMTP server, Chromium. Usage arrives, the page shows it, an alert leaves, a limit stops the agent, the period closes.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pypdf
import pytest
from django.core.management import call_command

from tests.factories import make_teammate
from tests.journeys.conftest import Application
from tests.processes import running_jobs, until
from tests.servers import Server
from tests.smtp import SmtpSink

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

FINANCE = "finance@acme.example"


def command(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue().strip()


def mail(sink: SmtpSink, subject: str) -> EmailMessage:
    """The one e-mail to the billing contact whose subject begins so, as soon as it is there."""

    def found() -> list[EmailMessage]:
        return [each for each in sink.to(FINANCE) if each["Subject"].startswith(subject)]

    assert until(lambda: bool(found())), [each["Subject"] for each in sink.to(FINANCE)]
    (message,) = found()
    return message


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def words(pdf: bytes) -> str:
    return re.sub(r"\s+", " ", " ".join(page.extract_text() for page in pypdf.PdfReader(BytesIO(pdf)).pages))


def uses_275_conversations_and_120_minutes(app: Application, at: datetime) -> None:
    app.sends("conversation.created", 275, at=at)
    for call in range(4):
        ended = at + timedelta(minutes=call)
        app.sends("call.ended", started_at=(ended - timedelta(minutes=30)).isoformat(), ended_at=ended.isoformat())


def test_from_the_first_event_to_the_invoice_in_the_mail(page: Any, tmp_path: Path, sink: SmtpSink) -> None:
    # Begun 45 days ago: one period lies behind, and no boundary is near.
    now = datetime.now(UTC)
    started = now - timedelta(days=45)
    command(
        *("create_account", "acme", "--plan", "starter", "--time-zone", "Europe/Dublin", "--workspace", "atlas=Atlas"),
        *("--started-on", started.date().isoformat(), "--billing-contact", f"Finance <{FINANCE}>"),
    )
    key = command("create_api_key", "--account", "acme", "--scopes", "ingest,read,decide")
    make_teammate("atlas", "ada@acme.example", alerts=True, limits=True, billing=True)

    with Server(workers=2) as web:
        app = Application(key, web.url)
        # Last month, before any job ran; and this month so far.
        uses_275_conversations_and_120_minutes(app, started + timedelta(days=10))
        with running_jobs(tmp_path, EMAIL_URL=sink.url):
            uses_275_conversations_and_120_minutes(app, now - timedelta(minutes=5))
            shows_the_usage(page, web.url, app)
            tells(page, app, sink)
            stops_the_agent(page, app, sink)
            closes_the_period(page, web.url, app, sink)
        app.close()

    subjects = [message["Subject"] for message in sink.to(FINANCE)]
    assert len(subjects) == len(set(subjects)) == 5, subjects
    assert command("check_invariants") == ""


def shows_the_usage(page: Any, address: str, app: Application) -> None:
    """$18.50 of overage: 25 conversations at $0.50 and 20 minutes at $0.30."""
    page.goto(f"{address}/")
    page.get_by_label("E-mail").fill("ada@acme.example")
    page.get_by_label("Password").fill("headroom")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Subscription").click()
    page.get_by_role("heading", name="This billing period").wait_for()
    assert "$18.50" in page.get_by_role("row", name="Overage and pay-as-you-go").inner_text()
    page.get_by_role("link", name="See all usage").click()
    for metric, quantity, cost in (("conversations", "275", "$12.50"), ("phone", "120", "$6.00")):
        card = page.locator(f"#{metric}")
        card.get_by_text(cost).first.wait_for()
        assert quantity in card.locator(".figure-value").first.inner_text()
    usage = app.get("workspaces/atlas/usage")
    assert usage["total_overage"] == "18.50"
    assert {row["key"]: row["overage_amount"] for row in usage["metrics"] if row["overage_amount"] != "0.00"} == {
        "conversations": "12.50",
        "phone": "6.00",
    }


def tells(page: Any, app: Application, sink: SmtpSink) -> None:
    """What is included is used up; and an alert of Ada's own, set in the drawer."""
    for what in ("Conversations", "Phone"):
        assert mail(sink, what).get_body(("html",)) is not None
    page.locator("#ai_resolutions-set").click()
    drawer = page.get_by_role("dialog", name="Usage alerts and limits")
    drawer.get_by_role("switch", name="Alerts").check()
    drawer.get_by_label("Tell us at").fill("10")
    drawer.get_by_label("Also get alerts when usage reaches 50% and 80%").check()
    drawer.get_by_role("button", name="Save changes").click()
    page.get_by_role("status").get_by_text("Saved. The alert at 10 is on.").wait_for()
    app.sends("ai_resolution.recorded", 5)
    told = mail(sink, "Atlas has reached 50% of your alert for AI Agent resolutions")
    assert "does not turn AI Agent off" in text_of(told)
    assert app.flag("ai-agent")["value"] is True  # an alert never disables anything


def stops_the_agent(page: Any, app: Application, sink: SmtpSink) -> None:
    """The hard limit, applied at once, below what one more resolution reaches."""
    assert app.asks("before", "m1", "started")["answered_by"] == "ai_agent"
    page.reload()
    page.locator("#ai_resolutions-set").click()
    drawer = page.get_by_role("dialog", name="Usage alerts and limits")
    drawer.get_by_role("switch", name="Limit").check()
    drawer.get_by_label("Stop at").fill("6")
    drawer.get_by_role("button", name="Save changes").click()
    page.get_by_role("dialog", name="When should the new limit start?").get_by_role("button", name="Apply now").click()
    page.get_by_role("status").get_by_text("Saved. The limit of 6 is in force.").wait_for()
    app.sends("ai_resolution.recorded")
    assert app.asks("before", "m2", "customer_replied")["answered_by"] == "handover"
    assert app.asks("after", "m1", "started")["answered_by"] == "handover"
    assert (app.flag("ai-agent")["value"], app.flag("resolution-limit-reached")["value"]) == (False, True)
    mail(sink, "AI Agent is off in Atlas")
    page.reload()
    page.locator("#page-banner").get_by_text("AI Agent is off in Atlas").wait_for()
    page.locator("#ai_resolutions").get_by_text("Limit reached").wait_for()


def closes_the_period(page: Any, address: str, app: Application, sink: SmtpSink) -> None:
    """The invoice of last month: on the page, in the API, in the mail, and all three the same bytes."""
    command("close_periods", "--account", "acme")
    message = mail(sink, "Invoice")
    (attachment,) = message.iter_attachments()
    attached = attachment.get_payload(decode=True)
    assert isinstance(attached, bytes)

    page.get_by_role("link", name="Invoices").click()
    (invoice,) = app.get("accounts/acme/invoices")["items"]
    page.get_by_role("link", name=invoice["number"]).first.click()
    page.get_by_role("heading", name=f"Invoice {invoice['number']}").wait_for()
    page.reload()  # it was on its way while the page was first made
    page.get_by_text(FINANCE).wait_for()
    document = page.request.get(address + page.get_by_role("link", name="PDF").first.get_attribute("href"))
    assert document.headers["content-type"] == "application/pdf"
    by_key = app.client.get(address + urlsplit(invoice["pdf_url"]).path)
    assert attached == document.body() == by_key.content

    text = words(attached)
    assert f"Invoice {invoice['number']}" in text
    assert "Conversations, Atlas 275 250 25 $0.50 $12.50" in text
    assert "120 100 20 $0.30 $6.00" in text
    assert "Overage and pay-as-you-go $18.50" in text
    assert "Total (USD) $67.50" in text
    assert (invoice["total"], invoice["kind"]) == ("67.50", "invoice")
