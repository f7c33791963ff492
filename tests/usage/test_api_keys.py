"""API keys: shown once, hashed, scoped, rotated with an overlap, refused from the next request on (spec 1.6)."""

import hashlib
from datetime import timedelta

import pytest
from django.http import HttpRequest
from django.test import Client
from django.utils import timezone

from tests.factories import BY, bearer, event, make_account, make_key
from usage.api_auth import caller_of, require_workspace, workspace_of
from usage.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthorized
from usage.models import ApiKey, AuditEntry
from usage.services.api_keys import (
    authenticate,
    authenticate_for,
    create_api_key,
    revoke_api_key,
    rotate_api_key,
)

pytestmark = pytest.mark.django_db


def refused(header: str | None) -> bool:
    try:
        authenticate(header, timezone.now())
    except Unauthorized:
        return True
    return False


def test_only_a_hash_of_the_secret_is_stored() -> None:
    plain = make_key(make_account(), "ingest")
    key = ApiKey.objects.get()
    secret = plain.rpartition(f"{key.prefix}_")[2]
    assert bytes(key.secret_hash) == hashlib.sha256(secret.encode()).digest()
    stored = str(ApiKey.objects.values().get()) + str(list(AuditEntry.objects.values()))
    assert secret not in stored


def test_a_key_says_whose_it_is_and_what_it_may() -> None:
    account = make_account()
    caller = authenticate(f"Bearer {make_key(account, 'ingest', 'read')}", timezone.now())
    assert (caller.account_id, caller.scopes) == (account.pk, {"ingest", "read"})
    assert authenticate(f"bearer {make_key(None, 'manage')}", timezone.now()).account_id is None


def test_the_workspace_is_found_with_the_key_if_the_caller_may_see_it() -> None:
    mine, other = make_account(), make_account("other", workspaces=("cedar",))
    header, now = f"Bearer {make_key(mine, 'read')}", timezone.now()
    _, atlas = authenticate_for(header, "atlas", now)
    assert atlas is not None
    assert (atlas.key, atlas.account_id, atlas.is_sandbox) == ("atlas", mine.pk, False)
    for unseen in ("cedar", "nowhere", "", "a\x00b"):
        assert authenticate_for(header, unseen, now)[1] is None
    operators = authenticate_for(f"Bearer {make_key(None, 'read')}", "cedar", now)[1]
    assert operators is not None
    assert operators.account_id == other.pk


def test_whatever_is_wrong_with_a_key_the_answer_is_the_same() -> None:
    plain = make_key(make_account(), "ingest")
    assert not refused(f"Bearer {plain}")
    wrong = plain[:-1] + ("A" if plain[-1] != "A" else "B")
    for header in (None, "", "Bearer", f"Basic {plain}", plain, f"Bearer {plain[:-1]}", f"Bearer {wrong}", "Bearer é"):
        assert refused(header)


def test_a_revoked_key_is_refused_from_the_next_request_on() -> None:
    plain = make_key(make_account(), "ingest")
    client, headers = Client(), bearer(plain)
    sent = {"path": "/api/v1/events", "data": event(), "content_type": "application/cloudevents+json"}
    assert client.post(**sent, headers=headers).status_code == 200
    revoke_api_key(key=ApiKey.objects.get(), now=timezone.now(), by=BY)
    assert client.post(**sent, headers=headers).status_code == 401
    count = AuditEntry.objects.count()
    revoke_api_key(key=ApiKey.objects.get(), now=timezone.now(), by=BY)
    assert AuditEntry.objects.count() == count


def test_a_key_may_expire() -> None:
    now = timezone.now()
    plain = make_key(make_account(), "ingest", expires_at=now + timedelta(hours=1))
    header = f"Bearer {plain}"
    authenticate(header, now + timedelta(minutes=59))
    with pytest.raises(Unauthorized):
        authenticate(header, now + timedelta(hours=1))
    with pytest.raises(InvalidInput):
        create_api_key(account=None, name="", scopes=["read"], expires_at=now, now=now, by=BY)


def test_rotation_overlaps() -> None:
    now = timezone.now()
    old = make_key(make_account(), "ingest", "read")
    key = ApiKey.objects.get()
    successor, new = rotate_api_key(key=key, overlap=timedelta(days=1), now=now, by=BY)
    assert (successor.scopes, successor.account_id, successor.replaces_id) == (key.scopes, key.account_id, key.pk)
    for header in (f"Bearer {old}", f"Bearer {new}"):
        authenticate(header, now + timedelta(hours=23))
    with pytest.raises(Unauthorized):
        authenticate(f"Bearer {old}", now + timedelta(days=1))
    authenticate(f"Bearer {new}", now + timedelta(days=1))
    revoke_api_key(key=successor, now=now, by=BY)
    with pytest.raises(Conflict):
        rotate_api_key(key=successor, overlap=timedelta(0), now=now, by=BY)


@pytest.mark.parametrize("scopes", [[], ["everything"], ["read", "write"]])
def test_unknown_scopes_are_refused(scopes: list[str]) -> None:
    with pytest.raises(InvalidInput):
        create_api_key(account=None, name="", scopes=scopes, now=timezone.now(), by=BY)


@pytest.mark.parametrize("name", ["a" * 121, "a\nb"])
def test_a_name_that_no_key_can_have_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="characters"):
        create_api_key(account=None, name=name, scopes=["read"], now=timezone.now(), by=BY)


def test_the_day_of_the_last_use_is_kept() -> None:
    plain = make_key(make_account(), "read")
    now = timezone.now()
    authenticate(f"Bearer {plain}", now)
    assert ApiKey.objects.get().last_used_on == now.date()
    authenticate(f"Bearer {plain}", now + timedelta(days=1))
    assert ApiKey.objects.get().last_used_on == (now + timedelta(days=1)).date()


def test_who_used_a_key_can_be_read_in_the_audit_trail() -> None:
    caller = authenticate(f"Bearer {make_key(make_account(), 'read')}", timezone.now())
    assert caller.actor().how == AuditEntry.How.API
    assert caller.prefix in caller.actor().name
    assert ApiKey.objects.get(prefix=caller.prefix).pk == caller.key_id


def test_a_request_remembers_its_caller_and_workspace() -> None:
    request = HttpRequest()
    request.META["HTTP_AUTHORIZATION"] = f"Bearer {make_key(make_account(), 'read')}"
    with pytest.raises(Unauthorized):
        caller_of(request)
    require_workspace(request, "atlas", "read")
    assert caller_of(request).scopes == {"read"}
    assert workspace_of(request).key == "atlas"
    with pytest.raises(Forbidden):
        require_workspace(request, "atlas", "read", "manage")
    with pytest.raises(NotFound):
        require_workspace(request, "nowhere", "read")
