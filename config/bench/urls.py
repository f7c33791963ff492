"""The product's addresses, and beside them what no answer of the API could do cheaper."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from config import urls
from usage.api_auth import require_workspace
from usage.clocks import system_clock
from usage.models import Workspace
from usage.services.api_keys import ADMITTED, admission
from usage.sql import prepared

# Tables as the product's own, with the same indexes; no foreign keys.
COUNTED: Final = """
CREATE TABLE IF NOT EXISTS bench_total (LIKE usage_usagetotal INCLUDING ALL);
CREATE TABLE IF NOT EXISTS bench_event (LIKE usage_usageevent INCLUDING ALL);
CREATE TABLE IF NOT EXISTS bench_day (LIKE usage_usageday INCLUDING ALL);
INSERT INTO bench_total
SELECT DISTINCT ON (account_id, workspace_id) * FROM usage_usagetotal ORDER BY account_id, workspace_id, period DESC
    ON CONFLICT DO NOTHING;
UPDATE bench_total SET hard_limit = 1000000000000
"""
_ONE_ROW: Final = "SELECT name, created_at FROM usage_workspace WHERE id = %s"
_COUNT: Final = f"""{ADMITTED}, counted AS (
    UPDATE bench_total t SET quantity = t.quantity + 1, seq = t.seq + 1, last_received_at = %(now)s
      FROM admitted WHERE t.account_id = admitted.account AND t.workspace_id = admitted.workspace
       AND t.quantity + 1 <= t.hard_limit
    RETURNING t.account_id, t.workspace_id, t.metric_id, t.period, t.quantity
), kept AS (
    INSERT INTO bench_event (account_id, key, content, workspace_id, metric_id, period, day, quantity, occurred_at,
                             received_at, source, event_id, is_void)
    SELECT account_id, gen_random_uuid(), gen_random_uuid(), workspace_id, metric_id, period, %(now)s::date, 1, %(now)s,
           %(now)s, 'bench', 'event', false
      FROM counted
), summed AS (
    INSERT INTO bench_day AS d (account_id, workspace_id, metric_id, period, day, quantity)
    SELECT account_id, workspace_id, metric_id, period, %(now)s::date, 1 FROM counted
    ON CONFLICT (account_id, workspace_id, metric_id, period, day) DO UPDATE SET quantity = d.quantity + 1
)
SELECT quantity FROM counted
"""  # noqa: S608 - made of constants


@csrf_exempt
def one_row(request: HttpRequest, key: str) -> HttpResponse:
    """A plain view behind the API's own key check that reads one row by a prepared statement and answers."""
    _, workspace = require_workspace(request, key, "decide", "ingest")
    name, created_at = prepared(_ONE_ROW, [workspace.id])[0]
    return JsonResponse({"name": name, "created_at": created_at.isoformat()})


@csrf_exempt
def one_object(request: HttpRequest, key: str) -> HttpResponse:
    """The same view as anybody would write it: the row is read as an object."""
    _, found = require_workspace(request, key, "decide", "ingest")
    workspace = Workspace.objects.get(pk=found.id)
    return JsonResponse({"name": workspace.name, "created_at": workspace.created_at.isoformat()})


@csrf_exempt
def count_one(request: HttpRequest, key: str) -> HttpResponse:
    """A plain view that checks the key, counts one below a limit, keeps an event, adds to its day and commits, all
    in one statement that judges nothing else."""
    asked = admission(request.META.get("HTTP_AUTHORIZATION"), key, "decide", "ingest", now=system_clock())
    ((quantity,),) = prepared(_COUNT, asked.parameters())
    return JsonResponse({"quantity": str(quantity)})


urlpatterns = [
    # Below the API's address, so that they take the API's way through the middleware.
    path("api/v1/bench/<str:key>/one-row", one_row),
    path("api/v1/bench/<str:key>/one-object", one_object),
    path("api/v1/bench/<str:key>/count", count_one),
    *urls.urlpatterns,
]
