"""Bad requests without end: never a 5xx, nothing stored, and an answer that names what is wrong (spec 2.3, 4.8, 10.5).

`HEADROOM_FUZZ=20000 bin/test tests/fuzz` sends twenty thousand; `HEADROOM_FUZZ_SEED` repeats a run.
"""

from __future__ import annotations

import json
import logging
import os
import traceback
from random import Random
from typing import Any

import pytest
from django.core.signals import got_request_exception
from django.db import connection
from django.test import Client

from tests.alerts.conversations import make_account
from tests.factories import bearer, make_key
from tests.fuzz.bad_calls import bad_call
from tests.fuzz.bad_events import STORED, bad_ingest
from tests.fuzz.case import Case, check_flag_refusal, check_ingested, check_problem
from usage.models import Account

pytestmark = pytest.mark.django_db

NUMBER = int(os.environ.get("HEADROOM_FUZZ", "1500"))
SEED = os.environ.get("HEADROOM_FUZZ_SEED", "headroom")
PARTS = 10

_STORED = """
SELECT (SELECT count(*) FROM usage_usageevent), (SELECT coalesce(sum(seq), 0) FROM usage_usagetotal),
       (SELECT count(*) FROM usage_reservation), (SELECT count(*) FROM usage_usagelimit),
       (SELECT count(*) FROM alerts_usagealert), (SELECT count(*) FROM alerts_storedanswer),
       (SELECT count(*) FROM alerts_conversation), (SELECT count(*) FROM usage_auditentry),
       (SELECT count(*) FROM usage_period), (SELECT count(*) FROM django_q_ormq)
"""


def stored() -> tuple[int, ...]:
    """What every table that requests can write to holds."""
    with connection.cursor() as cursor:
        cursor.execute(_STORED)
        return tuple(map(int, cursor.fetchone()))


@pytest.fixture
def account() -> Account:
    """An account with an event, a reservation and a neighbour."""
    make_account("other", workspaces=("cedar",))
    account = make_account(workspaces=("atlas", "birch"))
    client, headers = Client(), bearer(make_key(account))
    reservation = {"metric": "sms", "quantity": 5, "id": "held", "expires_in": 86_400}
    for path, body in (("/api/v1/events", STORED), ("/api/v1/workspaces/atlas/reservations", reservation)):
        assert client.post(path, body, content_type="application/json", headers=headers).status_code == 200
    return account


def send(client: Client, case: Case, headers: dict[str, str]) -> Any:
    """The answer to the case; failing with the traceback of whatever broke on the way."""
    broken: list[str] = []

    def remember(**_: Any) -> None:
        broken.append(traceback.format_exc())

    got_request_exception.connect(remember)
    try:
        path, _, query = case.path.partition("?")
        return client.generic(
            case.method,
            path,
            case.body,
            content_type=case.content_type,
            headers=headers | case.headers,
            QUERY_STRING=query,
        )
    finally:
        got_request_exception.disconnect(remember)
        assert not broken, f"{case}\n{broken[0]}"


def check(case: Case, response: Any, before: tuple[int, ...]) -> None:
    """Whether what came back, and what is stored now, is right."""
    after = stored()
    assert response.status_code < 500, response.content
    assert after[0] - before[0] == case.accepted, "events stored"
    if not case.accepted:
        assert after == before, "something was stored"
    answer = json.loads(response.content)
    if case.rejected is not None:
        check_ingested(case, response.status_code, answer)
        return
    assert response.status_code in case.statuses, (response.status_code, answer)
    if case.is_ofrep:
        check_flag_refusal(answer, response.status_code)
        return
    check_problem(answer, response.status_code, response.headers["Content-Type"])
    if response.status_code == 422 and case.field:
        assert answer["field"] == case.field, answer


@pytest.mark.parametrize("part", range(PARTS))
def test_bad_requests_are_refused_by_name_and_leave_nothing_behind(
    account: Account, caplog: pytest.LogCaptureFixture, part: int
) -> None:
    caplog.set_level(logging.ERROR, "django.request")  # every answer of this test would be a warning there
    random = Random(f"{SEED} {part}")
    client, headers = Client(raise_request_exception=False), bearer(make_key(account))
    complaints: list[str] = []
    for number in range(NUMBER // PARTS):
        case = bad_ingest(random) if random.random() < 0.5 else bad_call(random)
        before = stored()
        try:
            response = send(client, case, headers)
            check(case, response, before)
        except AssertionError as error:
            complaints.append(f"request {number} of part {part}, seed {SEED!r}: {error}\n    {case}")
    assert not complaints, "\n".join(complaints[:20])
