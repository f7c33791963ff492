"""Questions that cannot be answered are refused by name, and nothing is stored (spec 1.5, 1.6, 4.5)."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.models import Conversation
from tests import factories
from tests.alerts.conversations import Application, make_account
from usage.models import Account, Metric
from usage.services.accounts import end_account

pytestmark = pytest.mark.django_db

BODY = {"conversation_id": "c-1", "message_id": "m-1", "metric": "ai_resolutions", "event": "started"}


@pytest.fixture
def account() -> Account:
    return make_account(workspaces=("atlas", "birch"))


@pytest.fixture
def app(account: Account) -> Application:
    return Application(account)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"event": "ended"}, "event"),
        ({"event": None}, "event"),
        ({"channel": "fax"}, "channel"),
        ({"channel": 7}, "channel"),
        ({"metric": "moons"}, "metric"),
        ({"metric": 5}, "metric"),
        ({"metric": "x" * 300}, "metric"),
        ({"conversation_id": ""}, "conversation_id"),
        ({"conversation_id": "x" * 256}, "conversation_id"),
        ({"conversation_id": 12}, "conversation_id"),
        ({"conversation_id": None}, "conversation_id"),
        ({"message_id": "é" * 256}, "message_id"),
        ({"message_id": ["m"]}, "message_id"),
        ({"message_id": {"id": "m"}}, "message_id"),
        ({"moon": True}, "moon"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_is_stored(app: Application, change: dict[str, Any], field: str) -> None:
    response = app.post(BODY | change)
    assert response.status_code == 422, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["field"] == field
    assert not Conversation.objects.exists()


@pytest.mark.parametrize("missing", ["conversation_id", "message_id", "metric", "event"])
def test_a_missing_member_is_named(app: Application, missing: str) -> None:
    response = app.post({name: value for name, value in BODY.items() if name != missing})
    assert (response.status_code, response.json()["field"]) == (422, missing)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b'"x"', b"null", b"\xff", b'{"conversation_id": "\\u0000"}'])
def test_a_body_that_is_no_question_is_refused(app: Application, body: bytes) -> None:
    assert app.post(body).status_code in (400, 422)


def test_half_a_surrogate_pair_is_refused(app: Application) -> None:
    body = b'{"conversation_id":"\\ud800","message_id":"m","metric":"ai_resolutions","event":"started"}'
    assert app.post(body).status_code in (400, 422)


def test_ids_may_hold_255_characters_of_any_script(app: Application) -> None:
    assert app.starts("会" * 255, message="🌍" * 255)["answered_by"] == "ai_agent"


def test_an_inactive_metric_is_unknown(app: Application) -> None:
    Metric.objects.filter(key="ai_resolutions").update(is_active=False)
    assert app.post(BODY).status_code == 422


def test_a_foreign_workspace_answers_like_a_missing_one(app: Application) -> None:
    make_account("other", workspaces=("foreign",))
    foreign, missing = app.post(BODY, workspace="foreign"), app.post(BODY, workspace="nowhere")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.json() == missing.json()


def test_the_key_needs_the_scope_and_to_be_there(account: Account) -> None:
    assert Application(account, "ingest", "read", "manage").post(BODY).status_code == 403
    app = Application(account)
    app.headers = {}
    assert app.post(BODY).status_code == 401


def test_the_operators_key_asks_for_every_account(account: Account) -> None:
    assert Application(None).starts("c-1")["answered_by"] == "ai_agent"


def test_an_ended_account_is_told_so(app: Application, account: Account) -> None:
    end_account(account=account, at=factories.NOON, by=factories.BY)
    response = app.post(BODY)
    assert (response.status_code, response.json()["code"]) == (422, "account_ended")
