"""Who may open a page: a logged-in teammate of the workspace in its address (spec 1.2, 1.5)."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.cache import add_never_cache_headers
from django_htmx.http import HttpResponseClientRedirect

from config.web import is_fragment_request
from usage.errors import NotFound
from usage.models import User, Workspace
from usage.selectors.access import workspace_for, workspaces_of


def workspace_page(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """A view `(request, workspace, **rest)` at an address with `workspace_key`.

    Without a login it leads to the login page and back; a workspace of which the user is no teammate answers exactly
    like one that does not exist, also to admins. What it shows is never kept by caches.
    """

    @wraps(view)
    def guarded(request: HttpRequest, workspace_key: str, **rest: Any) -> HttpResponseBase:
        if not isinstance(request.user, User):
            return _to_login(request)
        try:
            workspace = workspace_for(request.user, workspace_key)
        except NotFound as error:
            raise Http404 from error
        response = view(request, workspace, **rest)
        add_never_cache_headers(response)
        return response

    guarded.access = "teammate"  # type: ignore[attr-defined]  # a test asks every view for it
    return guarded


def shell_context(request: HttpRequest, workspace: Workspace, nav: str) -> dict[str, Any]:
    """What the page's frame shows on each page of a workspace; `nav` names the entry of the sidebar."""
    return {
        "nav": nav,
        "workspace": workspace,
        "account": workspace.account,
        "workspaces": list(workspaces_of(request.user)) if isinstance(request.user, User) else [],
        "support_email": settings.SUPPORT_EMAIL,
    }


def _to_login(request: HttpRequest) -> HttpResponse:
    if is_fragment_request(request):
        # A fragment must not become the login form; the whole page goes there.
        return HttpResponseClientRedirect(resolve_url(settings.LOGIN_URL))
    return redirect_to_login(request.get_full_path())
