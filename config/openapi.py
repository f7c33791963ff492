"""What the API's description says of every operation alike: how it refuses (spec 10.5)."""

from __future__ import annotations

from typing import Any, Final

_PROBLEM: Final = {
    "title": "Problem",
    "description": "Why a request was refused. Some codes add members, such as `lowest_allowed`.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "A sentence for people."},
        "code": {"type": "string", "description": "A word for programs; it stays."},
        "field": {"type": "string", "description": "The input at fault."},
        "errors": {
            "type": "array",
            "description": "All inputs at fault, where several are.",
            "items": {
                "type": "object",
                "required": ["field", "detail"],
                "properties": {"field": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
    "additionalProperties": True,
}
_ALWAYS: Final = {
    400: "The request cannot be read.",
    401: "No valid key.",
    403: "The key lacks the scope.",
    503: "The database is away; nothing was stored: repeat the request after `Retry-After` seconds.",
}
_WITH_PATH: Final = {404: "There is no such thing, or it is another account's."}
_WITH_BODY: Final = {413: "The body is too large."}
_WITH_INPUT: Final = {422: "A value is not possible; `field` names it."}
# Operations under an identity that may have been used for something else.
_CONFLICTS: Final = {
    "consume": "The id was used for another workspace, metric or quantity.",
    "reserve": "The id was used for another workspace, metric or quantity.",
    "settle": "The reservation was settled or released otherwise.",
    "release": "The reservation was settled.",
    "amend_event": "The event was voided.",
    "void_event": "The event is being corrected by others.",
}
_NAMED_IN_BODY: Final = {"amend_event", "void_event"}  # what they are about may be missing although no path names it


def complete(description: dict[str, Any]) -> None:
    """Add to a generated OpenAPI description the refusals that each operation may answer with, where it says nothing
    of them itself."""
    description.pop("servers", None)
    description["components"]["schemas"]["Problem"] = _PROBLEM
    for operations in description["paths"].values():
        for operation in operations.values():
            refusals = dict(_ALWAYS)
            has_path = any(parameter["in"] == "path" for parameter in operation.get("parameters", ()))
            if has_path or operation["operationId"] in _NAMED_IN_BODY:
                refusals |= _WITH_PATH
            if "requestBody" in operation:
                refusals |= _WITH_BODY
            if "requestBody" in operation or operation.get("parameters"):
                refusals |= _WITH_INPUT
            if operation["operationId"] in _CONFLICTS:
                refusals[409] = _CONFLICTS[operation["operationId"]]
            said = operation["responses"]
            for status, text in sorted(refusals.items()):
                if status not in said:
                    said[status] = _refusal(text)
            operation["responses"] = dict(sorted(said.items()))


def _refusal(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {"application/problem+json": {"schema": schema}}}
