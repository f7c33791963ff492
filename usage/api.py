"""The part of the API that keeps the facts: ingest, and what else this app answers (spec 2.3, 10.5)."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from ninja import Router

from usage import api_consume, api_corrections, cloudevents
from usage.api_auth import bearer, caller_of, has_small_body
from usage.clocks import account_clock, system_clock
from usage.errors import BadRequest, Unauthorized
from usage.events import ParsedEvent, Rejection, parse_events
from usage.services.api_keys import Caller, admission
from usage.services.ingest import IngestResult, in_order, ingest
from usage.services.ingest_one import ingest_one
from usage.sql import prepared

router = Router()
router.add_router("", api_consume.router)
router.add_router("", api_corrections.router)

_EVENT_SCHEMA: Final = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "subject"],
    "properties": {
        "specversion": {"type": "string", "enum": ["1.0"]},
        "id": {"type": "string", "minLength": 1, "maxLength": 1024},
        "source": {"type": "string", "format": "uri-reference", "minLength": 1, "maxLength": 1024},
        "type": {"type": "string", "minLength": 1, "examples": ["ai_resolution.recorded"]},
        "subject": {"type": "string", "minLength": 1, "maxLength": 1024, "description": "The workspace's key."},
        "time": {"type": "string", "format": "date-time"},
        "data": {"type": "object"},
    },
    "additionalProperties": True,
}
_RESULT_SCHEMA: Final = {
    "type": "object",
    "required": ["accepted", "duplicate", "rejected"],
    "properties": {
        "accepted": {"type": "integer"},
        "duplicate": {"type": "integer"},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "id", "code", "field", "reason"],
                "properties": {
                    "index": {"type": "integer"},
                    "id": {"type": ["string", "null"]},
                    "code": {"type": "string"},
                    "field": {"type": ["string", "null"]},
                    "reason": {"type": "string"},
                },
            },
        },
    },
}


def _answer(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _RESULT_SCHEMA}}}


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}


@router.post(
    "/events",
    auth=bearer("ingest"),
    tags=["Usage"],
    summary="Send usage as CloudEvents 1.0",
    operation_id="ingest_events",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/cloudevents+json": {"schema": _EVENT_SCHEMA},
                "application/cloudevents-batch+json": {
                    "schema": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": cloudevents.MAX_EVENTS,
                        "items": _EVENT_SCHEMA,
                    }
                },
                "application/json": {
                    "schema": {
                        "type": ["object", "array"],
                        "minItems": 1,
                        "description": "An event as its headers leave it: its data in binary mode, else as above.",
                    }
                },
            },
        },
        "responses": {
            200: _answer("What became of the events; valid ones are kept even if others were rejected."),
            204: {"description": "Nothing was rejected, and the request preferred a minimal answer."},
            413: _problem("More than 10 MB or 1000 events."),
            415: _problem("Neither JSON nor CloudEvents."),
            422: _answer("All events were rejected."),
        },
    },
)
def ingest_events(request: HttpRequest) -> HttpResponse:
    """Structured, batched (up to 1000) and binary mode. Sending an event again is safe: it counts once, for ever."""
    try:
        sent = _sent(request)
    except cloudevents.Unreadable as error:
        raise BadRequest(error.reason, code=error.code, status=error.status) from None
    events, rejected = parse_events(sent.sent, is_suspect=sent.is_suspect)
    result = IngestResult(rejected=[*sent.rejected, *rejected])
    for account_id, is_sandbox, part in _by_account(caller_of(request), events, result):
        clock = account_clock(account_id=account_id, is_sandbox=is_sandbox)
        result.add(ingest(account_id=account_id, events=part, clock=clock))
    return _told(request, result)


def ingest_at_once(request: HttpRequest) -> HttpResponse | None:
    """The ordinary single event by two trips to the database; None for any other request."""
    # A small body may still unpack to a large one.
    if not has_small_body(request) or "HTTP_CONTENT_ENCODING" in request.META:
        return None
    try:
        sent = _sent(request)
        events, rejected = parse_events(sent.sent, is_suspect=sent.is_suspect) if len(sent.sent) == 1 else ([], [])
        if not events or rejected or sent.rejected:
            return None
        header = request.META.get("HTTP_AUTHORIZATION")
        asked = admission(header, events[0].subject, "ingest", now=system_clock())
    except (cloudevents.Unreadable, Unauthorized):
        return None
    result = ingest_one(admission=asked, event=events[0])
    return None if result is None else _told(request, result)


def _sent(request: HttpRequest) -> cloudevents.Request:
    """Raises Unreadable."""
    return cloudevents.read_request(
        content_type=request.META.get("CONTENT_TYPE", ""),
        content_encoding=request.META.get("HTTP_CONTENT_ENCODING", ""),
        attributes={name[8:].lower(): value for name, value in request.META.items() if name.startswith("HTTP_CE_")},
        body=request.body,
    )


def _told(request: HttpRequest, result: IngestResult) -> HttpResponse:
    if not result.rejected and _wants_minimal(request):
        return HttpResponse(status=204, headers={"Preference-Applied": "return=minimal"})
    body = {
        "accepted": result.accepted,
        "duplicate": result.duplicate,
        "rejected": [asdict(rejection) for rejection in in_order(result.rejected)],
    }
    status = 422 if not (result.accepted or result.duplicate) else 200
    return HttpResponse(json.dumps(body), status=status, content_type="application/json")


def _wants_minimal(request: HttpRequest) -> bool:
    # OpenMeter's own clients take anything but 204 for a failure.
    return (
        "return=minimal" in request.META.get("HTTP_PREFER", "").replace(" ", "").lower()
        or "openmeter" in request.META.get("HTTP_USER_AGENT", "").lower()
    )


_ACCOUNTS: Final = """
SELECT w.key, a.id, a.is_sandbox FROM usage_workspace w JOIN usage_account a ON a.id = w.account_id
 WHERE w.key = ANY(%s::text[])
"""


def _by_account(
    caller: Caller, events: list[ParsedEvent], result: IngestResult
) -> list[tuple[int, bool, list[ParsedEvent]]]:
    """The events of each account, which get a transaction of their own (spec 2.3)."""
    if caller.account_id is not None:
        return [(caller.account_id, caller.is_sandbox, events)]
    subjects = list({event.subject for event in events})
    places = {key: (owner, is_sandbox) for key, owner, is_sandbox in prepared(_ACCOUNTS, [subjects])}
    parts: dict[tuple[int, bool], list[ParsedEvent]] = {}
    for event in events:
        place = places.get(event.subject)
        if place is None:
            reason = "there is no such workspace"
            result.rejected.append(Rejection(event.index, event.id, "unknown_subject", "subject", reason))
        else:
            parts.setdefault(place, []).append(event)
    return [(account, is_sandbox, part) for (account, is_sandbox), part in parts.items()]
