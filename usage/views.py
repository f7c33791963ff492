"""The way in: from the bare address to a workspace."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from usage.access import LAST_WORKSPACE, signed_in, user_of
from usage.models import Workspace


@require_GET
@signed_in
def home(request: HttpRequest) -> HttpResponse:
    """The dashboard of the workspace seen last, else of the one joined first; admins without one go to the admin, other
    people read what is missing."""
    user = user_of(request)
    mine = Workspace.objects.filter(teammates__user=user).order_by("teammates__pk")
    first = mine.filter(key=request.session.get(LAST_WORKSPACE)).first() or mine.first()
    if first is not None:
        return redirect("dashboard", workspace_key=first.key)
    if user.is_staff:
        return redirect("admin:index")
    return render(request, "usage/no_workspace.html", {"support_email": settings.SUPPORT_EMAIL})
