"""The three modes of CloudEvents over HTTP, and what their envelope must look like (spec 2.3), through the HTTP door.

Nothing of a refused request is stored, nothing here may ever answer 5xx, and every refusal says what is wrong.
"""

import base64
import gzip
import json

import pytest
from django.test import Client

from tests.factories import bearer, event, make_account, make_key
from tests.usage.door import BATCH, STRUCTURED, binary, post, refusal, rejection
from usage import cloudevents
from usage.models import UsageEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> str:
    return make_key(make_account(), "ingest")


# --- The three modes ---


@pytest.mark.parametrize("content_type", [STRUCTURED, f"{STRUCTURED}; charset=UTF-8", "application/json", None])
def test_one_structured_event_is_read(key: str, content_type: str | None) -> None:
    assert post(key, event(), content_type).json()["accepted"] == 1


@pytest.mark.parametrize("content_type", [BATCH, f'{BATCH};charset="utf-8"', "application/json", None])
def test_a_batch_is_read(key: str, content_type: str | None) -> None:
    assert post(key, [event(), event()], content_type).json()["accepted"] == 2


@pytest.mark.parametrize("content_type", [None, "application/json", "application/vnd.acme+json; charset=utf-8"])
def test_a_binary_event_is_read(key: str, content_type: str | None) -> None:
    response = binary(key, {"value": 3}, content_type, type="sms.message", time="2026-06-15T12:00:00Z")
    assert response.json()["accepted"] == 1
    assert UsageEvent.objects.get().quantity == 3


def test_the_same_event_in_another_mode_is_a_duplicate(key: str) -> None:
    sent = event(id_="b-1", time="2026-06-15T12:00:00Z", data={"conversation_id": "ü"})
    assert post(key, sent).json()["accepted"] == 1
    assert binary(key, sent["data"], time="2026-06-15T12:00:00Z").json()["duplicate"] == 1
    encoded = {**sent, "data_base64": base64.b64encode(json.dumps(sent["data"]).encode()).decode()}
    del encoded["data"]
    assert post(key, [encoded], BATCH).json()["duplicate"] == 1


def test_headers_are_percent_decoded_and_unquoted(key: str) -> None:
    assert binary(key, id="%E2%82%AC%20%22x%22").json()["accepted"] == 1
    assert UsageEvent.objects.get().event_id == '€ "x"'
    assert binary(key, id='"a \\" b"').json()["accepted"] == 1
    assert UsageEvent.objects.filter(event_id='a " b').exists()


@pytest.mark.parametrize(
    "value",
    [
        "%C0%AF",  # overlong
        "%ED%A0%80",  # half a surrogate pair
        "%F5%80%80%80",  # beyond Unicode
        "%E2%82",  # breaks off
        "100%",
        "%zz",
        "caf\xe9",
        "%00",
        "a%07",
    ],
)
def test_a_header_that_is_no_text_is_refused(key: str, value: str) -> None:
    assert rejection(binary(key, id=value)) == ("invalid_attribute", "id")


def test_binary_and_structured_at_once_is_refused(key: str) -> None:
    assert refusal(post(key, event(), STRUCTURED, ce_id="x", ce_specversion="1.0")) == (400, "mixed_modes")
    assert refusal(post(key, [event()], BATCH, ce_type="x")) == (400, "mixed_modes")


@pytest.mark.parametrize("change", [{"datacontenttype": "application/json"}, {"data": "x"}, {"foo-bar": "x"}])
def test_a_header_that_is_no_attribute_is_refused(key: str, change: dict[str, str]) -> None:
    assert rejection(binary(key, **change))[0] == "invalid_attribute"


def test_binary_data_must_be_json(key: str) -> None:
    assert rejection(binary(key, b"hello", "text/plain")) == ("invalid_data", "datacontenttype")
    assert refusal(binary(key, b"{", "application/json")) == (400, "bad_request")


# --- The envelope ---


@pytest.mark.parametrize(
    ("body", "content_type", "expected"),
    [
        (b"", STRUCTURED, (400, "bad_request")),
        (b"{", STRUCTURED, (400, "bad_request")),
        (b"nope", BATCH, (400, "bad_request")),
        (b"\xff\xfe{}", STRUCTURED, (400, "bad_request")),
        (b"\xef\xbb\xbf{}", STRUCTURED, (400, "bad_request")),
        (b"[]", BATCH, (400, "no_events")),
        (b"{}", BATCH, (400, "bad_request")),
        (b"[]", STRUCTURED, (400, "bad_request")),
        (b'"text"', "application/json", (400, "bad_request")),
        (b"null", "", (400, "bad_request")),
        (b"[NaN]", BATCH, (400, "bad_request")),
        (b'[{"data":{"value":Infinity}}]', BATCH, (400, "bad_request")),
        (b"[" * 200_000, BATCH, (400, "bad_request")),
        (b'{"data":' * 100_000, STRUCTURED, (400, "bad_request")),
        (b"{}", "text/plain", (415, "unsupported_media_type")),
        (b"<a/>", "application/xml", (415, "unsupported_media_type")),
        (b"{}", "application/cloudevents", (415, "unsupported_media_type")),
        (b"{}", "application/cloudevents+avro", (415, "unsupported_media_type")),
        (b"{}", f"{STRUCTURED}; charset=utf-16", (415, "unsupported_charset")),
        (b"[" + b"1," * 1000 + b"1]", BATCH, (413, "too_many_events")),
        (b" " * (cloudevents.MAX_BODY + 1), BATCH, (413, "too_large")),
        (b" " * (13 * 1024 * 1024), BATCH, (413, "too_large")),
    ],
)
def test_an_envelope_that_cannot_be_read_is_refused(
    key: str, body: bytes, content_type: str, expected: tuple[int, str]
) -> None:
    assert refusal(post(key, body, content_type)) == expected


def test_gzip_is_accepted_and_a_bomb_refused(key: str) -> None:
    packed = gzip.compress(json.dumps([event(), event()]).encode())
    assert post(key, packed, BATCH, content_encoding="gzip").json()["accepted"] == 2
    UsageEvent.objects.all().delete()
    bomb = gzip.compress(b" " * 200_000_000)
    assert refusal(post(key, bomb, BATCH, content_encoding="gzip")) == (413, "too_large")
    assert refusal(post(key, packed[:-9], BATCH, content_encoding="gzip")) == (400, "bad_request")
    assert refusal(post(key, b"plain", BATCH, content_encoding="gzip")) == (400, "bad_request")
    assert refusal(post(key, packed, BATCH, content_encoding="br")) == (415, "unsupported_encoding")


def test_only_post_is_answered(key: str) -> None:
    response = Client().get("/api/v1/events", headers=bearer(key))
    assert refusal(response) == (405, "method_not_allowed")
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer x", "Basic abc", "Bearer hr_aaaaaaaaaaaa_" + "a" * 43])
def test_without_a_valid_key_nothing_is_read(key: str, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    response = Client().generic("POST", "/api/v1/events", b"{", content_type=STRUCTURED, headers=headers)
    assert refusal(response) == (401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_key_without_the_scope_is_refused(key: str) -> None:
    reader = make_key(make_account("other", workspaces=("cedar",)), "read", "decide", "manage")
    assert refusal(post(reader, event())) == (403, "missing_scope")
