"""One event belongs to one metric: by its type, and by values of its data, each of its own JSON type (spec 2.2)."""

import json
from typing import Any

import pytest
from django.test import Client

from tests.factories import BY, bearer, event, make_account, make_key
from usage.errors import InvalidInput
from usage.models import Metric, UsageTotal
from usage.services.metrics import save_metric
from usage.services.transfer import import_events

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> str:
    return make_key(make_account(), "ingest")


def tiered(key: str, tier: Any) -> Metric:
    filters = {"tier": tier}
    return save_metric(
        metric=Metric(key=key, name=key, group="Tiers", event_type="api.request", filters=filters), by=BY
    )


def send(key: str, *events: Any) -> Any:
    return send_text(key, json.dumps(events))


def send_text(key: str, body: str) -> Any:
    return Client().post("/api/v1/events", body, content_type="application/json", headers=bearer(key)).json()


def test_filters_of_a_metric_choose_by_data(key: str) -> None:
    Metric.objects.filter(key="sms").update(filters={"direction": "sent"})
    answer = send(
        key,
        event("sms.message", data={"direction": "sent"}),
        event("sms.message", data={"direction": "received"}),
        event("sms.message"),
    )
    assert answer["accepted"] == 1
    assert [(entry["index"], entry["code"]) for entry in answer["rejected"]] == [
        (1, "unknown_type"),
        (2, "unknown_type"),
    ]


# As an application may write the value of each filter; JSON has many spellings of one number.
SPELLINGS: list[tuple[Any, tuple[str, ...]]] = [
    ("gold", ('"gold"',)),
    ("1", ('"1"',)),
    ("", ('""',)),
    (1, ("1", "1.0", "10e-1")),
    (0, ("0", "-0", "0.00")),
    (1.5, ("1.5", "1.50", "15e-1")),
    (1e30, ("1e30", "1E+30")),
    (True, ("true",)),
    (False, ("false",)),
    (None, ("null",)),
    ([1, 2.5, {"a": "b"}], ('[1.0,2.50,{"a":"b"}]',)),
    ({"x": 0.1, "y": None}, ('{"y":null,"x":0.10}',)),
]


def test_each_json_value_of_a_filter_is_found_in_all_its_spellings_and_under_no_other_type(key: str) -> None:
    for number, (tier, _) in enumerate(SPELLINGS):
        tiered(f"tier_{number}", tier)
    for number, (_, texts) in enumerate(SPELLINGS):
        for text in texts:
            sent = json.dumps([event("api.request", data={"tier": "here"})]).replace('"here"', text)
            assert send_text(key, sent)["accepted"] == 1, text
        assert UsageTotal.objects.get(metric__key=f"tier_{number}").quantity == len(texts)


def test_a_row_of_a_file_is_counted_by_the_metric_it_names_whatever_its_filter(key: str) -> None:
    names = [tiered(f"tier_{number}", tier).key for number, (tier, _) in enumerate(SPELLINGS)]
    rows = [f"{name},atlas,{name},2026-06-15T12:00:00Z\n" for name in names]
    reports = list(import_events(["id,workspace,metric,time\n", *rows], source="urn:file"))
    assert [report.refused for report in reports] == [[]]
    assert UsageTotal.objects.filter(metric__key__in=names, quantity=1).count() == len(names)


def test_two_spellings_of_one_number_are_one_filter() -> None:
    tiered("whole", 1)
    with pytest.raises(InvalidInput, match="could belong"):
        tiered("spelled", 1.0)


@pytest.mark.parametrize("tier", [float("nan"), float("inf"), "NUL \x00", "half \ud800"])
def test_a_filter_that_no_event_can_carry_is_refused(tier: Any) -> None:
    with pytest.raises(InvalidInput) as refusal:
        tiered("impossible", tier)
    assert refusal.value.field == "filters"
