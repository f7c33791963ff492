"""Who is in the workspace, who may do what, and who gets the mail (spec 1.2, 1.4)."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from billing.selectors import contacts_of
from usage.access import shell_context, workspace_page
from usage.models import Teammate, Workspace
from usage.permissions import PERMISSIONS


@require_GET
@workspace_page
def teammates(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """A reading page: admins change permissions, the billing page changes contacts."""
    rows = (
        Teammate.objects.filter(workspace=workspace, user__is_active=True)
        .select_related("user")
        .order_by("user__name", "user__email")
    )
    context = shell_context(request, workspace, "teammates") | {
        "teammates": [
            {
                "user": row.user,
                "is_you": row.user_id == request.user.pk,
                "permissions": [(name, getattr(row, flag)) for flag, name in PERMISSIONS.items()],
            }
            for row in rows
        ],
        "permissions": list(PERMISSIONS.values()),
        "people": [
            {
                "name": contact.name or contact.email,
                "email": contact.email,
                "is_person": contact.teammate_id is not None,
            }
            for contact in contacts_of(workspace.account)
        ],
    }
    return render(request, "pages/teammates.html", context)
