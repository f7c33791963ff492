"""The usage page: a card for every metric with terms in the period (spec 2.8, 2.9, 6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import groupby
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import get_script_prefix, reverse
from django.views.decorators.http import require_GET

from alerts.selectors.rules import rule_rows
from billing.charges import CONTRACTED, INCLUDED
from billing.models import PeriodTerms
from billing.selectors import Frame, Standing, frame_of, terms_read
from config.cards import ESTIMATE, HALF, TOO_EARLY, WIDE, Card, Reading, card_of
from config.web import is_fragment_request, page_or_partial
from usage.access import shell_context, workspace_page
from usage.clocks import clock_of
from usage.formats import period_span
from usage.models import Metric, Workspace
from usage.selectors import usage_rows
from usage.sql import together

# From so many metrics on, a group's cards stand side by side.
SIDE_BY_SIDE = 3


@dataclass(frozen=True, slots=True)
class Group:
    """The cards under one heading."""

    title: str
    sub: str
    cards: list[Card]
    is_side_by_side: bool


@require_GET
@workspace_page
def usage_page(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """The workspace's usage in the running period, or in the stored one that `?period=` (its first day) names. HTMX
    gets the cards alone, with the line of the last update and the banner."""
    reading = read_usage(workspace, first_day=asked_day(request))
    return page_or_partial(request, "pages/usage.html", "cards", _context(request, reading))


def read_usage(workspace: Workspace, *, first_day: date | None = None) -> Reading:
    """One read for all cards; 6 queries in two trips, whatever the size. Raises NotFound for a day on which no period
    begins."""
    account = workspace.account
    now = clock_of(account)()
    frame = frame_of(account=account, now=now, first_day=first_day)
    period = frame.period
    until = min(max(now, period.starts_at), period.ends_at)
    terms, stored, rules = together(
        terms_read(account=account, period_start=period.starts_at),
        usage_rows(account=account, period=period),
        rule_rows(workspace=workspace, period=period.starts_at),
    )
    metrics = {row.metric_id: row.metric for row in terms.values()}
    standing = Standing(
        currency=account.currency,
        period=period,
        now=until,
        # Cards show metrics; what the plan and its add-ons cost stands on the billing page.
        parts=(),
        add_ons=(),
        terms=terms,
        usage=stored.of(metrics.values(), now=until),
        checked_at=stored.checked_at,
    )
    return Reading(workspace=workspace, frame=frame, standing=standing, rules=rules.of(metrics), now=until, read_at=now)


def asked_day(request: HttpRequest) -> date | None:
    """The first day that `?period=` names; None when it is not there. Http404 for what is no date."""
    asked = request.GET.get("period", "")
    if not asked:
        return None
    try:
        return date.fromisoformat(asked)
    except ValueError as error:
        raise Http404 from error


def page_meta(reading: Reading) -> dict[str, Any]:
    """The line below the page's title (spec 2.8)."""
    period = reading.frame.period
    meta: dict[str, Any] = {
        "period": period_span(period.starts_at, period.ends_at, period.zone),
        "zone": period.zone,
        "facts": [],
        "updated_at": reading.read_at,
        "checked_at": reading.standing.checked_at,
    }
    if not reading.is_running:
        return meta | {"facts": ["Closed"]}
    return meta | {"day": reading.frame.day(reading.now), "days": period.days}


def _context(request: HttpRequest, reading: Reading) -> dict[str, Any]:
    frame = reading.frame
    shell = shell_context(request, reading.workspace, "usage")
    address = shell["urls"]["usage"]
    return shell | {
        "crumbs": [("Settings", None), ("Subscription", None), ("Billing", shell["urls"]["billing"])],
        "page_meta": page_meta(reading),
        "groups": _groups(reading),
        "estimate": _estimate(reading),
        "is_running": reading.is_running,
        "is_fragment": is_fragment_request(request),
        "live_url": address,
        "earlier_url": f"{address}?period={frame.earlier.isoformat()}" if frame.earlier else "",
        "later_url": _later_url(frame, address, is_running=reading.is_running),
        "current_url": "" if reading.is_running else address,
    }


def _later_url(frame: Frame, address: str, *, is_running: bool) -> str:
    if is_running or frame.later is None:
        return ""
    return f"{address}?period={frame.later.isoformat()}"


def _estimate(reading: Reading) -> str:
    """What the projections are, said once for all cards (spec 2.11)."""
    if not reading.is_running:
        return ""
    left = reading.frame.days_remaining(reading.now)
    remaining = "Today is the last day." if left == 0 else f"{left} {'day' if left == 1 else 'days'} remaining."
    return f"{remaining} {TOO_EARLY}" if reading.is_early else f"{remaining} Projections: {ESTIMATE}"


def _groups(reading: Reading) -> list[Group]:
    rows = reading.standing.terms.values()
    return [_group(reading, title, list(found)) for title, found in groupby(rows, key=lambda row: row.metric.group)]


def _group(reading: Reading, title: str, rows: Sequence[PeriodTerms]) -> Group:
    is_side_by_side = len(rows) >= SIDE_BY_SIDE
    # An odd card at the end has the whole row, and its chart the size for it.
    wide_at = len(rows) - 1 if is_side_by_side and len(rows) % 2 else None
    cards = [
        card_of(
            reading,
            row,
            size=HALF if is_side_by_side and index != wide_at else WIDE,
            drawer_url=_drawer_url(reading, row.metric),
        )
        for index, row in enumerate(rows)
    ]
    return Group(title=title, sub=_group_sub(reading, rows), cards=cards, is_side_by_side=is_side_by_side)


def _drawer_url(reading: Reading, metric: Metric) -> str:
    if not reading.is_running or not (metric.supports_alerts or metric.supports_limit):
        return ""
    return _drawer_address(reading.workspace.key, metric.key, get_script_prefix())


@lru_cache(maxsize=4096)  # a page leads to a dozen
def _drawer_address(workspace_key: str, metric_key: str, prefix: str) -> str:
    """For a server that stands below `prefix`."""
    return reverse("usage_drawer", args=[workspace_key, metric_key])


def _group_sub(reading: Reading, rows: Sequence[PeriodTerms]) -> str:
    """What all cards of the group have in common."""
    kinds = {row.kind for row in rows}
    if {row.metric.key for row in rows} == {"messages_sent"} and kinds <= {INCLUDED, CONTRACTED}:
        return "The blue line is what the base fee of the add-on covers."
    if len(reading.frame.workspaces) < 2 or not any(row.metric.supports_limit for row in rows):
        return ""
    shared = "contracted" if CONTRACTED in kinds else "included" if INCLUDED in kinds else ""
    if not shared:
        return "Alerts and limits are set for each workspace."
    return f"Alerts and limits are set for each workspace; the {shared} amount is shared by all of them."
