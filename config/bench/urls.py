"""The product's addresses, and beside them what no answer of the API could do cheaper."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from config import urls
from usage.api_auth import require_workspace
from usage.clocks import system_clock
from usage.services.api_keys import ADMITTED, admission
from usage.sql import prepared

COUNTED: Final = """
CREATE TABLE IF NOT EXISTS bench_total (
    workspace bigint PRIMARY KEY, quantity numeric(30, 6), hard_limit numeric(30, 6));
CREATE TABLE IF NOT EXISTS bench_event (
    workspace bigint, key uuid, quantity numeric(30, 6), PRIMARY KEY (workspace, key));
INSERT INTO bench_total SELECT id, 0, 1000000000 FROM usage_workspace ON CONFLICT DO NOTHING
"""
_ONE_ROW: Final = "SELECT name, created_at FROM usage_workspace WHERE id = %s"
_COUNT: Final = f"""{ADMITTED}, counted AS (
    UPDATE bench_total t SET quantity = t.quantity + 1
      FROM admitted WHERE t.workspace = admitted.workspace AND t.quantity + 1 <= t.hard_limit
    RETURNING t.workspace, t.quantity
), kept AS (
    INSERT INTO bench_event SELECT workspace, gen_random_uuid(), 1 FROM counted
)
SELECT quantity FROM counted
"""  # noqa: S608 - made of constants


@csrf_exempt
def one_row(request: HttpRequest, key: str) -> HttpResponse:
    """A plain view behind the API's own key check that reads one row and answers."""
    _, workspace = require_workspace(request, key, "decide", "ingest")
    name, created_at = prepared(_ONE_ROW, [workspace.id])[0]
    return JsonResponse({"name": name, "created_at": created_at.isoformat()})


@csrf_exempt
def count_one(request: HttpRequest, key: str) -> HttpResponse:
    """A plain view that checks the key, counts one below a limit, keeps an event and commits, all in one statement."""
    asked = admission(request.META.get("HTTP_AUTHORIZATION"), key, "decide", "ingest", now=system_clock())
    ((quantity,),) = prepared(_COUNT, asked.parameters())
    return JsonResponse({"quantity": str(quantity)})


urlpatterns = [
    # Below the API's address, so that they take the API's way through the middleware.
    path("api/v1/bench/<str:key>/one-row", one_row),
    path("api/v1/bench/<str:key>/count", count_one),
    *urls.urlpatterns,
]
