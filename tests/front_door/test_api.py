"""The API's front: every refusal has the same shape, whoever utters it (spec 10.5)."""

from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test import Client

from tests.factories import bearer, make_account, make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def key() -> str:
    return make_key(make_account())


def problem(response: Any) -> tuple[int, str]:
    assert response.headers["Content-Type"] == "application/problem+json"
    body = response.json()
    assert set(body) >= {"type", "title", "status", "detail", "code"}
    assert body["status"] == response.status_code
    return body["status"], body["code"]


def test_the_description_and_its_pages_are_served() -> None:
    described = Client().get("/api/openapi.json").json()
    assert "/api/v1/events" in described["paths"]
    assert Client().get("/api/docs").status_code == 200


def test_every_operation_demands_a_key_and_none_answers_without(key: str) -> None:
    described = Client().get("/api/openapi.json").json()
    for path, operations in described["paths"].items():
        url = path.replace("{", "x").replace("}", "x")
        for method, operation in operations.items():
            assert operation.get("security"), (method, path)
            response = Client().generic(method.upper(), url, "{}", content_type="application/json")
            assert problem(response) == (401, "unauthorized"), (method, path)


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v2/events", "/api/v1/nothing", "/api/v1/workspaces/atlas", "/api/a%00b"]
)
def test_unknown_paths(key: str, path: str) -> None:
    for method in ("GET", "POST"):
        assert problem(Client().generic(method, path, headers=bearer(key))) == (404, "not_found")


def test_unknown_methods(key: str) -> None:
    response = Client().delete("/api/v1/events", headers=bearer(key))
    assert problem(response) == (405, "method_not_allowed")


def test_head_is_answered_as_get_without_the_body(key: str) -> None:
    path = "/api/v1/workspaces/atlas/limits/ai_resolutions"
    got, asked = (Client().generic(method, path, headers=bearer(key)) for method in ("GET", "HEAD"))
    assert (asked.status_code, asked.content) == (200, b"")
    assert asked.headers["Content-Length"] == str(len(got.content))
    assert Client().head("/api/v1/workspaces/nowhere/usage", headers=bearer(key)).status_code == 404
    assert Client().head("/api/v1/events", headers=bearer(key)).headers["Allow"] == "POST"
    assert Client().delete(path, headers=bearer(key)).headers["Allow"] == "GET, HEAD, PUT"


def test_a_foreign_host_is_refused_as_a_problem_and_to_people_as_a_page(key: str, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["headroom.example"]
    refused = Client().get("/api/v1/workspaces/atlas/usage", headers=bearer(key))
    assert problem(refused) == (400, "bad_request")
    assert "not known under this name" in refused.json()["detail"]
    assert Client().get("/login/").headers["Content-Type"].startswith("text/html")


def test_nul_characters_reach_no_query(key: str) -> None:
    assert problem(Client().get("/api/v1/workspaces/a%00b/usage", headers=bearer(key))) == (404, "not_found")
    assert problem(Client().get("/api/v1/workspaces/atlas/usage?at=%00", headers=bearer(key))) == (400, "bad_request")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "not JSON"),
        ("[1", "not JSON"),
        ("NaN", "NaN is no number"),
        ('{"metric": "sms", "metric": "sms"}', "“metric” stands twice"),
        ('{"id": "\\u0000"}', "id contains a NUL"),
        ('{"id": "\\ud800"}', "half a surrogate"),
        ("\ufeff{}", "byte order mark"),
        ("[" * 9000 + "]" * 9000, "nested deeper"),
    ],
)
def test_bodies_that_cannot_be_read_are_refused_with_the_reason(key: str, body: str, reason: str) -> None:
    response = Client().post(
        "/api/v1/workspaces/atlas/consume", body, content_type="application/json", headers=bearer(key)
    )
    assert problem(response) == (400, "bad_request")
    assert reason in response.json()["detail"]


def test_an_empty_body_is_named(key: str) -> None:
    response = Client().post(
        "/api/v1/workspaces/atlas/consume", "", content_type="application/json", headers=bearer(key)
    )
    assert problem(response) == (422, "invalid_input")
    assert response.json()["detail"] == "The body is empty."


def test_a_value_that_is_not_possible_names_its_field(key: str) -> None:
    response = Client().post(
        "/api/v1/workspaces/atlas/consume",
        {"metric": "sms", "quantity": -1, "id": "x"},
        content_type="application/json",
        headers=bearer(key),
    )
    assert problem(response)[0] == 422
    body = response.json()
    assert (body["field"], body["detail"]) == ("quantity", "quantity must be greater than 0.")
    assert body["errors"] == [{"field": "quantity", "detail": "quantity must be greater than 0."}]


def test_missing_and_foreign_workspaces_are_answered_alike(key: str) -> None:
    make_account("other", workspaces=("cedar",))
    foreign = Client().get("/api/v1/workspaces/cedar/usage", headers=bearer(key))
    missing = Client().get("/api/v1/workspaces/nowhere/usage", headers=bearer(key))
    assert problem(foreign) == problem(missing) == (404, "not_found")
    assert foreign.content == missing.content


def test_when_the_database_does_not_answer_the_sender_is_told_when_to_repeat(key: str) -> None:
    def fail(execute: Any, sql: Any, *rest: Any) -> Any:
        raise OperationalError("the database is away")

    with connection.execute_wrapper(fail):
        response = Client().get("/api/v1/workspaces/atlas/usage", headers=bearer(key))
    assert problem(response) == (503, "database_unavailable")
    assert int(response.headers["Retry-After"]) > 0
