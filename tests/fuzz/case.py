"""A bad request, and what must come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

REFUSED = tuple(range(400, 500))


@dataclass
class Case:
    """`rejected`: field by index of the events of an ingest request that must be refused; `accepted`: how many of its
    others must be kept. Every other request must be refused as a whole, with one of `statuses`, naming `field` when
    the answer is 422 (None: whichever)."""

    what: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    statuses: tuple[int, ...] = REFUSED
    field: str | None = None
    rejected: dict[int, str | None] | None = None
    accepted: int = 0
    is_ofrep: bool = False

    def __str__(self) -> str:
        body = self.body if len(self.body) <= 800 else self.body[:400] + b" ... " + self.body[-100:]
        return f"{self.what}: {self.method} {self.path} {self.content_type!r} {self.headers} {body!r}"


CODES = {
    "invalid_attribute",
    "unknown_subject",
    "unknown_type",
    "invalid_data",
    "in_future",
    "before_first_period",
    "account_ended",
    "id_reused",
}


def check_problem(answer: dict[str, Any], status: int, content_type: str) -> None:
    """The shape of `application/problem+json` (spec 10.5)."""
    assert content_type == "application/problem+json", content_type
    assert {"type", "title", "status", "detail", "code"} <= answer.keys(), answer
    assert answer["status"] == status, answer
    assert all(isinstance(answer[name], str) and answer[name] for name in ("type", "title", "detail", "code")), answer


def check_ingested(case: Case, status: int, answer: dict[str, Any]) -> None:
    """Each refused event is named by index, id, code and field; the others were kept (spec 2.3)."""
    assert case.rejected is not None
    assert status == (200 if case.accepted else 422), (status, answer)
    assert set(answer) == {"accepted", "duplicate", "rejected"}, answer
    assert answer["accepted"] == case.accepted, answer
    assert answer["duplicate"] == 0, answer
    named = {row["index"]: row["field"] for row in answer["rejected"]}
    assert named == case.rejected, answer
    for row in answer["rejected"]:
        assert set(row) == {"index", "id", "code", "field", "reason"}, row
        assert row["code"] in CODES, row
        assert row["id"] is None or isinstance(row["id"], str), row
        assert row["reason"], row


def check_flag_refusal(answer: dict[str, Any], status: int) -> None:
    """The shape that OFREP gives to refusals (spec 4.9)."""
    assert isinstance(answer.get("errorDetails"), str), answer
    if status == 400:
        assert answer["errorCode"] in {"PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "GENERAL"}, answer
    if status == 404:
        assert answer["errorCode"] == "FLAG_NOT_FOUND", answer
