"""Consume, single events and questions have a short way for the ordinary call: it may not be told from the long one."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billing.models import Plan
from billing.services.subscriptions import start_subscription
from tests.alerts.conversations import limit
from tests.billing.books import at
from tests.factories import BY, bearer, event, make_account, make_key, metric, workspace
from usage import invariants
from usage.clocks import system_clock
from usage.events import parse_events
from usage.models import Account, ApiKey, UsageEvent, UsageTotal
from usage.selectors import current_period
from usage.services.api_keys import admission
from usage.services.ingest import ingest_sent
from usage.services.ingest_one import ingest_one

pytestmark = pytest.mark.django_db

LONG = b" " * 20_000  # a body too long to be read before its key is judged
_ids = itertools.count(1)

Call = Callable[..., Any]


@pytest.fixture
def account() -> Account:
    account = make_account(workspaces=("atlas", "birch"))
    period = current_period(account, system_clock())
    plan = Plan.objects.filter(key="professional").latest("version")
    with transaction.atomic():
        start_subscription(account=account, plan=plan, period=period.starts_at, by=BY)
    return account


def consuming(place: str, name: str, **changed: Any) -> tuple[str, Any]:
    return f"/api/v1/workspaces/{place}/consume", {"metric": "sms", "quantity": 1, "id": f"{place} {name}"} | changed


def sending(place: str, name: str, **changed: Any) -> tuple[str, Any]:
    return "/api/v1/events", event(subject=place, id_=f"{place}-{name}", **changed)


def asking(place: str, name: str, **changed: Any) -> tuple[str, Any]:
    about = {"conversation_id": f"c-{name}", "message_id": f"m-{name}", "metric": "ai_resolutions", "event": "started"}
    return f"/api/v1/workspaces/{place}/route", about | changed


OPERATIONS = pytest.mark.parametrize("made", [consuming, sending, asking])


@pytest.fixture
def post(account: Account, client: Client) -> Call:
    plain = make_key(account)

    def send(call: tuple[str, Any], *, key: str = plain, is_long: bool = False) -> Any:
        path, body = call
        content = json.dumps(body).encode() + (LONG if is_long else b"")
        return client.post(path, content, content_type="application/json", headers=bearer(key))

    send(consuming("atlas", "first"))
    send(sending("atlas", "first"))
    return send


@pytest.mark.parametrize(("made", "statements"), [(consuming, 1), (sending, 2), (asking, 2)])
def test_the_ordinary_call_takes_as_few_trips_as_it_can(post: Call, made: Call, statements: int) -> None:
    with CaptureQueriesContext(connection) as captured:
        assert post(made("atlas", "one")).status_code == 200
    asked = [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"]]
    assert len(asked) == statements


@OPERATIONS
def test_a_key_that_lost_its_right_is_refused_at_the_next_call(account: Account, post: Call, made: Call) -> None:
    now = timezone.now()
    losses: list[tuple[dict[str, Any], int]] = [
        ({"revoked_at": now}, 401),
        ({"expires_at": now}, 401),
        ({"secret_hash": b"\0" * 32}, 401),
        ({"scopes": ["read"]}, 403),
    ]
    for loss, status in losses:
        plain = make_key(account)
        assert post(made("atlas", f"before {next(_ids)}"), key=plain).status_code == 200
        ApiKey.objects.filter(prefix=plain[3:15]).update(**loss)
        stored = UsageEvent.objects.count()
        assert post(made("atlas", f"after {next(_ids)}"), key=plain).status_code == status
        assert UsageEvent.objects.count() == stored


@OPERATIONS
def test_a_workspace_of_another_account_stays_out_of_reach(post: Call, made: Call) -> None:
    foreign = make_key(make_account("other", workspaces=("cedar",)))
    for is_long in (False, True):
        refused = post(made("atlas", "foreign"), key=foreign, is_long=is_long)
        assert refused.status_code in (404, 422)
    assert not UsageEvent.objects.filter(event_id__contains="foreign").exists()


@OPERATIONS
def test_the_operators_key_may_use_it_too_and_its_day_of_use_is_kept(post: Call, made: Call) -> None:
    operator = make_key(None)
    for number in range(2):
        assert post(made("atlas", f"by the operator {number}"), key=operator).status_code == 200
    assert ApiKey.objects.get(prefix=operator[3:15]).last_used_on == system_clock().date()


CALLS: list[Callable[[str], tuple[str, Any]]] = [
    lambda place: consuming(place, "a"),
    lambda place: consuming(place, "a"),
    lambda place: consuming(place, "a", quantity="2.5"),
    lambda place: consuming(place, "b", quantity="1.25"),
    lambda place: consuming(place, "c", quantity=10**6),
    lambda place: consuming(place, "d", metric="phone", quantity="1.5"),
    lambda place: consuming(place, "e", metric="seats"),
    lambda place: consuming(place, "f", metric="nothing"),
    lambda place: consuming(place, "g", quantity=0),
    lambda place: consuming(place, "h", more=1),
    lambda place: consuming(place, "\x00"),
    lambda place: sending(place, "a"),
    lambda place: sending(place, "a"),
    lambda place: sending(place, "a", data={"other": True}),
    lambda place: sending(place, "b", type_="sms.message", data={"value": 3}),
    lambda place: sending(place, "c", type_="unheard.of"),
    lambda place: sending(place, "d", time="2026-06-15T12:00:00Z"),
    lambda place: sending(place, "e", time="1990-01-01T00:00:00Z"),
    lambda place: sending(place, "f", time="2990-01-01T00:00:00Z"),
    lambda place: sending(place, "g", type_="seats.set", data={"value": 5}),
    lambda place: sending(place, ""),
    lambda place: sending(place, "h", type_="phone.call", data={"started_at": "yesterday"}),
    lambda place: asking(place, "a"),
    lambda place: asking(place, "a"),
    lambda place: asking(place, "a", message_id="m-2", event="customer_replied"),
    lambda place: asking(place, "b", channel="chat"),
    lambda place: asking(place, "c", metric="nothing"),
    lambda place: asking(place, "d", event="ended"),
]


def test_both_ways_give_the_same_answers_and_count_the_same(account: Account, post: Call) -> None:
    for place in ("atlas", "birch"):
        limit(7, "sms", workspace=place)
        post(sending(place, "first"))
        post(consuming(place, "first"))
    for call in CALLS:
        short, long = post(call("atlas")), post(call("birch"), is_long=True)
        said = json.loads(short.content.replace(b"atlas", b"birch"))
        assert (short.status_code, said) == (long.status_code, long.json()), call("atlas")
    atlas, birch = (
        set(UsageTotal.objects.filter(workspace__key=key).values_list("metric__key", "period", "quantity"))
        for key in ("atlas", "birch")
    )
    assert atlas == birch
    assert [line for check in invariants.CHECKS for line in check()] == []


def test_a_closing_between_reading_and_counting_is_noticed(account: Account, post: Call) -> None:
    place, period = workspace(), current_period(account, system_clock())
    key = make_key(account, "ingest")
    post(sending("atlas", "warm"), key=key)
    cut = timezone.now()
    Account.objects.filter(pk=account.pk).update(last_cut_at=cut)
    count = "SELECT outcome FROM headroom_count(%s,%s,%s,%s,%s,%s,1,%s,%s,'s','i',%s,%s,%s,NULL,true,0)"
    ids = "00000000-0000-0000-0000-000000000001"
    where: list[Any] = [
        account.pk,
        place.pk,
        metric().pk,
        period.starts_at,
        period.ends_at,
        cut.date(),
        cut,
        cut,
        ids,
        ids,
    ]
    with connection.cursor() as cursor:
        cursor.execute(count, [*where, cut - timedelta(days=1)])
        assert cursor.fetchone() == ("changed",)
        cursor.execute(count, [*where, cut])
        assert cursor.fetchone() == ("counted",)


def test_an_event_that_passes_a_level_is_left_to_the_way_that_tells(account: Account, post: Call) -> None:
    UsageTotal.objects.filter(metric=metric()).update(next_level=2)
    (parsed,), _ = parse_events([event()])
    plain = make_key(account, "ingest")
    post(sending("birch", "the day of use is known now"), key=plain)
    asked = admission(f"Bearer {plain}", "atlas", "ingest", now=system_clock())
    assert ingest_one(admission=asked, event=parsed) is None
    UsageTotal.objects.filter(metric=metric()).update(next_level=3)
    result = ingest_one(admission=asked, event=parsed)
    assert result is not None
    assert result.accepted == 1


def test_at_the_very_turn_of_the_period_its_usage_is_late_alone_and_in_a_batch() -> None:
    account = make_account()
    turn = datetime(2026, 7, 1, tzinfo=UTC)
    before = turn - timedelta(microseconds=1)
    for received_at in (before, turn):
        ingest_sent(account_id=account.pk, sent=[event(time=before)], clock=at(received_at))
    plain = make_key(account, "ingest")
    for received_at in (before, turn):
        ApiKey.objects.update(last_used_on=received_at.date())
        asked = admission(f"Bearer {plain}", "atlas", "ingest", now=received_at)
        (parsed,), _ = parse_events([event(time=before)])
        assert ingest_one(admission=asked, event=parsed) is not None
    row = UsageTotal.objects.get()
    assert [row.quantity, row.quantity_in_time] == [4, 2]


def test_a_level_within_reach_since_it_was_looked_at_takes_the_event_back() -> None:
    """The update repeats the check that the function began with; here the row changes in between, by a trigger."""
    account = make_account()
    place, period = workspace(), current_period(account, system_clock())
    now = system_clock()
    UsageTotal.objects.create(
        account=account, workspace=place, metric=metric(), period=period.starts_at, quantity=1, next_level=None,
        last_received_at=now, quantity_in_time=1, reserved=0, seq=1, evaluated_seq=1,
    )  # fmt: skip
    count = "SELECT outcome FROM headroom_count(%s,%s,%s,%s,%s,%s,1,%s,%s,'s','i',%s,%s,NULL,NULL,false,0)"
    ids = "00000000-0000-0000-0000-000000000001"
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION lower() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN UPDATE usage_usagetotal SET next_level = 2; RETURN NEW; END$$"
        )
        cursor.execute("CREATE TRIGGER lower AFTER INSERT ON usage_usageevent EXECUTE FUNCTION lower()")
        with pytest.raises(OperationalError, match="changed meanwhile"), transaction.atomic():
            cursor.execute(
                count,
                [account.pk, place.pk, metric().pk, period.starts_at, period.ends_at, now.date(), now, now, ids, ids],
            )
    assert not UsageEvent.objects.exists()
