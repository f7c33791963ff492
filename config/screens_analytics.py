"""History over billing periods, by metric and by channel, and its export (spec 6.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from billing.models import Subscription
from billing.money import plain_money
from billing.selectors import History, Spend, history_read, spend_read
from config.cards import share
from usage import charts
from usage.access import shell_context, workspace_page, workspaces_read
from usage.clocks import clock_of
from usage.csv_text import csv_lines
from usage.formats import day_and_month, figure, money, number, period_span
from usage.models import Account, Metric, Period, Workspace
from usage.rounding import shown_quantity
from usage.selectors import checked_read, periods_so_far
from usage.sql import together
from usage.written import Written

COUNTS: Final = (6, 12, 24)
COLUMNS: Final = (
    "period_start",
    "period_end",
    "metric",
    "workspace",
    "quantity",
    "unit",
    "included",
    "overage_quantity",
    "overage_amount",
    "currency",
)

_CHANGES: Final = Written(
    lambda account: Subscription.objects.filter(account=account).select_related("plan").order_by("period", "starts_on")
)
Used = Mapping[tuple[int, datetime], Decimal]


@dataclass(frozen=True)
class Shown:
    """What the filter chose, and what was read for it. `place` None = all workspaces of the account."""

    account: Account
    metrics: Sequence[Metric]
    metric: Metric | None
    places: Sequence[Workspace]
    place: Workspace | None
    count: int
    periods: Sequence[Period]
    now: datetime
    history: History
    spend: Mapping[datetime, Spend]
    checked_at: datetime | None
    changes: Sequence[Subscription]

    @property
    def query(self) -> str:
        """The filter as it stands in the address."""
        chosen = {"metric": self.metric.key if self.metric else "", "periods": str(self.count)}
        return urlencode(chosen | ({"workspace": self.place.key} if self.place else {}))


@require_GET
@workspace_page
def analytics(request: HttpRequest, workspace: Workspace) -> HttpResponse:
    """Bars and a table for one metric, small multiples for the channels. `?metric=`, `?workspace=`, `?periods=`."""
    shown = _shown(request, workspace)
    used = _quantities(shown)
    running = shown.periods[-1]
    address = reverse("analytics_csv", args=[workspace.key])
    context = shell_context(request, workspace, "analytics") | {
        "page_meta": {
            "facts": [f"Last {len(shown.periods)} billing period{'' if len(shown.periods) == 1 else 's'}"],
            "updated_at": shown.now,
            "checked_at": shown.checked_at,
            "zone": running.zone,
        },
        "shown": shown,
        "counts": COUNTS,
        "chart": _chart(shown, shown.metric, used, size="wide") if shown.metric else None,
        "rows": _rows(shown, shown.metric, used) if shown.metric else [],
        "spend_chart": _spend_chart(shown) if shown.spend else None,
        "spend_rows": _spend_rows(shown),
        "place_name": shown.place.name if shown.place else "All workspaces",
        "channels": [
            {
                "metric": metric,
                "chart": _chart(shown, metric, used, size="small"),
                "value": figure(_quantity(used, metric, running)),
            }
            for metric in shown.metrics
            if metric.channel
        ],
        "csv_url": f"{address}?{shown.query}",
    }
    return render(request, "pages/analytics.html", context)


@require_GET
@workspace_page
def analytics_csv(request: HttpRequest, workspace: Workspace) -> HttpResponseBase:
    """Every metric of the chosen periods as CSV, a row for each workspace the reader is in and one for the account."""
    shown = _shown(request, workspace)
    response = StreamingHttpResponse(csv_lines(COLUMNS, _csv_rows(shown)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="usage-{workspace.key}.csv"'
    return response


def _shown(request: HttpRequest, workspace: Workspace) -> Shown:
    account = workspace.account
    now = clock_of(account)()
    asked = request.GET.get("periods", "")
    count = int(asked) if asked in {str(each) for each in COUNTS} else COUNTS[0]
    periods = periods_so_far(account, now=now, count=count)
    history, spend, checked_at, changes = together(
        history_read(account=account, periods=periods, now=now),
        spend_read(account=account, periods=periods),
        checked_read(account, period=periods[-1]),
        _CHANGES.read(account=account.pk),
    )
    metrics = history.metrics
    places = [each for each in workspaces_read(request) if each.account_id == account.pk]
    chosen, place = request.GET.get("metric", ""), request.GET.get("workspace", "")
    return Shown(
        account=account,
        metrics=metrics,
        metric=next((each for each in metrics if each.key == chosen), metrics[0] if metrics else None),
        places=places,
        place=next((each for each in places if each.key == place), None),
        count=count,
        periods=periods,
        now=now,
        history=history,
        spend=spend,
        checked_at=checked_at,
        changes=changes,
    )


def _quantities(shown: Shown) -> Used:
    """Display units by metric and period start, of the chosen workspace or of all."""
    if shown.place is None:
        return {
            (metric_id, start): charge.pool_quantity
            for start, charges in shown.history.charges.items()
            for metric_id, charge in charges.items()
        }
    return {
        (metric.pk, period.starts_at): _shown_of(shown, metric, period, shown.place)
        for metric in shown.metrics
        for period in shown.periods
    }


def _shown_of(shown: Shown, metric: Metric, period: Period, place: Workspace) -> Decimal:
    return shown_quantity(shown.history.quantity(metric, period, place.pk), unit_size=metric.unit_size)


def _quantity(used: Used, metric: Metric, period: Period) -> Decimal:
    return used.get((metric.pk, period.starts_at), Decimal(0))


def _is_running(period: Period, now: datetime) -> bool:
    return period.starts_at <= now < period.ends_at


def _chart(shown: Shown, metric: Metric, used: Used, *, size: str) -> charts.HistoryChart:
    """Included belongs to the account, so it and the projection stand only beside all workspaces."""
    bars = []
    projected = None
    for period in shown.periods:
        charge = shown.history.charges[period.starts_at].get(metric.pk)
        is_running = _is_running(period, shown.now)
        if is_running and charge is not None and shown.place is None:
            projected = charge.projected_quantity
        bars.append(
            charts.HistoryPeriod(
                label=day_and_month(period.first_day),
                quantity=_quantity(used, metric, period),
                included=charge.terms.included if charge is not None and shown.place is None else None,
                is_running=is_running,
            )
        )
    return charts.history_chart(
        name=metric.name,
        periods=bars,
        projected=projected,
        whole=metric.unit_size == 1 and all(bar.quantity == bar.quantity.to_integral_value() for bar in bars),
        size=size,
    )


def _rows(shown: Shown, metric: Metric, used: Used) -> list[dict[str, str]]:
    """The table behind the bars, newest first."""
    plans = _plans(shown)
    rows = []
    for period in reversed(shown.periods):
        charge = shown.history.charges[period.starts_at].get(metric.pk)
        quantity = _quantity(used, metric, period)
        included = charge.terms.included if charge else None
        pool = charge.pool_quantity if charge else Decimal(0)
        row = {
            "period": period_span(period.starts_at, period.ends_at, period.zone)
            + (", so far" if _is_running(period, shown.now) else ""),
            "url": f"{period.first_day.isoformat()}",
            "plan": plans[period.starts_at],
            "used": number(quantity),
            "included": "–" if included is None else number(included),
            "of": "–" if not included else share(pool, included),
            "pool": number(pool),
            "of_pool": share(quantity, pool) if pool else "–",
            "cost": "–" if charge is None else money(charge.overage_amount, shown.account.currency),
        }
        rows.append(row)
    return rows


def _billed(shown: Shown) -> list[tuple[Period, Spend]]:
    return [(period, shown.spend[period.starts_at]) for period in shown.periods if period.starts_at in shown.spend]


def _spend_chart(shown: Shown) -> charts.HistoryChart:
    """A bar for each billed period, from 100 on in whole units: the table has the cents. Credited in full: no bar."""
    bars = [
        charts.HistoryPeriod(label=day_and_month(period.first_day), quantity=_bar(amounts.total))
        for period, amounts in _billed(shown)
    ]
    return charts.history_chart(name=f"Spend in {shown.account.currency}", periods=bars, whole=False, size="small")


def _bar(total: Decimal) -> Decimal:
    return max(total.quantize(Decimal(1), ROUND_HALF_UP) if total >= 100 else total, Decimal(0))


def _spend_rows(shown: Shown) -> list[dict[str, str]]:
    """The table behind the bars, newest first."""
    currency = shown.account.currency
    return [
        {
            "period": period_span(period.starts_at, period.ends_at, period.zone),
            "fixed": money(amounts.fixed, currency),
            "usage": money(amounts.usage, currency),
            "changes": money(amounts.changes, currency),
            "total": money(amounts.total, currency),
        }
        for period, amounts in reversed(_billed(shown))
    ]


def _plans(shown: Shown) -> dict[datetime, str]:
    """The plans of each period in words: “Starter, then Professional”."""
    found = {}
    for period in shown.periods:
        before = [row for row in shown.changes if row.period < period.starts_at]
        during = [row for row in shown.changes if row.period == period.starts_at]
        held = before[-1:] if not during or during[0].starts_on > period.first_day else []
        names = [row.plan.name if row.plan else "no plan" for row in [*held, *during]]
        found[period.starts_at] = ", then ".join(names) or "–"
    return found


def _csv_rows(shown: Shown) -> Iterator[Sequence[Any]]:
    for period in shown.periods:
        for metric in shown.metrics:
            charge = shown.history.charges[period.starts_at].get(metric.pk)
            if charge is None:
                continue
            line = (period.first_day, period.last_day, metric.key)
            for place in shown.places:
                yield (*line, place.key, _shown_of(shown, metric, period, place), metric.unit, None, None, None, None)
            yield (
                *line,
                "",
                charge.pool_quantity,
                metric.unit,
                charge.terms.included,
                charge.overage_quantity,
                plain_money(charge.overage_amount, shown.account.currency),
                shown.account.currency,
            )
