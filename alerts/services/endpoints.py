"""Webhook endpoints: where an account's systems listen, and the secrets they check signatures with (spec 3.12)."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from alerts.models import WebhookEndpoint
from alerts.services.outbox import WEBHOOK_TYPES
from alerts.services.webhooks import AddressRefused, is_literal, is_public, target_of
from usage.errors import InvalidInput
from usage.models import Account
from usage.services.audit import Actor, record

TYPES: Final = tuple(dict.fromkeys(WEBHOOK_TYPES.values()))


def new_secret() -> str:
    """A fresh signing secret: `whsec_` and base64 of 32 random bytes."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


@transaction.atomic
def add_endpoint(*, account: Account, url: str, types: Sequence[str] = (), by: Actor) -> WebhookEndpoint:
    """Let an account's system listen at `url` for `types` (none = all). Raises InvalidInput."""
    try:
        target = target_of(url)
        if is_literal(target.host) and not is_public(target.host):
            raise AddressRefused(f"{target.host} is not a public address.")
    except AddressRefused as error:
        raise InvalidInput(str(error), field="url") from error
    if unknown := [name for name in types if name not in TYPES]:
        raise InvalidInput(f"“{unknown[0]}” is no type; use {', '.join(TYPES)}.", field="types")
    endpoint = WebhookEndpoint.objects.create(account=account, url=url, secret=new_secret(), types=list(types))
    record(by=by, action="webhook.added", subject=url, account=account, after={"url": url, "types": list(types)})
    return endpoint


@transaction.atomic
def rotate_secret(*, endpoint: WebhookEndpoint, overlap: timedelta, now: datetime, by: Actor) -> WebhookEndpoint:
    """Give the endpoint a new secret; until `overlap` is over messages carry signatures by both. Aware `now`."""
    row = WebhookEndpoint.objects.select_for_update().get(pk=endpoint.pk)
    row.previous_secret, row.previous_until, row.secret = row.secret, now + overlap, new_secret()
    row.save(update_fields=["secret", "previous_secret", "previous_until"])
    record(
        by=by, action="webhook.rotated", subject=row.url, account=row.account_id, after={"until": row.previous_until}
    )
    return row
