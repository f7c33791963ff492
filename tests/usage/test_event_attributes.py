"""What the attributes and the data of an event must look like (spec 2.3, CloudEvents 1.0), through the HTTP door.

Nothing of a refused request is stored, nothing here may ever answer 5xx, and every refusal says what is wrong.
"""

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.factories import event, make_account, make_key
from tests.usage.door import BATCH, STRUCTURED, post, rejection
from usage.models import UsageEvent

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> str:
    return make_key(make_account(), "ingest")


def without(name: str) -> dict[str, Any]:
    sent = event()
    del sent[name]
    return sent


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "subject"])
@pytest.mark.parametrize("value", [..., None, "", 1, True, [], {}, "a\x00b", "a\nb", "\ud800", "\ufffe", "x" * 1025])
def test_required_attributes_are_text(key: str, name: str, value: Any) -> None:
    sent = without(name) if value is ... else {**event(), name: value}
    assert rejection(post(key, sent)) == ("invalid_attribute", name)


@pytest.mark.parametrize("version", ["0.3", "1", "1.0.2", "1.0 ", 1.0, "2.0"])
def test_other_versions_of_cloudevents_are_refused(key: str, version: Any) -> None:
    assert rejection(post(key, {**event(), "specversion": version})) == ("invalid_attribute", "specversion")


@pytest.mark.parametrize(
    "source", ["a b", "1a:b", "é", "%", "a#b#c", "http://[zz]/", "<x>", "headroom:consume", "headroom:"]
)
def test_a_source_must_be_a_uri_reference_of_the_senders_own(key: str, source: str) -> None:
    assert rejection(post(key, {**event(), "source": source})) == ("invalid_attribute", "source")


@pytest.mark.parametrize(
    "source", ["app", "/a/b", "urn:uuid:1", "https://u@h:1/p?q#f", "//h", "mailto:x@y.z", "#f", "a%20b"]
)
def test_any_uri_reference_is_a_source(key: str, source: str) -> None:
    assert post(key, {**event(), "source": source}).json()["accepted"] == 1


@pytest.mark.parametrize(
    "time",
    [
        "2026-06-15",
        "2026-06-15T12:00:00",
        "2026-06-15 12:00:00Z",
        "2026-06-15T12:00Z",
        "20260615T120000Z",
        "2026-W24-1T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "2026-06-15T24:00:00Z",
        "2026-06-15T23:59:60Z",
        "2026-06-15T12:00:00+24:00",
        "2026-06-15T12:00:00+0200",
        "2026-06-15T12:00:00,5Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "10000-01-01T00:00:00Z",
        "٢٠٢٦-06-15T12:00:00Z",
        "1750000000",
        1750000000,
        "",
        True,
    ],
)
def test_times_are_rfc_3339_with_an_offset(key: str, time: Any) -> None:
    assert rejection(post(key, {**event(), "time": time})) == ("invalid_attribute", "time")


@pytest.mark.parametrize(
    ("time", "stored"),
    [
        ("2026-06-15T12:00:00Z", "2026-06-15T12:00:00+00:00"),
        ("2026-06-15t12:00:00z", "2026-06-15T12:00:00+00:00"),
        ("2026-06-15T12:00:00.123456789+05:45", "2026-06-15T06:15:00.123456+00:00"),
        ("2026-06-15T00:30:00-00:00", "2026-06-15T00:30:00+00:00"),
        (None, None),
    ],
)
def test_a_time_is_the_instant_it_names(key: str, time: str | None, stored: str | None) -> None:
    assert post(key, {**event(), "time": time}).json()["accepted"] == 1
    row = UsageEvent.objects.get()
    assert row.occurred_at.isoformat() == (stored or row.received_at.isoformat())


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("myExtension", "x", ("invalid_attribute", None)),
        ("my_extension", "x", ("invalid_attribute", None)),
        ("", "x", ("invalid_attribute", None)),
        ("ext", {}, ("invalid_attribute", "ext")),
        ("ext", [1], ("invalid_attribute", "ext")),
        ("ext", 1.5, ("invalid_attribute", "ext")),
        ("ext", 2**31, ("invalid_attribute", "ext")),
        ("ext", "a\tb", ("invalid_attribute", "ext")),
        ("dataschema", "relative/path", ("invalid_attribute", "dataschema")),
        ("dataschema", "", ("invalid_attribute", "dataschema")),
        ("dataschema", 5, ("invalid_attribute", "dataschema")),
        ("datacontenttype", "json", ("invalid_attribute", "datacontenttype")),
        ("datacontenttype", "", ("invalid_attribute", "datacontenttype")),
        ("datacontenttype", "text/plain", ("invalid_data", "datacontenttype")),
        ("data_base64", "e30=x", ("invalid_data", "data_base64")),
        ("data_base64", 5, ("invalid_data", "data_base64")),
        ("data_base64", base64.b64encode(b"{").decode(), ("invalid_data", "data_base64")),
        ("data_base64", base64.b64encode(b"[1]").decode(), ("invalid_data", "data")),
    ],
)
def test_other_attributes_obey_the_text(key: str, name: str, value: Any, expected: tuple[str, str | None]) -> None:
    assert rejection(post(key, {**event(), name: value})) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"traceparent": "00-x", "n": 5, "flag": True, "gone": None},
        {"datacontenttype": "application/json; charset=utf-8", "dataschema": "https://example.com/schema"},
        {"datacontenttype": "application/vnd.acme+json"},
        {"datacontenttype": None, "dataschema": None, "data": None, "data_base64": None},
    ],
)
def test_what_the_text_allows_is_accepted(key: str, change: dict[str, Any]) -> None:
    assert post(key, {**event(), **change}).json()["accepted"] == 1


