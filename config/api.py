"""The API's front: joins the apps' routers, and gives every refusal the same shape (spec 10.5)."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import DisallowedHost, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.http.request import UnreadablePostError
from django.urls import URLPattern, URLResolver, path, re_path
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.operation import Operation
from ninja.parser import Parser

import alerts.api
import alerts.api_decisions
import billing.api
import usage.api
import usage.api_consume
from config import openapi
from config.web import RETRY_AFTER, discard_body, problem
from usage import strict_json
from usage.errors import BadRequest, HeadroomError, InvalidInput

log = logging.getLogger(__name__)


class StrictParser(Parser):
    """Reads bodies exactly: decimals stay decimals; doubled names, NUL and broken text are refused."""

    def parse_body(self, request: HttpRequest) -> Any:
        try:
            value, _ = strict_json.parse(request.body)
        except strict_json.UnreadableJson as error:
            raise HttpError(400, str(error)) from error
        flaw = strict_json.first_flaw(value)
        if flaw:
            raise HttpError(400, f"The body cannot be read: {flaw}.")
        return value


class HeadroomAPI(NinjaAPI):
    """Operations are named as their functions are; the description tells how each may be refused."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        return operation.view_func.__name__

    def get_openapi_schema(self, *args: Any, **kwargs: Any) -> OpenAPISchema:
        description = super().get_openapi_schema(*args, **kwargs)
        openapi.complete(description)
        return description


api = HeadroomAPI(
    title="Headroom",
    version="1",
    description="Usage, limits, decisions and invoices. Errors are `application/problem+json`; decimals are strings.",
    docs_url="/docs",
    openapi_url="/openapi.json",
    parser=StrictParser(),
    urls_namespace="api",
)
for _room in (usage.api, billing.api, alerts.api):
    api.add_router("/v1", _room.router)


@api.exception_handler(HeadroomError)
def refused(request: HttpRequest, error: HeadroomError) -> HttpResponse:
    return problem(
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        field=error.field,
        headers={"WWW-Authenticate": "Bearer"} if error.status == HTTPStatus.UNAUTHORIZED else None,
        **error.extra,
    )


@api.exception_handler(ValidationError)
def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [_fault(item) for item in error.errors]
    first = errors[0] if errors else {"field": "", "detail": "A value is not possible."}
    return problem(
        status=422,
        code="invalid_input",
        title=InvalidInput.title,
        detail=first["detail"],
        field=first["field"] or None,
        errors=errors,
    )


def _fault(item: Mapping[str, Any]) -> dict[str, str]:
    """One input at fault, by its name and in a sentence; the body as a whole has no name."""
    field = ".".join(str(part) for part in item["loc"][1:] if part != "payload")
    if not field and item["type"] == "missing":
        return {"field": field, "detail": "The body is empty."}
    # The words of our own judges (spec 2.2) begin after the name of what they judge.
    said = str(item["msg"])
    ours = said.removeprefix("Value error, ")
    return {"field": field, "detail": said if ours == said else f"{field} {ours}."}


@api.exception_handler(HttpError)
def unreadable(request: HttpRequest, error: HttpError) -> HttpResponse:
    code = "bad_request" if error.status_code == HTTPStatus.BAD_REQUEST else "refused"
    # The framework wraps what the parser said into a sentence that says nothing.
    reason = error.__cause__ if isinstance(error.__cause__, HttpError) else error
    return problem(status=error.status_code, code=code, title=BadRequest.title, detail=str(reason))


@api.exception_handler(Http404)
def missing(request: HttpRequest, error: Http404 | None = None) -> HttpResponse:
    return problem(status=404, code="not_found", title="Not found", detail="There is no such thing.")


@api.exception_handler(RequestDataTooBig)
def too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    discard_body(request)
    return problem(status=413, code="too_large", title=BadRequest.title, detail="The body is too large.")


@api.exception_handler(UnreadablePostError)
def broken_off(request: HttpRequest, error: UnreadablePostError) -> HttpResponse:
    return problem(status=400, code="bad_request", title=BadRequest.title, detail="The body broke off.")


@api.exception_handler(OperationalError)
@api.exception_handler(InterfaceError)
def database_away(request: HttpRequest, error: Exception) -> HttpResponse:
    """Every service is one transaction, so nothing was stored and asking again is safe."""
    log.error("database unavailable: %s", str(error).partition("\n")[0])
    return problem(
        status=503,
        code="database_unavailable",
        title="Try again in a moment",
        detail="Nothing was stored; repeat the request.",
        headers={"Retry-After": str(RETRY_AFTER)},
    )


AT_ONCE: Final[Mapping[str, Callable[..., HttpResponse | None]]] = {
    "v1/events": usage.api.ingest_at_once,
    "v1/workspaces/<key>/consume": usage.api_consume.consume_at_once,
    "v1/workspaces/<key>/route": alerts.api_decisions.decide_at_once,
}


def _in_shape(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Gives the framework's own refusals the shape of ours, and keeps NUL characters out of every query."""

    @functools.wraps(view)
    def shaped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if "\x00" in request.path:
            return missing(request)
        if "%00" in request.META.get("QUERY_STRING", ""):
            return problem(
                status=400, code="bad_request", title=BadRequest.title, detail="The query contains a NUL character."
            )
        is_head = request.method == "HEAD"
        try:
            # HEAD is GET without the body, which the server leaves out.
            request.method = "GET" if is_head else request.method
            response = view(request, *args, **kwargs)
        except Http404:
            return missing(request)
        finally:
            request.method = "HEAD" if is_head else request.method
        if response.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = ", ".join(sorted(response.headers["Allow"].replace("GET", "GET, HEAD").split(", ")))
            return problem(
                status=405,
                code="method_not_allowed",
                title="Not allowed",
                detail=f"Use {allowed}.",
                headers={"Allow": allowed},
            )
        return response

    return shaped


def _at_once(attempt: Callable[..., HttpResponse | None], view: Callable[..., HttpResponseBase]) -> Callable[..., Any]:
    """The few operations that applications call while a customer waits: their ordinary call is answered without the
    framework's machinery and by fewer trips to the database. Any other goes to `view`, which judges, refuses and
    describes."""

    @functools.wraps(view)
    def shortened(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST" or "\x00" in request.path:
            return view(request, *args, **kwargs)
        try:
            return attempt(request, **kwargs) or view(request, *args, **kwargs)
        except UnreadablePostError as error:
            return broken_off(request, error)
        except (OperationalError, InterfaceError) as error:
            return database_away(request, error)

    return shortened


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """What Django refuses before any view: as a problem for programs, as a page for people."""
    if not request.path.startswith("/api/"):
        return defaults.bad_request(request, exception)
    is_host = isinstance(exception, DisallowedHost)
    detail = "The server is not known under this name; its operator may allow it." if is_host else ""
    return problem(status=400, code="bad_request", title=BadRequest.title, detail=detail)


@csrf_exempt
def _unknown(request: HttpRequest) -> HttpResponse:
    return missing(request)


def _patterns() -> list[URLPattern | URLResolver]:
    patterns, app_name, namespace = api.urls
    soonest: list[URLPattern | URLResolver] = []
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            pattern.callback = _in_shape(pattern.callback)
            attempt = AT_ONCE.get(str(pattern.pattern))
            if attempt is not None:
                soonest.append(path(f"api/{pattern.pattern}", _at_once(attempt, pattern.callback)))
    # Those that are asked most stand first and on their own: each list of addresses within another costs time to enter.
    return [*soonest, path("api/", ([*patterns, re_path(r"", _unknown)], app_name, namespace))]


urlpatterns = _patterns()
