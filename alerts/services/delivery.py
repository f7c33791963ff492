"""Sending the outbox (spec 3.2, 3.12, 10.6; architecture: SKIP LOCKED only here).

One message, one transaction: its row stays locked while it is sent, so nobody else sends it, and a process that dies
gives it back at once. A refusal concerns its own recipient; a server that is away ends the run, and only the message in
hand waits longer. Every message keeps its Message-ID.
"""

from __future__ import annotations

import logging
import random
import re
import smtplib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime, formataddr
from typing import Any, Final

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, mailers
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection, transaction

from alerts.models import Delivery
from alerts.services import webhooks
from usage.clocks import Clock
from usage.errors import Conflict
from usage.faultpoints import reach
from usage.services.audit import Actor, record

log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 16  # with the waits below: more than a day
FIRST_WAIT: Final = timedelta(seconds=30)
LONGEST_WAIT: Final = timedelta(hours=4)
IDLE_LIMIT: Final = "290s"  # below the time limit of a job; a mail server may be slow in several steps of one dialogue

# In a name they could pass for another address.
_ADDRESS_SIGNS: Final = re.compile(r"[<>@]")

type Sending = Callable[[Delivery, datetime], None]


class Refused(Exception):
    """The receiver does not take this message, and will not: it is not tried again."""


class TryLater(Exception):
    """It could not be sent now. `is_receiver_away` ends the run for everything that goes the same way."""

    def __init__(self, reason: str, *, is_receiver_away: bool = False) -> None:
        super().__init__(reason)
        self.is_receiver_away = is_receiver_away


@dataclass(slots=True)
class Sent:
    """What a run did; `is_finished` is False when due messages may be left because the time was over."""

    sent: int = 0
    later: int = 0
    failed: int = 0
    is_finished: bool = True


def deliver_due(*, clock: Clock, until: datetime | None = None) -> Sent:
    """Send every waiting delivery that is due, oldest first, e-mails over one connection; stop starting at `until`.

    Must not run inside a transaction: each message is committed by itself. Raises nothing for what receivers do.
    """
    done = Sent()
    mail = _MailLine()
    try:
        _run(Delivery.Channel.EMAIL, mail.send, done=done, clock=clock, until=until)
    finally:
        mail.close()
    _run(Delivery.Channel.WEBHOOK, _send_webhook, done=done, clock=clock, until=until)
    return done


def _run(channel: str, send: Sending, *, done: Sent, clock: Clock, until: datetime | None) -> None:
    away_endpoints: list[int] = []
    while True:
        now = clock()
        if until is not None and now >= until:
            done.is_finished = False
            return
        with transaction.atomic():
            delivery = _claim(channel, now=now, away=away_endpoints)
            if delivery is None:
                return
            error = _attempt(delivery, send, now=now, done=done)
            delivery.save(update_fields=["state", "attempts", "next_attempt_at", "last_error", "sent_at"])
        reach("deliver.after_commit")
        if error is not None and error.is_receiver_away:
            if channel == Delivery.Channel.EMAIL:
                return
            if delivery.endpoint_id is not None:
                away_endpoints.append(delivery.endpoint_id)


def _claim(channel: str, *, now: datetime, away: list[int]) -> Delivery | None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)", [IDLE_LIMIT])
    due = Delivery.objects.filter(channel=channel, state=Delivery.State.WAITING, next_attempt_at__lte=now)
    return (
        due.exclude(endpoint__in=away)
        .order_by("next_attempt_at", "id")
        .select_for_update(skip_locked=True, of=("self",))
        .select_related("endpoint", "document", "document__invoice")
        .first()
    )


def _attempt(delivery: Delivery, send: Sending, *, now: datetime, done: Sent) -> TryLater | None:
    """Send it and write on the row what came of it; the error when it must wait."""
    delivery.attempts += 1
    reach("deliver.before_send")
    try:
        send(delivery, now)
        reach("deliver.after_send")
    except Refused as refusal:
        delivery.state, delivery.last_error = Delivery.State.FAILED, str(refusal)[:2000]
        done.failed += 1
        log.warning("delivery %s to %s refused: %s", delivery.pk, delivery.recipient, refusal)
        return None
    except TryLater as error:
        delivery.last_error = str(error)[:2000]
        if delivery.attempts >= MAX_ATTEMPTS:
            delivery.state = Delivery.State.FAILED
            done.failed += 1
            log.error("delivery %s to %s failed for good: %s", delivery.pk, delivery.recipient, error)
        else:
            delivery.next_attempt_at = now + wait_after(delivery.attempts)
            done.later += 1
        return error
    delivery.state, delivery.sent_at, delivery.last_error = Delivery.State.SENT, now, ""
    done.sent += 1
    return None


def wait_after(attempts: int, *, share: Callable[[], float] = random.random) -> timedelta:
    """How long to wait after that many attempts: doubling from 30 seconds to 4 hours, each shortened or lengthened by
    up to a fifth, so that what failed together does not come back together. `share` gives numbers in [0, 1)."""
    doublings = min(attempts - 1, 20)
    wait: timedelta = min(FIRST_WAIT * 2**doublings, LONGEST_WAIT)
    return wait * (0.8 + 0.4 * share())


