"""Feature flags over OFREP: any OpenFeature SDK can ask whether the agent may go on (spec 4.9).

The flags are facts of the running period, read when asked. The shapes are the protocol's, not those of our own API.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import wraps
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.utils.http import parse_etags
from django.views.decorators.csrf import csrf_exempt

from alerts.selectors.decisions import LimitFact, limit_facts
from config.web import read_whole_body
from usage import strict_json
from usage.api_auth import clock_for
from usage.clocks import system_clock
from usage.errors import Forbidden, HeadroomError, Unauthorized
from usage.periods import plain_instant
from usage.services.api_keys import WorkspaceOfCall, authenticate_for

MAX_BODY = 64 * 1024
DEFAULT_METRIC = "ai_resolutions"


@dataclass(frozen=True, slots=True)
class Flag:
    """`metric` None: the metric that the context names. `is_on_when_reached`: what the flag says of a reached limit."""

    metric: str | None
    is_on_when_reached: bool


FLAGS = {
    "ai-agent": Flag(metric="ai_resolutions", is_on_when_reached=False),
    "ai-voice": Flag(metric="voice_resolutions", is_on_when_reached=False),
    "resolution-limit-reached": Flag(metric=None, is_on_when_reached=True),
}


class ContextRefused(Exception):
    """A 400 of the protocol: an error code and words."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


