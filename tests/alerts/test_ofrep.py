"""Flags over OFREP (spec 4.9): the protocol's shapes, and the real OpenFeature SDK against a live server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from openfeature import api
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails, Reason

from tests import factories
from tests.alerts.conversations import limit, make_account, set_clock
from usage.models import Account, Metric
from usage.services.accounts import end_account

pytestmark = pytest.mark.django_db

CONTEXT = {"context": {"targetingKey": "atlas"}}
JULY = datetime(2026, 7, 1, tzinfo=UTC)


@pytest.fixture
def account() -> Account:
    return make_account(workspaces=("atlas", "birch"))


class Flags:
    def __init__(self, account: Account | None, *scopes: str) -> None:
        self.key = factories.make_key(account, *(scopes or ("decide",)))
        self.headers = factories.bearer(self.key)
        self.client = Client()

    def one(self, flag: str, body: Any = CONTEXT, **headers: str) -> Any:
        return self._post(f"/ofrep/v1/evaluate/flags/{flag}", body, headers)

    def all(self, body: Any = CONTEXT, **headers: str) -> Any:
        return self._post("/ofrep/v1/evaluate/flags", body, headers)

    def _post(self, path: str, body: Any, headers: dict[str, str]) -> Any:
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, body, content_type="application/json", headers=sent)


@pytest.fixture
def flags(account: Account) -> Flags:
    return Flags(account)


class TestOneFlag:
    def test_below_the_limit_the_agent_is_on(self, flags: Flags) -> None:
        limit(5)
        factories.use(quantity=2)
        response = flags.one("ai-agent")
        assert response.status_code == 200
        assert response.json() == {
            "key": "ai-agent",
            "value": True,
            "variant": "on",
            "reason": "TARGETING_MATCH",
            "metadata": {"limit": 5, "used": 2, "resets_at": "2026-07-01T00:00:00Z"},
        }

    def test_at_the_limit_it_is_off_and_the_limit_is_reached(self, flags: Flags) -> None:
        limit(2)
        factories.use(quantity=2)
        agent, reached = flags.one("ai-agent").json(), flags.one("resolution-limit-reached").json()
        assert (agent["value"], agent["variant"]) == (False, "off")
        assert (reached["value"], reached["variant"]) == (True, "on")

    def test_a_limit_of_zero_is_reached_before_any_usage(self, flags: Flags) -> None:
        limit(0, "voice_resolutions")
        assert flags.one("ai-voice").json()["value"] is False
        assert flags.one("ai-agent").json()["value"] is True

    def test_without_a_limit_the_metadata_has_none(self, flags: Flags) -> None:
        assert flags.one("ai-agent").json()["metadata"] == {"used": 0, "resets_at": "2026-07-01T00:00:00Z"}

    def test_the_context_may_name_another_metric(self, flags: Flags) -> None:
        limit(0, "voice_resolutions")
        body = {"context": {"targetingKey": "atlas", "metric": "voice_resolutions"}}
        assert flags.one("resolution-limit-reached", body).json()["value"] is True
        assert flags.one("resolution-limit-reached").json()["value"] is False
        # The agents' flags are about their own metrics, whatever the context says.
        assert flags.one("ai-agent", body).json()["value"] is True

    def test_a_new_period_switches_it_on_without_any_job(self, flags: Flags, account: Account) -> None:
        limit(1)
        factories.use()
        assert flags.one("ai-agent").json()["value"] is False
        set_clock(account, JULY)
        answer = flags.one("ai-agent").json()
        assert (answer["value"], answer["metadata"]["resets_at"]) == (True, "2026-08-01T00:00:00Z")

    def test_quantities_are_shown_in_the_metrics_own_unit(self, flags: Flags) -> None:
        limit(6000, "phone")  # 100 minutes in seconds
        body = {"context": {"targetingKey": "atlas", "metric": "phone"}}
        assert flags.one("resolution-limit-reached", body).json()["metadata"]["limit"] == 100


class TestAllFlags:
    def test_every_flag_is_evaluated(self, flags: Flags) -> None:
        answer = flags.all()
        assert answer.status_code == 200
        evaluated = answer.json()["flags"]
        assert [flag["key"] for flag in evaluated] == ["ai-agent", "ai-voice", "resolution-limit-reached"]
        assert evaluated[0] == flags.one("ai-agent").json()

    def test_the_etag_saves_an_unchanged_answer(self, flags: Flags) -> None:
        limit(1)
        etag = flags.all().headers["ETag"]
        for known in (etag, f'"other", {etag}', etag.removeprefix("W/"), "*"):
            again = flags.all(If_None_Match=known)
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
        factories.use()
        changed = flags.all(If_None_Match=etag)
        assert changed.status_code == 200
        assert changed.headers["ETag"] != etag

    def test_a_compressed_answer_has_the_etag_of_its_304(self, flags: Flags) -> None:
        compressed = flags.all(Accept_Encoding="gzip")
        assert compressed.headers["Content-Encoding"] == "gzip"
        again = flags.all(Accept_Encoding="gzip", If_None_Match=compressed.headers["ETag"])
        assert (again.status_code, again.headers["ETag"]) == (304, compressed.headers["ETag"])

    def test_a_key_that_is_not_valid_gets_no_304(self, flags: Flags) -> None:
        etag = flags.all().headers["ETag"]
        flags.headers = {"Authorization": "Bearer hr_nothing"}
        assert flags.all(If_None_Match=etag).status_code == 401


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", "PARSE_ERROR"),
            (b"{", "PARSE_ERROR"),
            (b"\xff", "PARSE_ERROR"),
            (b"[" * 100_000, "PARSE_ERROR"),
            (b"[1]", "PARSE_ERROR"),
            ({}, "TARGETING_KEY_MISSING"),
            ({"context": {}}, "TARGETING_KEY_MISSING"),
            ({"context": {"targetingKey": ""}}, "TARGETING_KEY_MISSING"),
            ({"context": {"targetingKey": None}}, "TARGETING_KEY_MISSING"),
            ({"context": None}, "INVALID_CONTEXT"),
            ({"context": "atlas"}, "INVALID_CONTEXT"),
            ({"context": {"targetingKey": 7}}, "INVALID_CONTEXT"),
            ({"context": {"targetingKey": "a\x00b"}}, "INVALID_CONTEXT"),
            (b'{"context":{"targetingKey":"\\ud800"}}', "INVALID_CONTEXT"),
            ({"context": {"targetingKey": "nowhere"}}, "INVALID_CONTEXT"),
            ({"context": {"targetingKey": "foreign"}}, "INVALID_CONTEXT"),
            ({"context": {"targetingKey": "x" * 300}}, "INVALID_CONTEXT"),
            ({"context": {"targetingKey": "atlas", "metric": "moons"}}, "INVALID_CONTEXT"),
            ({"context": {"targetingKey": "atlas", "metric": 3}}, "INVALID_CONTEXT"),
        ],
    )
    def test_a_context_that_cannot_be_used_is_refused_with_a_code(self, flags: Flags, body: Any, code: str) -> None:
        make_account("other", workspaces=("foreign",))
        for response, named in (
            (flags.one("resolution-limit-reached", body), {"key": "resolution-limit-reached"}),
            (flags.all(body), {}),
        ):
            assert response.status_code == 400, response.content
            answer = response.json()
            assert answer.pop("errorDetails")
            assert answer == {**named, "errorCode": code}

    def test_an_unknown_flag_is_not_found(self, flags: Flags) -> None:
        response = flags.one("moon-phase")
        assert response.status_code == 404
        assert (response.json()["key"], response.json()["errorCode"]) == ("moon-phase", "FLAG_NOT_FOUND")

    def test_a_flag_whose_metric_was_switched_off_is_none(self, flags: Flags) -> None:
        Metric.objects.filter(key="voice_resolutions").update(is_active=False)
        assert flags.one("ai-voice").status_code == 404
        assert [flag["key"] for flag in flags.all().json()["flags"]] == ["ai-agent", "resolution-limit-reached"]

    def test_a_key_is_needed_even_to_learn_which_flags_there_are(self, flags: Flags, account: Account) -> None:
        assert Flags(account, "read").one("ai-agent").status_code == 403
        flags.headers = {}
        assert flags.one("ai-agent").status_code == 401
        assert flags.one("moon-phase").status_code == 401
        assert flags.all(b"{").status_code == 401

    def test_the_key_may_come_as_x_api_key(self, flags: Flags) -> None:
        flags.headers = {"X-API-Key": flags.key}
        assert flags.one("ai-agent").status_code == 200
        flags.headers = {"X-API-Key": "nonsense"}
        assert flags.one("ai-agent").status_code == 401

    def test_the_workspace_of_an_ended_account_is_no_context(self, flags: Flags, account: Account) -> None:
        end_account(account=account, at=factories.NOON, by=factories.BY)
        assert flags.one("ai-agent").json()["errorCode"] == "INVALID_CONTEXT"

    def test_only_post_is_understood(self, flags: Flags) -> None:
        response = flags.client.get("/ofrep/v1/evaluate/flags", headers=flags.headers)
        assert (response.status_code, response.headers["Allow"]) == (405, "POST")


@pytest.mark.django_db(transaction=True)
class TestTheRealSdk:
    def details(self, live_server: Any, key: str, flag: str, **context: Any) -> FlagEvaluationDetails[bool]:
        provider = OFREPProvider(live_server.url, headers_factory=lambda: {"Authorization": f"Bearer {key}"})
        api.set_provider(provider)
        try:
            return api.get_client().get_boolean_details(flag, True, EvaluationContext(**context))
        finally:
            provider.session.close()  # the server's thread, and its database connection, live as long as this

    def test_reads_that_the_agent_is_off(self, live_server: Any, account: Account) -> None:
        limit(500)
        factories.use("ai_resolutions", 501)
        key = factories.make_key(account, "decide")
        answer = self.details(live_server, key, "ai-agent", targeting_key="atlas")
        assert (answer.value, answer.variant, answer.reason) == (False, "off", Reason.TARGETING_MATCH)
        assert answer.flag_metadata == {"limit": 500, "used": 501, "resets_at": "2026-07-01T00:00:00Z"}
        limit(600)
        assert self.details(live_server, key, "ai-agent", targeting_key="atlas").value is True

    def test_falls_back_to_the_callers_default_when_refused(self, live_server: Any, account: Account) -> None:
        key = factories.make_key(account, "decide")
        assert self.details(live_server, key, "ai-agent").error_code == ErrorCode.TARGETING_KEY_MISSING
        unknown = self.details(live_server, key, "ai-agent", targeting_key="nowhere")
        assert (unknown.value, unknown.error_code) == (True, ErrorCode.INVALID_CONTEXT)
        missing = self.details(live_server, key, "moon-phase", targeting_key="atlas")
        assert missing.error_code == ErrorCode.FLAG_NOT_FOUND
