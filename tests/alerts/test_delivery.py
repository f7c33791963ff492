"""Sending the outbox to a real SMTP server (spec 3.2, 10.6)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from alerts.models import Delivery, Notification
from alerts.services.delivery import MAX_ATTEMPTS, Sent, deliver_due, replay_delivery, wait_after
from config.env import mailers
from tests.alerts.timeline import Story
from tests.factories import BY
from tests.smtp import SmtpSink
from usage.errors import Conflict
from usage.models import AuditEntry

pytestmark = pytest.mark.django_db


class Post:
    """A clock and the outbox: `send` delivers whatever is due."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 2, 13, tzinfo=UTC)

    def send(self, **later: float) -> Sent:
        self.now += timedelta(**later)
        return deliver_due(clock=lambda: self.now)


@pytest.fixture
def post() -> Post:
    return Post()


@pytest.fixture
def told(a_story: Callable[..., Story]) -> Story:
    """Three contacts have an alert in the outbox."""
    story = a_story(contacts=("mona@acme.example", "nils@acme.example", "olga@acme.example"))
    return story.alert(10).uses(10).evaluates()


def states() -> dict[str, str]:
    return dict(Delivery.objects.values_list("recipient", "state"))


def test_every_contact_gets_a_message_of_their_own(told: Story, post: Post, smtp_sink: SmtpSink) -> None:
    done = post.send()
    assert (done.sent, done.later, done.failed) == (3, 0, 0)
    assert sorted(recipient for recipient, _ in smtp_sink.messages) == [
        "mona@acme.example",
        "nils@acme.example",
        "olga@acme.example",
    ]
    for recipient, message in smtp_sink.messages:
        assert message["To"] == recipient
        assert message["Subject"] == "Atlas has reached your alert for WhatsApp"
        assert message["Auto-Submitted"] == "auto-generated"


def test_a_message_has_a_text_and_an_html_part_that_say_the_same(told: Story, post: Post, smtp_sink: SmtpSink) -> None:
    post.send()
    message = smtp_sink.to("mona@acme.example")[0]
    text, html = _part(message, "plain"), _part(message, "html")
    for part in (text, html):
        assert "Atlas has reached your alert for WhatsApp" in part
        assert "10 of 10" in part
        assert "1 Jun – 30 Jun 2026" in part
        assert "never switches off a channel" in part
        assert "/w/atlas/usage#whatsapp" in part


def test_what_was_sent_is_not_sent_again(told: Story, post: Post, smtp_sink: SmtpSink) -> None:
    post.send()
    assert post.send(days=1).sent == 0
    assert len(smtp_sink.messages) == 3
    assert set(states().values()) == {"sent"}


def test_a_refused_recipient_does_not_block_the_others(told: Story, post: Post, smtp_sink: SmtpSink) -> None:
    smtp_sink.refuse["mona@acme.example"] = "550 5.1.1 no such user"
    done = post.send()
    assert (done.sent, done.failed) == (2, 1)
    assert states() == {"mona@acme.example": "failed", "nils@acme.example": "sent", "olga@acme.example": "sent"}
    assert "no such user" in Delivery.objects.get(state="failed").last_error
    assert post.send(days=2).sent == 0


def test_a_recipient_refused_for_now_is_tried_again_alone(told: Story, post: Post, smtp_sink: SmtpSink) -> None:
    smtp_sink.refuse["mona@acme.example"] = "451 4.7.1 greylisted"
    done = post.send()
    assert (done.sent, done.later) == (2, 1)
    smtp_sink.refuse.clear()
    assert post.send(seconds=10).sent == 0
    assert post.send(minutes=5).sent == 1
    assert len(smtp_sink.to("mona@acme.example")) == 1


def test_while_the_server_is_away_nothing_is_lost(told: Story, post: Post, settings: Any) -> None:
    sink = SmtpSink()
    settings.MAILERS = mailers(sink.url, settings.VAR)
    for _ in range(6):
        done = post.send(minutes=20)
        assert done.sent == 0
    assert set(states().values()) == {"waiting"}
    sink.start()
    try:
        post.send(hours=5)
        assert len(sink.messages) == 3
    finally:
        sink.stop()


def test_a_server_that_is_away_costs_one_attempt_a_run(told: Story, post: Post, settings: Any) -> None:
    settings.MAILERS = mailers(SmtpSink().url, settings.VAR)
    assert post.send().later == 1
    assert sorted(Delivery.objects.values_list("attempts", flat=True)) == [0, 0, 1]


def test_a_message_that_never_goes_out_is_given_up_and_seen(told: Story, post: Post, settings: Any) -> None:
    Delivery.objects.exclude(recipient="mona@acme.example").delete()
    settings.MAILERS = mailers(SmtpSink().url, settings.VAR)
    for _ in range(MAX_ATTEMPTS + 2):
        post.send(hours=5)
    delivery = Delivery.objects.get()
    assert (delivery.state, delivery.attempts) == ("failed", MAX_ATTEMPTS)
    assert delivery.last_error


def test_a_failed_message_can_be_sent_again_under_its_own_message_id(
    told: Story, post: Post, smtp_sink: SmtpSink
) -> None:
    smtp_sink.refuse["mona@acme.example"] = "550 no"
    post.send()
    smtp_sink.refuse.clear()
    failed = Delivery.objects.get(state="failed")
    replay_delivery(delivery=failed, now=post.now, by=BY)
    assert post.send().sent == 1
    assert smtp_sink.to("mona@acme.example")[0]["Message-ID"] == failed.message_id
    assert AuditEntry.objects.filter(action="delivery.replayed").count() == 1


