"""Ingest through the HTTP door: what is counted, once, where, and what is said about the rest (spec 2.1-2.8)."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from tests.factories import bearer, event, make_account, make_key, workspace
from usage.models import Account, AccountClock, Metric, Period, UsageDay, UsageEvent, UsageLimit, UsageTotal
from usage.services.accounts import end_account
from usage.services.audit import Actor
from usage.signals import totals_passed_level

pytestmark = pytest.mark.django_db

BATCH = "application/cloudevents-batch+json"
STRUCTURED = "application/cloudevents+json"


@pytest.fixture
def account() -> Account:
    return make_account("acme", workspaces=("atlas", "birch"))


@pytest.fixture
def key(account: Account) -> str:
    return make_key(account, "ingest")


def send(key: str, *events: Any, headers: dict[str, str] | None = None) -> Any:
    return Client().post(
        "/api/v1/events", json.dumps(list(events)), content_type=BATCH, headers=bearer(key) | (headers or {})
    )


def total(metric: str = "ai_resolutions", workspace_key: str = "atlas") -> Decimal:
    rows = UsageTotal.objects.filter(metric__key=metric, workspace__key=workspace_key)
    return sum((row.quantity for row in rows), Decimal(0))


def codes(response: Any) -> list[tuple[int, str, str | None]]:
    return [(entry["index"], entry["code"], entry["field"]) for entry in response.json()["rejected"]]


def test_it_counts_an_event_in_its_workspace_metric_day_and_period(key: str) -> None:
    response = send(key, event(time="2026-06-15T12:00:00Z"))
    assert (response.status_code, response.json()) == (200, {"accepted": 1, "duplicate": 0, "rejected": []})
    day = UsageDay.objects.get()
    assert (day.metric.key, day.workspace.key, day.day, day.quantity) == (
        "ai_resolutions",
        "atlas",
        date(2026, 6, 15),
        1,
    )
    row = UsageTotal.objects.get()
    assert (row.quantity, row.period, row.seq, row.next_level) == (1, datetime(2026, 6, 1, tzinfo=UTC), 1, 0)


def test_the_same_event_again_is_a_duplicate_and_changes_nothing(key: str) -> None:
    sent = event(time="2026-06-15T12:00:00Z", data={"conversation_id": "c1", "n": 1.0})
    send(key, sent)
    reordered = {**sent, "data": {"n": 1, "conversation_id": "c1"}, "traceparent": "00-ab"}
    response = send(key, reordered)
    assert response.json() == {"accepted": 0, "duplicate": 1, "rejected": []}
    assert response.status_code == 200
    assert total() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "birch"},
        {"type": "voice_resolution.recorded"},
        {"time": "2026-06-15T12:00:01Z"},
        {"time": None},
        {"data": {"conversation_id": "c2"}},
        {"data": None},
    ],
)
def test_an_identity_with_other_content_is_rejected(key: str, change: dict[str, Any]) -> None:
    sent = event(time="2026-06-15T12:00:00Z", data={"conversation_id": "c1"})
    send(key, sent)
    response = send(key, {**sent, **change})
    assert response.status_code == 422
    assert codes(response) == [(0, "id_reused", "id")]
    assert UsageEvent.objects.count() == 1


def test_rows_of_one_identity_in_a_request_are_judged_in_order(key: str) -> None:
    first = event(id_="same", data={"n": 1})
    other = event(id_="same", data={"n": 2})
    response = send(key, first, first, other, event(id_="another"))
    assert response.json()["accepted"] == 2
    assert response.json()["duplicate"] == 1
    assert codes(response) == [(2, "id_reused", "id")]
    again = send(key, other, first)
    assert again.json()["duplicate"] == 1
    assert codes(again) == [(0, "id_reused", "id")]
    assert total() == 2


def test_a_rejected_row_does_not_claim_its_identity(key: str) -> None:
    response = send(key, event("nothing.known", id_="same"), event(id_="same"))
    assert response.json()["accepted"] == 1
    assert codes(response) == [(0, "unknown_type", "type")]


def test_two_accounts_may_use_the_same_source_and_id(key: str) -> None:
    other = make_key(make_account("other", workspaces=("cedar",)), "ingest")
    assert send(key, event(id_="same")).json()["accepted"] == 1
    assert send(other, event(id_="same", subject="cedar")).json()["accepted"] == 1


def test_valid_events_of_a_mixed_batch_are_kept_and_the_others_named(key: str) -> None:
    make_account("other", workspaces=("cedar",))
    ahead = timezone.now() + timedelta(minutes=6)
    response = send(
        key,
        event(),
        event(subject="cedar"),
        event(subject="nowhere"),
        event("nothing.known"),
        event("sms.message", data={"value": 0}),
        event(time=ahead),
        event(time="2026-05-31T23:59:59.999999Z"),
        {**event(), "source": ""},
        7,
    )
    assert response.status_code == 200
    assert response.json()["accepted"] == 1
    assert codes(response) == [
        (1, "unknown_subject", "subject"),
        (2, "unknown_subject", "subject"),
        (3, "unknown_type", "type"),
        (4, "invalid_data", "data.value"),
        (5, "in_future", "time"),
        (6, "before_first_period", "time"),
        (7, "invalid_attribute", "source"),
        (8, "invalid_attribute", None),
    ]
    assert response.json()["rejected"][7]["id"] is None


def test_up_to_five_minutes_ahead_is_accepted(key: str) -> None:
    assert send(key, event(time=timezone.now() + timedelta(minutes=4, seconds=50))).json()["accepted"] == 1


def test_after_the_accounts_end_usage_is_refused_but_a_repetition_is_a_duplicate(account: Account, key: str) -> None:
    late = event(time="2026-06-20T00:00:00Z")
    assert send(key, late).json()["accepted"] == 1
    end_account(account=account, at=datetime(2026, 6, 20, tzinfo=UTC), by=Actor.of_command("tests"))
    response = send(key, event(time="2026-06-20T00:00:00Z"), event(time="2026-06-19T23:59:59Z"), late)
    assert (response.json()["accepted"], response.json()["duplicate"]) == (1, 1)
    assert codes(response) == [(0, "account_ended", "time")]


def test_without_a_time_the_arrival_counts(key: str) -> None:
    before = timezone.now()
    send(key, event())
    stored = UsageEvent.objects.get()
    assert before <= stored.occurred_at == stored.received_at <= timezone.now()


def test_usage_counts_in_the_period_and_local_day_in_which_it_happened() -> None:
    account = make_account("night", workspaces=("atlas",), zone="America/New_York", started_on=date(2026, 1, 31))
    key = make_key(account, "ingest")
    # 28 February, 04:59:59 UTC is still the 27th in New York; the period turns there at midnight (05:00 UTC).
    send(key, event(time="2026-02-28T04:59:59.999999Z"), event(time="2026-02-28T05:00:00Z"))
    rows = list(UsageDay.objects.order_by("day").values_list("period", "day"))
    assert rows == [
        (datetime(2026, 1, 31, 5, tzinfo=UTC), date(2026, 2, 27)),
        (datetime(2026, 2, 28, 5, tzinfo=UTC), date(2026, 2, 28)),
    ]


def test_periods_are_opened_on_demand_without_gaps(account: Account, key: str) -> None:
    assert Period.objects.filter(account=account).count() == 1
    assert AccountClock.objects.filter(account=account).count() == 1
    send(key, event(time="2026-09-01T00:00:00Z"))
    starts = list(Period.objects.filter(account=account).order_by("starts_at").values_list("starts_at", "ends_at"))
    assert [start for start, _ in starts][:4] == [datetime(2026, month, 1, tzinfo=UTC) for month in (6, 7, 8, 9)]
    assert all(end == starts[index + 1][0] for index, (_, end) in enumerate(starts[:-1]))
    assert UsageTotal.objects.get().period == datetime(2026, 9, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("type_", "data", "metric", "stored"),
    [
        ("conversation.created", None, "conversations", "1"),
        ("sms.message", None, "sms", "1"),
        ("whatsapp.message", {"value": 3}, "whatsapp", "3"),
        ("chat.message", {"value": "2.5"}, "chat", "2.5"),
        ("email.processed", {"value": 0.000001}, "emails", "0.000001"),
        ("message.sent", {"value": 10**12}, "messages_sent", "1000000000000"),
        ("voice_resolution.recorded", {"conversation_id": "c"}, "voice_resolutions", "1"),
    ],
)
def test_each_type_counts_in_its_metric(key: str, type_: str, data: Any, metric: str, stored: str) -> None:
    assert send(key, event(type_, data=data)).json()["accepted"] == 1
    assert total(metric) == Decimal(stored)


@pytest.mark.parametrize(
    "data",
    [
        {"value": -1},
        {"value": 0},
        {"value": True},
        {"value": None},
        {"value": "1,5"},
        {"value": 1e-7},
        {"value": 10**12 + 1},
        {"value": [1]},
        [1],
        "text",
    ],
)
def test_impossible_values_are_refused(key: str, data: Any) -> None:
    response = send(key, event("sms.message", data=data))
    assert response.status_code == 422
    assert [code for _, code, _ in codes(response)] == ["invalid_data"]
    assert UsageEvent.objects.count() == 0


def test_decimals_are_exact(key: str) -> None:
    send(key, *[event("sms.message", data={"value": 0.1}) for _ in range(10)])
    assert total("sms") == Decimal(1)


def call(start: str, end: str, **attributes: Any) -> dict[str, Any]:
    return event("call.ended", data={"started_at": start, "ended_at": end}, **attributes)


def test_a_call_counts_whole_seconds_in_the_period_of_its_end(key: str) -> None:
    send(
        key,
        call("2026-06-30T23:59:00Z", "2026-07-01T00:00:10.5Z"),
        call("2026-06-10T10:00:00+02:00", "2026-06-10T10:01:29.4+02:00"),
    )
    rows = {row.period.month: row.quantity for row in UsageTotal.objects.filter(metric__key="phone")}
    assert rows == {6: 89, 7: 71}


@pytest.mark.parametrize(
    ("first", "following", "minimum", "seconds"),
    [(1, 1, 0, 62), (6, 6, 0, 66), (30, 6, 0, 66), (60, 60, 0, 120), (1, 1, 90, 90)],
)
def test_a_metrics_increment_rounds_each_call(key: str, first: int, following: int, minimum: int, seconds: int) -> None:
    Metric.objects.filter(key="phone").update(increment_first=first, increment_next=following, minimum_seconds=minimum)
    send(key, call("2026-06-10T10:00:00Z", "2026-06-10T10:01:01.2Z"))
    assert total("phone") == seconds


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"started_at": "2026-06-10T10:00:00Z"},
        {"started_at": "2026-06-10T10:00:00Z", "ended_at": "2026-06-10T09:59:59Z"},
        {"started_at": "2026-06-10T10:00:00Z", "ended_at": "2026-06-10T10:00:00Z"},
        {"started_at": "2026-06-10T10:00:00", "ended_at": "2026-06-10T10:00:05"},
        {"started_at": 1, "ended_at": 2},
    ],
)
def test_an_impossible_call_is_refused(key: str, data: Any) -> None:
    assert [code for _, code, _ in codes(send(key, event("call.ended", data=data)))] == ["invalid_data"]


def test_an_inactive_metric_counts_nothing_from_the_next_request_on(key: str) -> None:
    assert send(key, event()).json()["accepted"] == 1
    Metric.objects.filter(key="ai_resolutions").update(is_active=False)
    assert codes(send(key, event())) == [(0, "unknown_type", "type")]


def test_usage_beyond_a_limit_is_recorded(account: Account, key: str) -> None:
    UsageLimit.objects.create(
        account=account,
        workspace=workspace(),
        metric=Metric.objects.get(key="ai_resolutions"),
        from_period=datetime(2026, 6, 1, tzinfo=UTC),
        quantity=2,
    )
    send(key, *[event(time="2026-06-15T12:00:00Z") for _ in range(5)])
    row = UsageTotal.objects.get()
    assert (row.quantity, row.hard_limit) == (5, 2)


def test_the_limit_in_force_is_copied_onto_new_totals(account: Account, key: str) -> None:
    line = {"account": account, "workspace": workspace(), "metric": Metric.objects.get(key="ai_resolutions")}
    UsageLimit.objects.create(**line, from_period=datetime(2026, 6, 1, tzinfo=UTC), quantity=7)
    UsageLimit.objects.create(**line, from_period=datetime(2026, 8, 1, tzinfo=UTC), quantity=None)
    for month in (6, 7, 8):
        send(key, event(time=f"2026-0{month}-15T12:00:00Z"))
    assert list(UsageTotal.objects.order_by("period").values_list("hard_limit", flat=True)) == [7, 7, None]


def test_what_arrives_after_the_periods_end_is_counted_but_not_in_time(key: str) -> None:
    send(key, event(time="2026-06-15T12:00:00Z"), event())
    rows = list(UsageTotal.objects.order_by("period").values_list("quantity", "quantity_in_time"))
    assert rows == [(1, 0), (1, 1)]


def test_nothing_is_received_before_the_last_cut(account: Account, key: str) -> None:
    cut = timezone.now() + timedelta(minutes=2)
    Account.objects.update(last_cut_at=cut)
    send(key, event())
    assert UsageEvent.objects.get().received_at == cut + timedelta(microseconds=1)


def test_a_level_keeps_days_and_no_total(key: str) -> None:
    def seats(value: int, time: str) -> dict[str, Any]:
        return event("seats.set", data={"value": value}, time=time)

    send(key, seats(5, "2026-06-10T09:00:00Z"), seats(8, "2026-06-12T09:00:00Z"), seats(3, "2026-06-12T10:00:00Z"))
    assert UsageTotal.objects.count() == 0

    def days() -> list[tuple[int, Decimal, Decimal | None]]:
        return [(row.day.day, row.quantity, row.level) for row in UsageDay.objects.order_by("day")]

    assert days() == [(10, 5, 5), (12, 8, 3)]
    # Late: 10 seats from the 11th on were held when the 12th began; the 10th stays as it is.
    send(key, seats(10, "2026-06-11T09:00:00Z"))
    assert days() == [(10, 5, 5), (11, 10, 10), (12, 10, 3)]


def test_of_reports_for_the_same_moment_the_later_received_wins(key: str) -> None:
    reports = [event("seats.set", data={"value": n}, time="2026-06-10T09:00:00Z") for n in (5, 9, 7)]
    send(key, *reports)
    assert UsageDay.objects.get().level == 7
    send(key, event("seats.set", data={"value": 2}, time="2026-06-10T09:00:00Z"))
    row = UsageDay.objects.get()
    assert (row.quantity, row.level) == (2, 2)


def test_an_operators_batch_may_span_accounts(key: str) -> None:
    make_account("other", workspaces=("cedar",))
    operator = make_key(None, "ingest")
    response = send(operator, event(), event(subject="cedar"), event(subject="nowhere"), event(subject="birch"), 3)
    assert response.json()["accepted"] == 3
    assert codes(response) == [(2, "unknown_subject", "subject"), (4, "invalid_attribute", None)]
    assert total(workspace_key="cedar") == 1


def test_a_minimal_answer_is_given_when_it_is_preferred_and_nothing_was_rejected(key: str) -> None:
    minimal = {"Prefer": "return=minimal"}
    response = send(key, event(), headers=minimal)
    assert (response.status_code, response.content) == (204, b"")
    assert send(key, event(), 3, headers=minimal).status_code == 200


def test_a_sandbox_account_counts_by_its_own_clock() -> None:
    now = datetime(2026, 3, 5, 10, tzinfo=UTC)
    account = make_account("sand", workspaces=("dune",), started_on=date(2026, 3, 1), is_sandbox=True, now=now)
    key = make_key(account, "ingest")
    response = send(key, event(subject="dune"), event(subject="dune", time="2026-03-05T10:05:01Z"))
    assert codes(response) == [(1, "in_future", "time")]
    assert UsageEvent.objects.get().received_at == now


def test_only_a_total_that_passes_its_level_wakes_evaluation(key: str, settings: Any) -> None:
    woken: list[int] = []

    def note(account_id: int, **rest: Any) -> None:
        woken.append(account_id)

    totals_passed_level.connect(note)
    try:
        send(key, event(time="2026-06-15T12:00:00Z"), event("sms.message", time="2026-06-15T12:00:00Z"))
        assert len(woken) == 1  # new totals: nobody has looked at them yet; once for the whole request
        UsageTotal.objects.update(next_level=3)
        send(key, event(time="2026-06-15T12:00:00Z"))
        assert len(woken) == 1
        send(key, event(time="2026-06-15T12:00:00Z"))
        assert len(woken) == 2
        send(key, event(time="2026-06-15T12:00:00Z"))
        UsageTotal.objects.update(next_level=None)
        send(key, *[event(time="2026-06-15T12:00:00Z") for _ in range(9)])
        assert len(woken) == 2
        settings.LIVE_EVALUATION = False
        send(key, event("chat.message"))
        assert len(woken) == 2
    finally:
        totals_passed_level.disconnect(note)
