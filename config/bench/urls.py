"""The product's addresses, and beside them what no answer of the API could do cheaper."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from usage.api_auth import require_workspace
from usage.sql import prepared

_ONE_ROW = "SELECT name, created_at FROM usage_workspace WHERE id = %s"


@csrf_exempt
def one_row(request: HttpRequest, key: str) -> HttpResponse:
    """A plain view behind the API's own key check that reads one row and answers."""
    _, workspace = require_workspace(request, key, "decide", "ingest")
    name, created_at = prepared(_ONE_ROW, [workspace.id])[0]
    return JsonResponse({"name": name, "created_at": created_at.isoformat()})


urlpatterns = [path("bench/<str:key>/one-row", one_row), path("", include("config.urls"))]