def test_a_repeated_message_is_recognisable_by_its_message_id(told: Story, post: Post, smtp_sink: SmtpSink) -> None:
    post.send()
    # The process died after the server had taken the message and before that was written down.
    Delivery.objects.filter(recipient="mona@acme.example").update(state="waiting")
    post.send(minutes=1)
    first, second = smtp_sink.to("mona@acme.example")
    assert first["Message-ID"] == second["Message-ID"]
    assert first.get_body().as_string() == second.get_body().as_string()  # type: ignore[union-attr]
    ids = {message["Message-ID"] for _, message in smtp_sink.messages}
    assert len(ids) == 3


def test_names_travel_safely_in_headers(a_story: Callable[..., Story], post: Post, smtp_sink: SmtpSink) -> None:
    from billing.services.contacts import add_contact

    story = a_story(contacts=())
    names = ['Zoë "Zed" O’Neil, Ltd. <x@y>', "=HYPERLINK(1)", "山田太郎", "\u202eevil"]
    for number, name in enumerate(names):
        story.contacts.append(add_contact(account=story.account, email=f"c{number}@acme.example", name=name, by=BY))
    story.alert(10).uses(10).evaluates()
    assert post.send().sent == 4
    for number, name in enumerate(names):
        header = smtp_sink.to(f"c{number}@acme.example")[0]["To"]
        assert [(address.display_name, address.addr_spec) for address in header.addresses] == [
            (name.replace("<x@y>", "xy"), f"c{number}@acme.example")
        ]


def test_an_address_that_no_server_takes_fails_alone(told: Story, post: Post, smtp_sink: SmtpSink) -> None:
    Delivery.objects.filter(recipient="mona@acme.example").update(recipient="münchen@acme.example")
    done = post.send()
    assert (done.sent, done.failed) == (2, 1)


def test_messages_of_sandbox_accounts_are_never_sent(
    a_story: Callable[..., Story], post: Post, smtp_sink: SmtpSink
) -> None:
    a_story(is_sandbox=True).alert(10).uses(10).evaluates()
    assert post.send(days=3).sent == 0
    assert smtp_sink.messages == []
    with pytest.raises(Conflict):
        replay_delivery(delivery=Delivery.objects.get(), now=post.now, by=BY)


def test_waiting_grows_to_four_hours_and_never_comes_back_in_step() -> None:
    assert wait_after(1, share=lambda: 0.5) == timedelta(seconds=30)
    assert wait_after(2, share=lambda: 0.5) == timedelta(minutes=1)
    assert wait_after(30, share=lambda: 0.5) == timedelta(hours=4)
    assert wait_after(1, share=lambda: 0.0) < wait_after(1, share=lambda: 0.999)
    assert sum((wait_after(n, share=lambda: 0.0) for n in range(1, MAX_ATTEMPTS)), timedelta()) > timedelta(hours=20)


def test_a_run_stops_starting_when_its_time_is_over(told: Story, post: Post, smtp_sink: SmtpSink) -> None:
    done = deliver_due(clock=lambda: post.now, until=post.now)
    assert (done.sent, done.is_finished) == (0, False)


def test_the_ai_agent_alert_names_the_two_ways_to_act(story: Story, post: Post, smtp_sink: SmtpSink) -> None:
    story.about("ai_resolutions").alert(2).uses(2).evaluates()
    post.send()
    for subtype in ("plain", "html"):
        part = _part(smtp_sink.to("mona@acme.example")[0], subtype)
        assert "Set a hard limit" in part
        assert "Build a workflow" in part
        assert "does not turn AI Agent off" in part


def test_the_limit_mail_says_what_stops_and_when_it_is_on_again(story: Story, post: Post, smtp_sink: SmtpSink) -> None:
    story.about("voice_resolutions").limit(2).uses(2).evaluates()
    post.send()
    message = smtp_sink.to("mona@acme.example")[0]
    assert message["Subject"] == "AI Voice is off in Atlas until 1 July 2026"
    text = _part(message, "plain")
    assert "2 of 2 resolutions" in text
    assert "handover steps" in text
    assert "Telephony charges are billed separately" in text
    assert "The limit was set by manage.py tests." in text


def test_every_message_that_will_be_sent_can_be_read_before(told: Story) -> None:
    notification = Notification.objects.get()
    assert notification.title == "WhatsApp in Atlas reached your alert"
    for delivery in Delivery.objects.all():
        assert "10 of 10" in delivery.text
        assert "<h1>Atlas has reached your alert for WhatsApp</h1>" in delivery.html


def test_hostile_names_are_shown_literally(a_story: Callable[..., Story]) -> None:
    story = a_story()
    story.account.name = "<img src=x onerror=alert(1)>"
    story.account.save()
    story.alert(10).uses(10).evaluates()
    assert "<img" not in Delivery.objects.get().html
    assert "<img" in Delivery.objects.get().text


def _part(message: EmailMessage, subtype: str) -> str:
    body: Any = message.get_body((subtype,))
    return " ".join(body.get_content().split())
