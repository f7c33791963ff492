"""Who may open a page: a logged-in teammate of the workspace in its address (spec 1.2, 1.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render, resolve_url
from django.urls import get_script_prefix, reverse
from django.utils.cache import add_never_cache_headers
from django_htmx.http import HttpResponseClientRedirect

from config.web import is_fragment_request
from config.web import restricted as restricted_answer
from usage.errors import HeadroomError, NotFound
from usage.models import User, Workspace
from usage.permissions import Restricted, has_flag, restricted
from usage.selectors.access import workspaces_of
from usage.services.audit import Actor, record

# The pages of the sidebar, by the names of their addresses.
PAGES: Final = (
    "dashboard",
    "billing",
    "usage",
    "teammates",
    "analytics",
    "invoices",
    "workflows",
    "notifications",
)
LAST_WORKSPACE = "workspace"  # in the session: where the person comes back to


def workspace_page(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view `(request, workspace, **rest)` at an address with `workspace_key`.

    Without a login it leads to the login page and back; a workspace of which the user is no teammate answers exactly
    like one that does not exist, also to admins. What it shows is never kept by caches.
    """

    @wraps(view)
    def guarded(request: HttpRequest, workspace_key: str, **rest: Any) -> HttpResponseBase:
        if not isinstance(request.user, User):
            return _to_login(request)
        # Read once: the switcher lists all of them, and the bell and the banner need not find theirs again.
        mine = workspaces_of(request.user)
        workspace = next((each for each in mine if each.key == workspace_key), None)
        if workspace is None:
            raise Http404
        request.workspaces = mine  # type: ignore[attr-defined]
        request.workspace = workspace  # type: ignore[attr-defined]
        if request.session.get(LAST_WORKSPACE) != workspace.key:
            request.session[LAST_WORKSPACE] = workspace.key
        try:
            response = view(request, workspace, **rest)
        except NotFound as error:
            raise Http404 from error
        except Restricted as refusal:
            response = restricted_page(request, refusal, attempted=request.method == "POST")
        except HeadroomError as refusal:
            response = _refused(request, workspace, refusal)
        add_never_cache_headers(response)
        return response

    guarded.access = "teammate"  # type: ignore[attr-defined]  # a test asks every view for it
    return guarded


def signed_in(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view `(request, …)` for everybody who is logged in, outside any workspace."""

    @wraps(view)
    def guarded(request: HttpRequest, **rest: Any) -> HttpResponseBase:
        if not isinstance(request.user, User):
            return _to_login(request)
        response = view(request, **rest)
        add_never_cache_headers(response)
        return response

    guarded.access = "user"  # type: ignore[attr-defined]
    return guarded


def user_of(request: HttpRequest) -> User:
    """The person in front of a page that only people who are logged in reach. Http404 for anybody else."""
    if not isinstance(request.user, User):
        raise Http404
    return request.user


def require_flag(
    request: HttpRequest,
    workspace: Workspace,
    flag: str,
    *,
    doing: str,
    action: str,
    subject: str,
    page: str,
    anywhere_in_account: bool = False,
) -> None:
    """Raises Restricted when the user lacks the permission; an attempt (POST) is in the audit trail as `action` on
    `subject` (spec 1.3). `workspace_page` answers with the pop-up, which leads back to `page`."""
    user = user_of(request)
    if has_flag(user=user, workspace=workspace, flag=flag, anywhere_in_account=anywhere_in_account):
        return
    refusal = restricted(workspace=workspace, flags=[flag], doing=doing, page=page)
    if request.method == "POST":
        record(
            by=Actor.of_user(user),
            action=action,
            subject=subject,
            account=workspace.account_id,
            workspace=workspace,
            after={"missing": list(refusal.permissions)},
            reason=refusal.detail,
        )
    raise refusal


def restricted_page(request: HttpRequest, refusal: Restricted, *, attempted: bool) -> HttpResponse:
    """403 with “This feature is restricted”: a pop-up for HTMX, a page of its own otherwise. `attempted`: a change was
    refused, not only asked about."""
    context = shell_context(request, refusal.workspace, refusal.page) | {
        "doing": refusal.doing,
        "permissions": refusal.permissions,
        "holders": refusal.holders,
        "attempted": attempted,
        "close_url": reverse(refusal.page, args=[refusal.workspace.key]),
    }
    return restricted_answer(request, context)


def workspaces_read(request: HttpRequest) -> list[Workspace]:
    """The person's workspaces, as `workspace_page` has read them."""
    found: list[Workspace] = request.workspaces  # type: ignore[attr-defined]
    return found


def shell_context(request: HttpRequest, workspace: Workspace, nav: str) -> dict[str, Any]:
    """What the page's frame shows on each page of a workspace; `nav` names the entry of the sidebar. `urls` are the
    workspace's pages by name."""
    return {
        "nav": nav,
        "urls": _pages_of(workspace.key, get_script_prefix()),
        "workspace": workspace,
        "account": workspace.account,
        "workspaces": workspaces_read(request),
        "support_email": settings.SUPPORT_EMAIL,
    }


@lru_cache(maxsize=1024)  # every page leads to all of them
def _pages_of(workspace_key: str, prefix: str) -> Mapping[str, str]:
    """The addresses of a workspace's pages, for a server that stands below `prefix`."""
    return {page: reverse(page, args=[workspace_key]) for page in PAGES}


def _refused(request: HttpRequest, workspace: Workspace, refusal: HeadroomError) -> HttpResponse:
    """What no form could say in place: a page with the sentence of the refusal, never a 5xx."""
    context = shell_context(request, workspace, "") | {"refusal": refusal}
    return render(request, "usage/refused.html", context, status=refusal.status)


def _to_login(request: HttpRequest) -> HttpResponse:
    if is_fragment_request(request):
        # A fragment must not become the login form; the whole page goes there.
        return HttpResponseClientRedirect(resolve_url(settings.LOGIN_URL))
    return redirect_to_login(request.get_full_path())
