"""Answers to browsers: page or fragment, drawers, the restricted pop-up, and a clear word when the database is away.

Imports nothing of ours, so every app may use it.
"""

import gzip
import json
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.serializers.json import DjangoJSONEncoder
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import UnreadablePostError
from django.middleware.gzip import GZipMiddleware, re_accepts_gzip
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import resolve
from django.utils.cache import patch_vary_headers
from django_htmx.http import trigger_client_event

log = logging.getLogger(__name__)

MAX_DISCARDED = 256 * 1024 * 1024  # bytes
RETRY_AFTER = 2  # seconds: the embedded server is back within that after a crash


def is_fragment_request(request: HttpRequest) -> bool:
    """True when HTMX asks for a part of a page. A history restore asks for the whole page."""
    htmx = getattr(request, "htmx", None)
    return htmx is not None and bool(htmx) and not htmx.history_restore_request


def page_or_partial(
    request: HttpRequest, template: str, partial: str, context: Mapping[str, Any], *, status: int = 200
) -> HttpResponse:
    """The whole page, or for HTMX only `template#partial`. The two never share a cache entry (Vary)."""
    name = f"{template}#{partial}" if is_fragment_request(request) else template
    response = render(request, name, dict(context), status=status)
    response.headers["Vary"] = "HX-Request, Cookie"
    return response


def drawer(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, has_errors: bool = False
) -> HttpResponse:
    """A drawer's content; 422 when the form came back with errors (HTMX swaps it in, and tests can tell)."""
    response = render(request, template, dict(context), status=422 if has_errors else 200)
    response.headers["Vary"] = "HX-Request, Cookie"
    return response


def restricted(
    request: HttpRequest, context: Mapping[str, Any], *, template: str = "components/restricted.html"
) -> HttpResponse:
    """403 with the pop-up “This feature is restricted” as its body (spec 1.3)."""
    return render(request, template, dict(context), status=403)


def saved(*, message: str, tone: str = "ok", events: Mapping[str, Mapping[str, Any]] | None = None) -> HttpResponse:
    """An empty answer that closes the drawer, says `message` (`tone` as in app.js) and fires `events`, so that cards
    fetch themselves again."""
    response = HttpResponse(status=204)
    trigger_client_event(response, "drawer:close", {})
    trigger_client_event(response, "toast", {"message": message, "tone": tone})
    for name, detail in (events or {}).items():
        trigger_client_event(response, name, dict(detail))
    return response


def problem(
    *,
    status: int,
    code: str,
    title: str,
    detail: str = "",
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> HttpResponse:
    """An `application/problem+json` answer (spec 10.5); `field` is the input at fault, `members` more of the body."""
    body: dict[str, Any] = {"type": "about:blank", "status": status, "code": code, "title": title, "detail": detail}
    if field is not None:
        body["field"] = field
    return HttpResponse(
        json.dumps(body | members, cls=DjangoJSONEncoder),
        status=status,
        content_type="application/problem+json",
        headers=dict(headers or {}),
    )


def read_whole_body(request: HttpRequest) -> None:
    """Make `request.body` the body as it was sent, also one that comes in pieces without a length, which Django takes
    for empty. Raises RequestDataTooBig, and UnreadablePostError for a body that broke off: what is left of it could
    mean something else.
    """
    most: int = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if "CONTENT_LENGTH" in request.META or "chunked" not in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        length = request.META.get("CONTENT_LENGTH") or "0"
        is_cut = length.isdecimal() and len(request.body) < int(length)
    else:
        # The place where Django keeps what it has read.
        request._body = request.META["wsgi.input"].read(most + 1)
        is_cut = not request.body
        if len(request.body) > most:
            raise RequestDataTooBig
    if is_cut:
        raise UnreadablePostError("the body broke off")


def discard_body(request: HttpRequest) -> None:
    """Read on to the end of a body that is too big, within reason: many clients look at no answer before they have sent
    everything, and an answer to half a body reaches them as a broken connection."""
    length = request.META.get("CONTENT_LENGTH") or ""
    left = min(int(length), MAX_DISCARDED) if length.isdecimal() else MAX_DISCARDED
    try:
        while left > 0 and (piece := request.META["wsgi.input"].read(min(left, 1 << 20))):
            left -= len(piece)
    except OSError:
        return


class DatabaseTroubleMiddleware:
    """Turns “the database is away or too busy” into 503 with Retry-After instead of a 500.

    Nothing was stored when that happens: every service is one transaction, so asking again is safe.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponseBase | None:
        if not isinstance(exception, OperationalError | InterfaceError):
            return None
        log.error("database unavailable: %s", str(exception).partition("\n")[0])
        headers = {"Retry-After": str(RETRY_AFTER)}
        if request.path.startswith(("/api/", "/ofrep/")):
            return problem(status=503, code="database_unavailable", title="Try again in a moment", headers=headers)
        return HttpResponse(render_to_string("503.html"), status=503, headers=headers)


class QuickGZipMiddleware(GZipMiddleware):
    """Pages at zlib's level 3: half the time of Django's level 6 for a fifth more bytes."""

    LEVEL = 3
    SHORT = 200  # bytes, as Django: nothing is won below

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        is_plain = not (response.has_header("Content-Encoding") or response.has_header("ETag"))
        if not isinstance(response, HttpResponse) or not is_plain or len(response.content) < self.SHORT:
            return super().process_response(request, response)
        patch_vary_headers(response, ("Accept-Encoding",))
        if not re_accepts_gzip.search(request.META.get("HTTP_ACCEPT_ENCODING", "")):
            return response
        packed = gzip.compress(response.content, compresslevel=self.LEVEL, mtime=0)
        # A file name of any length in the header, as Django: nobody may guess a page's secrets by its size (BREACH).
        name = b"a" * secrets.randbelow(self.max_random_bytes) + b"\0"
        packed = packed[:3] + bytes([gzip.FNAME]) + packed[4:10] + name + packed[10:]
        if len(packed) < len(response.content):
            response.content = packed
            response.headers["Content-Length"] = str(len(packed))
            response.headers["Content-Encoding"] = "gzip"
        return response


class ApiLaneMiddleware:
    """Takes requests of the API straight to their view: a bearer key needs no session, no login, no form token and no
    message storage, and what stands after this in the list of middleware costs more than the API's own work."""

    PATHS = ("/api/v1/", "/ofrep/v1/")

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.trouble = DatabaseTroubleMiddleware(get_response)

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not request.path_info.startswith(self.PATHS):
            return self.get_response(request)
        request.get_host()  # refuses a host that is not ours
        match = request.resolver_match = resolve(request.path_info)
        try:
            response: HttpResponseBase = match.func(request, *match.args, **match.kwargs)
        except Exception as error:
            answer = self.trouble.process_exception(request, error)
            if answer is None:
                raise
            response = answer
        if isinstance(response, HttpResponse):
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response
