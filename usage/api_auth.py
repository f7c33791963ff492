"""Who calls the API, and which workspace a call is about (spec 1.5, 1.6, 10.5).

Operations declare `auth=bearer("read")`. Key, scopes and workspace are then judged before the body is read, by one
query, and the operation asks `caller_of(request)` and `workspace_of(request)`.
"""

from __future__ import annotations

from typing import Any, Final

from django.http import HttpRequest
from ninja.security.base import AuthBase

from config.web import read_whole_body
from usage import strict_json
from usage.clocks import Clock, account_clock, system_clock
from usage.errors import Forbidden, NotFound, Unauthorized
from usage.models import Account
from usage.services.api_keys import Caller, WorkspaceOfCall, authenticate, authenticate_for

_SMALL: Final = 16 * 1024  # bytes


class bearer(AuthBase):
    """Demands a key with all `scopes`; on paths below `workspaces/{key}/` also a workspace that the key may see.

    Raises Unauthorized (401), Forbidden (403), NotFound (404, for missing and foreign workspaces alike).
    """

    openapi_type = "http"
    openapi_scheme = "bearer"

    def __init__(self, *scopes: str) -> None:
        self.scopes = scopes
        super().__init__()

    def __call__(self, request: HttpRequest) -> Caller:
        match = request.resolver_match
        if match is not None and "workspaces/" in match.route and "key" in match.kwargs:
            caller, _ = require_workspace(request, match.kwargs["key"], *self.scopes)
        else:
            caller = require(request, *self.scopes)
        if request.method in ("POST", "PUT"):
            read_whole_body(request)
        return caller


def has_small_body(request: HttpRequest) -> bool:
    """Whether the body came whole and is so small that it may be read before the key is judged."""
    length = request.META.get("CONTENT_LENGTH") or ""
    return length.isdecimal() and int(length) <= _SMALL and len(request.body) == int(length)


def small_body(request: HttpRequest) -> Any:
    """The value of a small, flawless JSON body; None for any other, which `bearer` and the operation judge."""
    if not has_small_body(request):
        return None
    try:
        value, is_suspect = strict_json.parse(request.body)
    except strict_json.UnreadableJson:
        return None
    return None if is_suspect or strict_json.first_flaw(value) else value


def require(request: HttpRequest, *scopes: str) -> Caller:
    """The caller, who must hold all `scopes`. Raises Unauthorized, Forbidden."""
    caller = authenticate(request.headers.get("Authorization"), system_clock())
    _check_scopes(caller, scopes)
    _remember(request, caller, None)
    return caller


def require_workspace(request: HttpRequest, workspace_key: str, *scopes: str) -> tuple[Caller, WorkspaceOfCall]:
    """The caller and the workspace with that key, by one query. Raises Unauthorized, Forbidden, NotFound."""
    caller, workspace = authenticate_for(request.headers.get("Authorization"), workspace_key, system_clock())
    _check_scopes(caller, scopes)
    if workspace is None:
        raise NotFound("There is no such workspace.")
    _remember(request, caller, workspace)
    return caller, workspace


def account_of(caller: Caller, account_key: str) -> Account:
    """The account with that key if the caller may see it. Raises NotFound for missing and foreign ones alike."""
    accounts = Account.objects.filter(key=account_key) if "\x00" not in account_key else Account.objects.none()
    if caller.account_id is not None:
        accounts = accounts.filter(pk=caller.account_id)
    account = accounts.first()
    if account is None:
        raise NotFound("There is no such account.")
    return account


def caller_of(request: HttpRequest) -> Caller:
    """The caller that `bearer` admitted to this request."""
    caller: Any = getattr(request, "api_caller", None)
    if caller is None:
        raise Unauthorized
    return caller  # type: ignore[no-any-return]


def workspace_of(request: HttpRequest) -> WorkspaceOfCall:
    """The workspace in this request's path, which `bearer` found for the caller."""
    workspace: Any = getattr(request, "api_workspace", None)
    if workspace is None:
        raise NotFound("There is no such workspace.")
    return workspace  # type: ignore[no-any-return]


def clock_for(workspace: WorkspaceOfCall) -> Clock:
    """The clock of the workspace's account."""
    return account_clock(account_id=workspace.account_id, is_sandbox=workspace.is_sandbox)


def _remember(request: HttpRequest, caller: Caller, workspace: WorkspaceOfCall | None) -> None:
    request.api_caller = caller  # type: ignore[attr-defined]
    request.api_workspace = workspace  # type: ignore[attr-defined]


def _check_scopes(caller: Caller, scopes: tuple[str, ...]) -> None:
    missing = [scope for scope in scopes if scope not in caller.scopes]
    if missing:
        raise Forbidden(f"This key lacks the scope “{missing[0]}”.", code="missing_scope", scope=missing[0])