def _protocol(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """POST only, no CSRF (there is no cookie), and refusals in the protocol's shape."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        named = {"key": kwargs["flag_key"]} if "flag_key" in kwargs else {}
        if request.method != "POST":
            return JsonResponse({"errorDetails": "Use POST."}, status=405, headers={"Allow": "POST"})
        try:
            return view(request, *args, **kwargs)
        except Unauthorized as error:
            return JsonResponse({"errorDetails": error.detail}, status=401, headers={"WWW-Authenticate": "Bearer"})
        except Forbidden as error:
            return JsonResponse({"errorDetails": error.detail}, status=403)
        except ContextRefused as error:
            return JsonResponse({**named, "errorCode": error.code, "errorDetails": error.details}, status=400)

    return csrf_exempt(guarded)


@_protocol
def evaluate_flag(request: HttpRequest, flag_key: str) -> HttpResponse:
    """One flag for the workspace named by the targeting key."""
    flags = _flags(request, asked=flag_key)
    if flag_key not in flags:
        names = ", ".join(FLAGS)
        answer = {"key": flag_key, "errorCode": "FLAG_NOT_FOUND", "errorDetails": f"The flags are {names}."}
        return JsonResponse(answer, status=404)
    return JsonResponse(flags[flag_key])


@_protocol
def evaluate_flags(request: HttpRequest) -> HttpResponse:
    """All flags; `If-None-Match` with the last ETag answers 304 while nothing changed."""
    body = json.dumps({"flags": list(_flags(request).values())}).encode()
    # Weak from the start: compressing the answer would weaken a strong tag, and a 304 must repeat the tag of the 200.
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    etag = f"W/{tag}"
    known = {each.removeprefix("W/") for each in parse_etags(request.headers.get("If-None-Match", ""))}
    if tag in known or "*" in known:
        return HttpResponse(status=304, headers={"ETag": etag})
    return HttpResponse(body, content_type="application/json", headers={"ETag": etag})


def _flags(request: HttpRequest, *, asked: str | None = None) -> dict[str, dict[str, Any]]:
    """The evaluations by flag, of all flags or the one `asked` for; none for an unknown flag.

    Two queries. The key is checked before all else: who may not ask learns nothing about flags and workspaces.
    """
    problem: ContextRefused | None = None
    workspace_key, metric = "", DEFAULT_METRIC
    try:
        workspace_key, metric = _targeting(request)
    except ContextRefused as refused:
        problem = refused
    caller, workspace = authenticate_for(_authorization(request), workspace_key, system_clock())
    if "decide" not in caller.scopes:
        raise Forbidden("This key lacks the scope “decide”.")
    wanted = {key: flag for key, flag in FLAGS.items() if asked in (None, key)}
    if not wanted:
        return {}
    if problem is not None:
        raise problem
    if workspace is None:
        raise ContextRefused("INVALID_CONTEXT", "The targeting key names no workspace that this key may see.")
    facts = _limit_facts(workspace, {flag.metric or metric for flag in wanted.values()})
    if metric not in facts and any(flag.metric is None for flag in wanted.values()):
        raise ContextRefused("INVALID_CONTEXT", "The context's “metric” is not the key of a metric.")
    # A flag whose metric was switched off in admin is no flag.
    return {
        key: _evaluation(key, flag, facts[flag.metric or metric])
        for key, flag in wanted.items()
        if (flag.metric or metric) in facts
    }


def _authorization(request: HttpRequest) -> str | None:
    """The bearer header, or what it would be for a key sent as `X-API-Key`."""
    if "X-API-Key" in request.headers and "Authorization" not in request.headers:
        return f"Bearer {request.headers['X-API-Key']}"
    return request.headers.get("Authorization")


def _limit_facts(workspace: WorkspaceOfCall, metrics: set[str]) -> dict[str, LimitFact]:
    now = clock_for(workspace)()
    try:
        return limit_facts(account_id=workspace.account_id, workspace_id=workspace.id, metrics=sorted(metrics), now=now)
    except HeadroomError as error:  # the account has ended, or has not begun
        raise ContextRefused("INVALID_CONTEXT", error.detail) from error


def _targeting(request: HttpRequest) -> tuple[str, str]:
    """(workspace key, metric) of the request's context. Raises ContextRefused."""
    try:
        read_whole_body(request)
        if len(request.body) > MAX_BODY:
            raise RequestDataTooBig
    except RequestDataTooBig as error:
        raise ContextRefused("PARSE_ERROR", "The body is too large.") from error
    except UnreadablePostError as error:
        raise ContextRefused("PARSE_ERROR", "The body broke off.") from error
    try:
        body, _ = strict_json.parse(request.body)
    except strict_json.UnreadableJson as error:
        raise ContextRefused("PARSE_ERROR", str(error)) from error
    if not isinstance(body, Mapping):
        raise ContextRefused("PARSE_ERROR", "The body must be a JSON object.")
    context = body.get("context", {})
    if not isinstance(context, Mapping):
        raise ContextRefused("INVALID_CONTEXT", "“context” must be an object.")
    workspace_key = context.get("targetingKey")
    if workspace_key is None or workspace_key == "":
        raise ContextRefused("TARGETING_KEY_MISSING", "“context.targetingKey” must be the key of a workspace.")
    metric = DEFAULT_METRIC if context.get("metric") is None else context["metric"]
    for name, value in (("targetingKey", workspace_key), ("metric", metric)):
        if not isinstance(value, str) or not value.isascii() or "\x00" in value or len(value) > 63:
            raise ContextRefused("INVALID_CONTEXT", f"“context.{name}” must be a key.")
    return workspace_key, metric


def _evaluation(key: str, flag: Flag, fact: LimitFact) -> dict[str, Any]:
    value = fact.is_reached is flag.is_on_when_reached
    metadata: dict[str, Any] = {"used": _number(fact.used), "resets_at": plain_instant(fact.resets_at)}
    if fact.limit is not None:
        metadata["limit"] = _number(fact.limit)
    return {
        "key": key,
        "value": value,
        "variant": "on" if value else "off",
        "reason": "TARGETING_MATCH",
        "metadata": metadata,
    }


def _number(quantity: Decimal) -> int | float:
    """The protocol's metadata knows JSON numbers, not decimals as strings; nothing is computed from it."""
    return int(quantity) if quantity == quantity.to_integral_value() else float(quantity)
