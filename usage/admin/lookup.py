"""Usage tables in admin: account first, a page at a time, never counted (spec 7.1)."""

from __future__ import annotations

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse


def usage_lookup(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm("usage.view_usageevent"):  # type: ignore[union-attr]
        raise PermissionDenied
    return TemplateResponse(request, "admin/usage_lookup.html", {**admin.site.each_context(request), "title": "Usage"})