def test_data_and_data_base64_exclude_each_other(key: str) -> None:
    assert rejection(post(key, event(data={}, data_base64="e30="))) == ("invalid_data", "data_base64")


@pytest.mark.parametrize(
    ("data", "accepted"),
    [
        ('{"a": "\\u0000"}', False),
        ('{"a\\u0000": 1}', False),
        ('{"a": "\\\\u0000"}', True),
        ('{"a": "\\ud83d\\ude00"}', True),
        ('{"a": "\\ud83d"}', False),
        ('{"a": 1, "a": 1}', False),
        ('{"a": {"b": 1, "b": 2}}', False),
        ('{"a": [{"b": 1}, {"b": 1}]}', True),
        ('{"a": 1e400}', True),
        ('{"a": 1e-999999999999999999999}', True),
        ('{"a": ' + "9" * 6000 + "}", True),
        ('{"a":' * 31 + "1" + "}" * 31, True),
        ('{"a":' * 40 + "1" + "}" * 40, False),
    ],
)
def test_data_is_any_json_that_text_can_hold(key: str, data: str, accepted: bool) -> None:
    good = json.dumps(event())
    sent = json.dumps(event(data="DATA")).replace('"DATA"', data)
    response = post(key, f"[{sent},{good}]".encode(), BATCH)
    assert response.status_code == 200
    if accepted:
        assert response.json() == {"accepted": 2, "duplicate": 0, "rejected": []}
    else:
        assert response.json()["accepted"] == 1
        assert [(e["index"], e["code"], e["field"]) for e in response.json()["rejected"]] == [
            (0, "invalid_data", "data")
        ]


@pytest.mark.parametrize("value", ["1e400", "9" * 6000, "1e-999999999999999999999", "0." + "1" * 6000])
def test_absurd_numbers_are_refused_as_values(key: str, value: str) -> None:
    sent = json.dumps(event("sms.message", data={"value": 0})).replace('"value": 0', f'"value": {value}')
    assert rejection(post(key, sent.encode())) == ("invalid_data", "data.value")


def test_an_attribute_that_stands_twice_is_refused(key: str) -> None:
    sent = json.dumps(event(id_="x")).replace('"id": "x"', '"id": "x", "id": "y"')
    assert rejection(post(key, sent.encode())) == ("invalid_attribute", "id")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
attributes = st.sampled_from([*event(), "time", "data", "datacontenttype", "dataschema", "data_base64", "ext", "Bad"])


@hypothesis_settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(changes=st.dictionaries(attributes, json_values, min_size=1, max_size=3))
def test_no_event_is_too_strange_for_a_clear_answer(key: str, changes: dict[str, Any]) -> None:
    sent = {**event(), **changes}
    response = post(key, json.dumps([sent]).encode("utf-8", "surrogatepass"), BATCH)
    assert response.status_code in {200, 400, 422}
    if response.status_code == 422:
        entry = response.json()["rejected"][0]
        assert entry["index"] == 0
        assert entry["reason"]


@hypothesis_settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(body=st.binary(max_size=200), content_type=st.sampled_from([STRUCTURED, BATCH, "application/json", ""]))
def test_no_body_is_too_strange_for_a_clear_answer(key: str, body: bytes, content_type: str) -> None:
    assert post(key, body, content_type).status_code in {400, 413, 422}
