"""What every answer carries, and what people hear when the database is away."""

import gzip
import json
import logging
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.test import Client, RequestFactory

from config.log import JsonFormatter, RequestIdMiddleware, request_id
from config.web import DatabaseTroubleMiddleware, QuickGZipMiddleware, is_fragment_request, saved


@pytest.mark.django_db
def test_every_page_forbids_inline_scripts_frames_and_foreign_forms(client: Client) -> None:
    policy = client.get("/admin/login/").headers["Content-Security-Policy"]
    directives = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert "unsafe" not in policy
    assert directives["frame-ancestors"] == "'none'"
    assert directives["form-action"] == "'self'"
    assert directives["object-src"] == "'none'"


@pytest.mark.django_db
def test_every_answer_has_an_id_and_a_harmless_given_one_is_kept(client: Client) -> None:
    assert len(client.get("/admin/login/").headers["X-Request-ID"]) == 16
    given = client.get("/admin/login/", headers={"X-Request-ID": "order-17.a"})
    assert given.headers["X-Request-ID"] == "order-17.a"
    foul = client.get("/admin/login/", headers={"X-Request-ID": "a b<script>"})
    assert "<" not in foul.headers["X-Request-ID"]


def packed(text: bytes, accepted: str) -> HttpResponse:
    answer = QuickGZipMiddleware(lambda _: HttpResponse(text))(
        RequestFactory().get("/", headers={"Accept-Encoding": accepted})
    )
    assert isinstance(answer, HttpResponse)
    return answer


def test_answers_are_packed_for_who_takes_it_and_their_size_tells_nothing_exact() -> None:
    text = b"<p>the same</p>" * 500
    plain = packed(text, "br")
    assert (plain.content, plain.headers["Vary"]) == (text, "Accept-Encoding")
    assert packed(b"short", "gzip").content == b"short"
    answers = [packed(text, "br, gzip") for _ in range(20)]
    for answer in answers:
        assert gzip.decompress(answer.content) == text
        assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
        assert answer.headers["Content-Length"] == str(len(answer.content))
    assert len({len(answer.content) for answer in answers}) > 1


def test_log_lines_of_a_request_carry_its_id() -> None:
    seen: list[str] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request_id.get())
        return HttpResponse()

    RequestIdMiddleware(view)(RequestFactory().get("/", headers={"X-Request-ID": "abc"}))
    assert (seen, request_id.get()) == (["abc"], "-")


def test_a_json_log_line_is_one_object_whatever_the_message_holds() -> None:
    record = logging.LogRecord("usage", logging.INFO, "", 0, "line one\nline “two” %s", (3,), None)
    text = JsonFormatter().format(record)
    assert "\n" not in text
    assert json.loads(text)["message"] == "line one\nline “two” 3"


@pytest.fixture
def trouble() -> Iterator[DatabaseTroubleMiddleware]:
    def view(request: HttpRequest) -> HttpResponseBase:
        raise AssertionError

    logging.disable(logging.ERROR)
    yield DatabaseTroubleMiddleware(view)
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    ("path", "kind"), [("/api/v1/events", "application/problem+json"), ("/w/atlas/usage", "text/html; charset=utf-8")]
)
def test_a_database_that_is_away_is_a_503_that_says_when_to_repeat(
    trouble: DatabaseTroubleMiddleware, path: str, kind: str
) -> None:
    answer = trouble.process_exception(RequestFactory().get(path), OperationalError("server closed the connection"))
    assert answer is not None
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, kind)
    assert int(answer.headers["Retry-After"]) > 0


def test_other_errors_are_not_hidden(trouble: DatabaseTroubleMiddleware) -> None:
    assert trouble.process_exception(RequestFactory().get("/"), ValueError("ours")) is None


def test_saving_closes_the_drawer_and_names_what_changed() -> None:
    answer = saved(message="Saved", events={"usage:changed": {"metric": "sms"}})
    assert answer.status_code == 204
    told = json.loads(answer.headers["HX-Trigger"])
    assert told == {"drawer:close": {}, "toast": {"message": "Saved", "tone": "ok"}, "usage:changed": {"metric": "sms"}}


def test_a_request_without_htmx_gets_a_whole_page() -> None:
    assert not is_fragment_request(RequestFactory().get("/"))


def test_there_is_no_debugging_in_production_and_only_known_hosts_are_served(client: Client) -> None:
    assert settings.DEBUG is False
    assert client.get("/admin/login/", headers={"host": "evil.example"}).status_code == 400
