"""API keys: shown once, stored as a hash, rotated with an overlap (spec 1.6)."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from usage.errors import Conflict, InvalidInput, Unauthorized
from usage.models import Account, ApiKey, AuditEntry
from usage.services.audit import Actor, record
from usage.sql import prepared
from usage.validators import check_text

# Recognisable in logs and secret scanners; the middle part is public.
_KEY = re.compile(r"hr_([a-z0-9]{12})_([A-Za-z0-9_-]{43})", re.ASCII)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Caller:
    """A valid API key as one request sees it. `account_id` None: the operator's, for all accounts. `is_sandbox` tells
    whether the key's own account has a test clock."""

    key_id: int
    account_id: int | None
    name: str
    prefix: str
    scopes: frozenset[str]
    is_sandbox: bool = False

    def actor(self) -> Actor:
        """This key in the audit trail."""
        return Actor(user=None, name=f"{self.name or 'key'} ({self.prefix}…)", how=AuditEntry.How.API)


@dataclass(frozen=True, slots=True)
class WorkspaceOfCall:
    """The workspace that a request is about, as far as every endpoint needs it."""

    id: int
    key: str
    account_id: int
    is_sandbox: bool


@transaction.atomic
def create_api_key(
    *,
    account: Account | None,
    name: str,
    scopes: Iterable[str],
    now: datetime,
    by: Actor,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Create a key of the account, or of the operator (`account` None), and return it with its plain text, which is
    never to be had again. Raises InvalidInput for unknown or no scopes, an expiry that has passed and a name that
    no key can have."""
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in ApiKey.Scope.values]
    if unknown or not wanted:
        raise InvalidInput(f"Scopes are some of {', '.join(ApiKey.Scope.values)}.", field="scopes")
    if expires_at is not None and expires_at <= now:
        raise InvalidInput("The key would have expired already.", field="expires_at")
    check_text(ApiKey._meta.get_field("name"), name, named="name")
    return _issue(account_id=account.pk if account else None, name=name, scopes=wanted, expires_at=expires_at, by=by)


@transaction.atomic
def rotate_api_key(*, key: ApiKey, overlap: timedelta, now: datetime, by: Actor) -> tuple[ApiKey, str]:
    """Issue a successor with the same account, name and scopes; the old key stays valid for `overlap` more, or until
    its own earlier expiry. Raises Conflict when the old key is revoked or expired."""
    old = ApiKey.objects.select_for_update().get(pk=key.pk)
    if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
        raise Conflict("The key is no longer valid; create a new one.")
    successor = _issue(
        account_id=old.account_id, name=old.name, scopes=old.scopes, expires_at=None, by=by, replaces=old
    )
    ends_at = now + overlap
    if old.expires_at is None or old.expires_at > ends_at:
        old.expires_at = ends_at
        old.save(update_fields=["expires_at"])
    record(
        by=by,
        action="api_key.rotated",
        subject=old.prefix,
        account=old.account_id,
        after={"replaced_by": successor[0].prefix, "expires_at": old.expires_at},
    )
    return successor


@transaction.atomic
def revoke_api_key(*, key: ApiKey, now: datetime, by: Actor) -> ApiKey:
    """Refuse the key from the next request on. Revoking again changes nothing."""
    row = ApiKey.objects.select_for_update().get(pk=key.pk)
    if row.revoked_at is None:
        row.revoked_at = now
        row.save(update_fields=["revoked_at"])
        record(by=by, action="api_key.revoked", subject=row.prefix, account=row.account_id, after={"revoked_at": now})
    return row


_CALLER = """
SELECT k.id, k.account_id, k.name, k.secret_hash, k.scopes, k.expires_at, k.revoked_at, k.last_used_on, a.is_sandbox
  FROM usage_apikey k LEFT JOIN usage_account a ON a.id = k.account_id WHERE k.prefix = %s
"""
_CALLER_AND_WORKSPACE = """
SELECT k.id, k.account_id, k.name, k.secret_hash, k.scopes, k.expires_at, k.revoked_at, k.last_used_on,
       a.is_sandbox, w.id, w.account_id
  FROM usage_apikey k
  LEFT JOIN usage_workspace w ON w.key = %s AND (k.account_id IS NULL OR w.account_id = k.account_id)
  LEFT JOIN usage_account a ON a.id = w.account_id
 WHERE k.prefix = %s
"""


# What `authenticate_for` judges, as the first part of a statement that then does the call's work: one trip to the
# database where there were two. No row: refused, or out of the ordinary, and `authenticate_for` tells which.
# MATERIALIZED, because nothing of the work may begin before the key is judged.
ADMITTED = """
WITH admitted AS MATERIALIZED (
    SELECT w.account_id AS account, w.id AS workspace
      FROM usage_apikey k
      JOIN usage_workspace w ON w.key = %(workspace_key)s AND (k.account_id IS NULL OR w.account_id = k.account_id)
      JOIN usage_account a ON a.id = w.account_id AND NOT a.is_sandbox
     WHERE k.prefix = %(prefix)s AND k.secret_hash = %(secret_hash)s AND k.scopes @> %(scopes)s::varchar[]
       AND (k.revoked_at IS NULL OR k.revoked_at > %(now)s) AND (k.expires_at IS NULL OR k.expires_at > %(now)s)
       AND k.last_used_on = (%(now)s AT TIME ZONE 'UTC')::date
)
"""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who asks for which workspace, demanding which scopes, at which instant: what `ADMITTED` judges."""

    prefix: str
    secret_hash: bytes
    workspace_key: str
    scopes: str
    now: datetime

    def parameters(self) -> dict[str, Any]:
        """The parameters of `ADMITTED`, to which a statement adds its own."""
        return {
            "prefix": self.prefix,
            "secret_hash": self.secret_hash,
            "workspace_key": self.workspace_key,
            "scopes": self.scopes,
            "now": self.now,
        }


def admission(header: str | None, workspace_key: str, *scopes: str, now: datetime) -> Admission:
    """A bearer header's question for a workspace, not judged yet. Raises Unauthorized when there is no key in it."""
    prefix, secret = _parts(header)
    return Admission(prefix, _hash(secret), workspace_key, f"{{{','.join(scopes)}}}", now)


def authenticate(header: str | None, now: datetime) -> Caller:
    """The holder of the key in an `Authorization: Bearer KEY` header, by one query; revoked and expired keys are
    refused at once. Raises Unauthorized, with the same words in every case."""
    prefix, secret = _parts(header)
    rows = prepared(_CALLER, [prefix])
    return _caller(rows[0] if rows else None, prefix, secret, now)


def authenticate_for(header: str | None, workspace_key: str, now: datetime) -> tuple[Caller, WorkspaceOfCall | None]:
    """As `authenticate`, together with the workspace of that key if this caller may see it, still by one query."""
    prefix, secret = _parts(header)
    if "\x00" in workspace_key:  # PostgreSQL has no such text, so no workspace has such a key
        return authenticate(header, now), None
    rows = prepared(_CALLER_AND_WORKSPACE, [workspace_key, prefix])
    caller = _caller(rows[0] if rows else None, prefix, secret, now)
    is_sandbox, workspace_id, account_id = rows[0][8:]
    if workspace_id is None:
        return caller, None
    return caller, WorkspaceOfCall(id=workspace_id, key=workspace_key, account_id=account_id, is_sandbox=is_sandbox)


def _parts(header: str | None) -> tuple[str, str]:
    scheme, _, token = (header or "").partition(" ")
    match = _KEY.fullmatch(token.strip(" "))
    if scheme.lower() != "bearer" or match is None:
        raise Unauthorized
    return match[1], match[2]


def _caller(row: tuple | None, prefix: str, secret: str, now: datetime) -> Caller:  # type: ignore[type-arg]
    stored = bytes(row[3]) if row else b"\0" * 32
    is_right = hmac.compare_digest(stored, _hash(secret))
    if row is None or not is_right:
        raise Unauthorized
    key_id, account_id, name, _, scopes, expires_at, revoked_at, last_used_on, is_sandbox = row[:9]
    if (revoked_at is not None and revoked_at <= now) or (expires_at is not None and expires_at <= now):
        raise Unauthorized
    if last_used_on != now.date():
        with connection.cursor() as cursor:
            # Conditional, so that of many first requests of a day one writes.
            cursor.execute(
                "UPDATE usage_apikey SET last_used_on = %(day)s"
                " WHERE id = %(id)s AND last_used_on IS DISTINCT FROM %(day)s",
                {"day": now.date(), "id": key_id},
            )
    return Caller(
        key_id=key_id,
        account_id=account_id,
        name=name,
        prefix=prefix,
        scopes=frozenset(scopes),
        is_sandbox=account_id is not None and bool(is_sandbox),
    )


def _issue(
    *,
    account_id: int | None,
    name: str,
    scopes: list[str],
    expires_at: datetime | None,
    by: Actor,
    replaces: ApiKey | None = None,
) -> tuple[ApiKey, str]:
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    secret = secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        account_id=account_id,
        name=name,
        prefix=prefix,
        secret_hash=_hash(secret),
        scopes=scopes,
        created_at=Now(),
        expires_at=expires_at,
        replaces=replaces,
    )
    record(
        by=by,
        action="api_key.created",
        subject=prefix,
        account=account_id,
        after={"name": name, "scopes": scopes, "expires_at": expires_at},
    )
    return key, f"hr_{prefix}_{secret}"


def _hash(secret: str) -> bytes:
    # The secret has 256 random bits, so a plain fast hash is as good as a slow one.
    return hashlib.sha256(secret.encode()).digest()
