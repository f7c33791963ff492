"""The outbox: what is told becomes notifications and deliveries in the transaction that decided it (spec 3.2, 3.11,
3.12).

E-mails go to every billing contact of the account, webhooks to its endpoints. Everything is rendered here, once, so
that a repeated message is the same message, and admin shows it as it looks (spec 10.6). Nothing is sent here.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection
from django_q.tasks import async_task

from alerts.models import Delivery, Notification, WebhookEndpoint
from alerts.services import messages
from alerts.services.news import News
from billing.models import BillingContact
from usage.models import Account

WEBHOOK_TYPES: Final = {
    Notification.Kind.USAGE_ALERT: "usage.alert.reached",
    Notification.Kind.PLAN_ALERT: "usage.alert.reached",
    Notification.Kind.SPEND_ALERT: "usage.alert.reached",
    Notification.Kind.LIMIT_REACHED: "limit.reached",
    Notification.Kind.LIMIT_CLEARED: "limit.cleared",
    Notification.Kind.INVOICE_ISSUED: "invoice.issued",
}

_RECIPIENTS: Final = """
SELECT 'email', account_id, id, email, name, NULL::varchar[] FROM billing_billingcontact
 WHERE account_id = ANY(%(accounts)s::bigint[])
 UNION ALL
SELECT 'webhook', account_id, id, url, '', types FROM alerts_webhookendpoint
 WHERE account_id = ANY(%(accounts)s::bigint[]) AND is_on
 ORDER BY 1, 2, 3
"""


def tell(news: Sequence[News], *, now: datetime) -> list[Delivery]:
    """Write the notifications and deliveries of `news`, in order, and queue the sending; in the caller's transaction.

    Deliveries of sandbox accounts are kept, not sent (spec 7.4). Aware `now`. Returns the deliveries.
    """
    if not news:
        return []
    surroundings = messages.surroundings_of(news)
    words = [messages.words_of(item, surroundings) for item in news]
    notifications = Notification.objects.bulk_create(
        Notification(
            kind=item.kind,
            account_id=item.account_id,
            workspace_id=item.workspace_id,
            metric_id=item.metric_id,
            level=item.level,
            threshold=item.threshold,
            quantity=item.quantity,
            period=item.period,
            at=item.at,
            title=said.title[:200],
            body=said.body,
            dedupe=item.identity,
        )
        for item, said in zip(news, words, strict=True)
    )
    accounts = surroundings.accounts
    recipients = recipients_of(accounts)
    deliveries = []
    for item, said, notification in zip(news, words, notifications, strict=True):
        account = accounts[item.account_id]
        if item.has_email and said.mail:
            mail = said.mail()
            deliveries += [
                email_to(
                    contact, account=account, mail=mail, identity=item.identity, now=now, notification=notification
                )
                for contact in recipients[item.account_id].contacts
            ]
        deliveries += webhooks_of(
            recipients[item.account_id].endpoints,
            account=account,
            kind=item.kind,
            payload=said.payload,
            identity=item.identity,
            now=now,
            notification=notification,
        )
    return post(deliveries)


def post(deliveries: Sequence[Delivery]) -> list[Delivery]:
    """Store deliveries and queue their sending, in the caller's transaction."""
    stored = Delivery.objects.bulk_create(deliveries)
    if any(delivery.state == Delivery.State.WAITING for delivery in stored):
        queue_sending()
    return stored


def queue_sending() -> None:
    """Have what is due sent as soon as the running transaction commits: a queue row, part of it."""
    async_task("alerts.jobs.deliver")


@dataclass(slots=True)
class Recipients:
    """Whom an account's messages go to."""

    contacts: list[BillingContact] = field(default_factory=list)
    endpoints: list[WebhookEndpoint] = field(default_factory=list)


def recipients_of(accounts: Iterable[int]) -> dict[int, Recipients]:
    """The billing contacts of accounts and their webhook endpoints that are switched on, in one query."""
    found: dict[int, Recipients] = defaultdict(Recipients)
    with connection.cursor() as cursor:
        cursor.execute(_RECIPIENTS, {"accounts": list(accounts)})
        for channel, account_id, pk, address, name, types in cursor.fetchall():
            if channel == Delivery.Channel.EMAIL:
                found[account_id].contacts.append(
                    BillingContact(pk=pk, account_id=account_id, email=address, name=name)
                )
            else:
                found[account_id].endpoints.append(
                    WebhookEndpoint(pk=pk, account_id=account_id, url=address, types=types)
                )
    return found


def email_to(
    contact: BillingContact,
    *,
    account: Account,
    mail: messages.Mail,
    identity: str,
    now: datetime,
    notification: Notification | None = None,
) -> Delivery:
    """An unsaved delivery of `mail` to a contact. Its Message-ID comes from what it tells and whom, so it is stable."""
    return Delivery(
        channel=Delivery.Channel.EMAIL,
        account=account,
        notification=notification,
        recipient=contact.email,
        recipient_name=contact.name,
        subject=mail.subject[:250],
        text=mail.text,
        html=mail.html,
        message_id=f"<{_digest(identity, contact.email.lower())}@{urlsplit(settings.BASE_URL).hostname}>",
        state=Delivery.State.KEPT if account.is_sandbox else Delivery.State.WAITING,
        next_attempt_at=now,
        created_at=now,
    )


def webhooks_of(
    endpoints: Sequence[WebhookEndpoint],
    *,
    account: Account,
    kind: str,
    payload: dict[str, object],
    identity: str,
    now: datetime,
    notification: Notification | None = None,
) -> list[Delivery]:
    """Unsaved deliveries of a webhook to those endpoints that want its type (spec 3.12)."""
    wanted = WEBHOOK_TYPES[Notification.Kind(kind)]
    return [
        Delivery(
            channel=Delivery.Channel.WEBHOOK,
            account=account,
            notification=notification,
            endpoint=endpoint,
            recipient=endpoint.url,
            subject=wanted,
            payload={"type": wanted, "timestamp": payload["at"], "data": payload},
            message_id=f"msg_{_digest(identity, str(endpoint.pk))}",
            state=Delivery.State.KEPT if account.is_sandbox else Delivery.State.WAITING,
            next_attempt_at=now,
            created_at=now,
        )
        for endpoint in endpoints
        if not endpoint.types or wanted in endpoint.types
    ]


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()