class _MailLine:
    """The connection to the mail server: opened by the first message, reopened after trouble."""

    def __init__(self) -> None:
        self._backend: BaseEmailBackend | None = None

    def send(self, delivery: Delivery, now: datetime) -> None:
        try:
            message = message_of(delivery, at=now)
        except ValueError as error:
            raise Refused(f"The message cannot be written: {error}") from error
        if self._backend is None:
            self._backend = self._open()
        try:
            self._backend.send_messages([message])
        except smtplib.SMTPRecipientsRefused as error:
            code, reason = _refusal_of(error)
            if 500 <= code < 600:
                raise Refused(reason) from error
            raise TryLater(reason) from error
        except smtplib.SMTPDataError as error:
            if 500 <= error.smtp_code < 600:
                raise Refused(_reply(error)) from error
            raise TryLater(_reply(error)) from error
        except ValueError as error:  # an address that no server takes
            raise Refused(f"The message cannot be written: {error}") from error
        except smtplib.SMTPResponseException as error:
            self.close()
            raise TryLater(_reply(error), is_receiver_away=True) from error
        except OSError as error:  # smtplib's other errors are OSErrors too
            self.close()
            raise TryLater(f"{type(error).__name__}: {error}", is_receiver_away=True) from error

    def _open(self) -> BaseEmailBackend:
        backend: BaseEmailBackend = mailers["default"]
        try:
            backend.open()
        except smtplib.SMTPResponseException as error:
            raise TryLater(_reply(error), is_receiver_away=True) from error
        except OSError as error:
            raise TryLater(f"{type(error).__name__}: {error}", is_receiver_away=True) from error
        return backend

    def close(self) -> None:
        if self._backend is not None:
            backend, self._backend = self._backend, None
            try:
                backend.close()
            except OSError as error:
                log.debug("the mail server went away first: %s", error)


def message_of(delivery: Delivery, *, at: datetime) -> EmailMultiAlternatives:
    """The e-mail exactly as it is sent at that moment. ValueError when a header cannot carry what the row says."""
    message = _empty_message_of(delivery, at=at)
    message.body = delivery.text
    if delivery.html:
        message.attach_alternative(delivery.html, "text/html")
    if delivery.document is not None:
        message.attach(f"{delivery.document.invoice.number}.pdf", bytes(delivery.document.content), "application/pdf")
    return message


def headers_of(delivery: Delivery) -> list[tuple[str, str]]:
    """What stands above the message as it was or will be sent, without how its parts are packed; reads no attachment.
    It has a date once it was sent. ValueError as `message_of`."""
    hidden = ("Content-", "MIME-") if delivery.sent_at else ("Content-", "MIME-", "Date")
    headers = _empty_message_of(delivery, at=delivery.sent_at).message().items()
    return [(name, str(value)) for name, value in headers if not name.startswith(hidden)]


def _empty_message_of(delivery: Delivery, *, at: datetime | None) -> EmailMultiAlternatives:
    return EmailMultiAlternatives(
        subject=delivery.subject,
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[formataddr((_ADDRESS_SIGNS.sub("", delivery.recipient_name), delivery.recipient))],
        headers={
            "Message-ID": delivery.message_id,
            "Auto-Submitted": "auto-generated",
            **({"Date": format_datetime(at)} if at else {}),
        },
    )


def _refusal_of(error: smtplib.SMTPRecipientsRefused) -> tuple[int, str]:
    code, reply = next(iter(error.recipients.values()), (0, b""))
    return code, f"{code} {reply.decode(errors='replace') if isinstance(reply, bytes) else reply}"


def _reply(error: smtplib.SMTPResponseException) -> str:
    reply: Any = error.smtp_error
    return f"{error.smtp_code} {reply.decode(errors='replace') if isinstance(reply, bytes) else reply}"


def _send_webhook(delivery: Delivery, now: datetime) -> None:
    if delivery.endpoint is None or not delivery.endpoint.is_on:
        raise Refused("The endpoint is switched off or gone.")
    try:
        status = webhooks.post(
            endpoint=delivery.endpoint, message_id=delivery.message_id, payload=delivery.payload, now=now
        )
    except webhooks.AddressRefused as error:
        raise Refused(str(error)) from error
    except webhooks.NoAnswer as error:
        raise TryLater(str(error), is_receiver_away=True) from error
    if not 200 <= status < 300:
        raise TryLater(f"The receiver answered {status}.", is_receiver_away=status >= 500)


@transaction.atomic
def replay_delivery(*, delivery: Delivery, now: datetime, by: Actor) -> Delivery:
    """Send a delivery again, or at last, under its own Message-ID (spec 3.12, 7.2). Raises Conflict for a sandbox
    account's, which is never sent."""
    row = Delivery.objects.select_for_update().get(pk=delivery.pk)
    if row.state == Delivery.State.KEPT:
        raise Conflict("Messages of sandbox accounts are kept, not sent.", code="sandbox")
    before = row.state
    row.state, row.attempts, row.next_attempt_at, row.last_error = Delivery.State.WAITING, 0, now, ""
    row.save(update_fields=["state", "attempts", "next_attempt_at", "last_error"])
    record(
        by=by,
        action="delivery.replayed",
        subject=row.message_id,
        account=row.account_id,
        before={"state": before},
        after={"state": row.state},
    )
    return row
