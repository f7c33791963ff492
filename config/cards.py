"""What a card of the usage page says: one metric in one workspace and period (spec 6.4). Numbers in, words out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Final

from alerts.selectors.rules import NO_RULES, Rules
from alerts.selectors.settings import AlertSetting
from billing.charges import CONTRACTED, INCLUDED, PAY_AS_YOU_GO, UNLIMITED, MetricCharge
from billing.models import PeriodTerms
from billing.selectors import Frame, Standing
from usage import charts
from usage.charts.words import estimate
from usage.formats import day_and_month, figure, money, number, unit_price
from usage.models import Metric, Workspace
from usage.periods import Period as Span
from usage.periods import local_day
from usage.projection import days_in, elapsed_days, project
from usage.rounding import shown_quantity
from usage.selectors import MetricUsage

BADGES: Final = {
    CONTRACTED: ("Contracted", "blue"),
    INCLUDED: ("Included", "blue"),
    PAY_AS_YOU_GO: ("Pay-as-you-go", ""),
    UNLIMITED: ("Unlimited", ""),
}
EXACT_TIP: Final = "Counted at the exact moment your invoice is created."
PREVIOUS_TIP: Final = "Note that this figure may be up to 24 hours old relative to your in-product reporting."
ESTIMATE: Final = "An estimate. Usage can change; the invoice uses actual usage."
TOO_EARLY: Final = "Too early to project: less than 24 hours of data."
WIDE, HALF = "wide", "half"


@dataclass(frozen=True, slots=True)
class Fact:
    label: str
    value: str = ""
    note: str = ""
    total: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """What `{% metric_card %}` draws. `tip` is the text behind the “i”, or ""; `tone` of the badge is blue or "";
    `drawer_url` "" leaves the button out."""

    key: str
    name: str
    sub: str
    tip: str
    badge: str
    tone: str
    limit_reached: bool
    value: str
    unit: str
    bar: charts.UsageBar | None
    facts: list[Fact]
    chart: charts.DailyChart
    drawer_url: str
    button: str


@dataclass(frozen=True)
class Reading:
    """One read of a workspace's usage: everything its cards are made of. `now` is at most the period's end,
    `read_at` when it was read."""

    workspace: Workspace
    frame: Frame
    standing: Standing
    rules: Mapping[int, Rules]
    now: datetime
    read_at: datetime

    @property
    def is_running(self) -> bool:
        return self.now < self.frame.period.ends_at

    @property
    def is_early(self) -> bool:
        """Less than 24 hours: nothing is projected (spec 2.11)."""
        return self.is_running and (self.now - self.frame.period.starts_at).total_seconds() < 86_400

    def projected(self, metric: Metric) -> Decimal | None:
        """Where the workspace is heading, in display units; None when it is too early, over, or a level."""
        if not self.is_running or metric.kind == Metric.Kind.LEVEL:
            return None
        days_used, days_in_period = self._pace
        ahead = project(quantity=self.used(metric), days_used=days_used, days_in_period=days_in_period)
        return None if ahead is None else shown_quantity(ahead, unit_size=metric.unit_size)

    @cached_property
    def _pace(self) -> tuple[Decimal, Decimal]:
        span = Span(self.frame.period.starts_at, self.frame.period.ends_at)
        return elapsed_days(span, at=self.now), days_in(span)

    def used(self, metric: Metric) -> Decimal:
        """The workspace's own quantity, in stored units."""
        return self.standing.usage[metric.pk].own.get(self.workspace.pk, Decimal(0))


def card_of(reading: Reading, terms: PeriodTerms, *, size: str, drawer_url: str = "") -> Card:
    """The card of one metric. `drawer_url` "" leaves the button out: a past period, or nothing that can be set."""
    metric = terms.metric
    usage = reading.standing.usage[metric.pk]
    charge = reading.standing.metrics[metric.pk]
    rules = reading.rules.get(metric.pk, NO_RULES)
    own = shown_quantity(reading.used(metric), unit_size=metric.unit_size)
    badge, tone = BADGES[terms.kind]
    is_level = metric.kind == Metric.Kind.LEVEL
    make = _level_parts if is_level else _counted_parts
    chart, bar, facts = make(reading, terms, usage, charge, rules, size=size)
    has_several = len(reading.frame.workspaces) > 1
    unit = metric.unit_of(own)
    tip = (PREVIOUS_TIP if reading.frame.is_previous_system else EXACT_TIP) if metric.agent_name else ""
    return Card(
        key=metric.key,
        name=metric.name,
        sub=_sub(reading, terms),
        tip=tip,
        badge=badge,
        tone=tone,
        limit_reached=usage.is_limit_reached(reading.workspace.pk),
        value=figure(own),
        unit=f"{unit} in {reading.workspace.name}{' now' if is_level and reading.is_running else ''}"
        if has_several or not is_level
        else f"{unit} now",
        bar=bar,
        facts=facts,
        chart=chart,
        drawer_url=drawer_url,
        button="Set usage alerts and limits" if metric.supports_limit else "Set usage alerts",
    )


def _counted_parts(
    reading: Reading,
    terms: PeriodTerms,
    usage: MetricUsage,
    charge: MetricCharge,
    rules: Rules,
    *,
    size: str,
) -> tuple[charts.DailyChart, charts.UsageBar | None, list[Fact]]:
    metric, frame, workspace = terms.metric, reading.frame, reading.workspace
    size_of = metric.unit_size
    own_days = _days(usage.days.get(workspace.pk, []), size_of)
    pool_days = _days(usage.pool_days, size_of) if len(frame.workspaces) > 1 else None
    limit = usage.limits.get(workspace.pk)
    alert = rules.alert.in_force
    draw = charts.daily_chart if reading.is_running else charts.closed_chart
    chart = draw(
        id=f"{metric.key}-chart",
        name=metric.name,
        unit=metric.unit,
        workspace=workspace.name,
        starts_at=frame.period.starts_at,
        ends_at=frame.period.ends_at,
        as_of=reading.now,
        zone=frame.period.zone,
        own=own_days,
        pool=pool_days,
        included=charge.terms.included,
        included_word="Contracted" if terms.kind == CONTRACTED else "Included",
        alert=alert.threshold if alert else None,
        limit=None if limit is None else shown_quantity(limit, unit_size=size_of),
        projected=reading.projected(metric),
        pool_projected=charge.projected_quantity if reading.is_running else None,
        whole=size_of == 1 and usage.pool == usage.pool.to_integral_value(),
        size=size,
    )
    bar = None
    if charge.terms.included:
        parts = [charts.Part(workspace.name, shown_quantity(reading.used(metric), unit_size=size_of))]
        parts += [
            charts.Part(name, shown_quantity(usage.own.get(key, Decimal(0)), unit_size=size_of))
            for key, name in frame.others(workspace)
        ]
        bar = charts.usage_bar(
            parts=parts,
            included=charge.terms.included,
            word="contracted" if terms.kind == CONTRACTED else "included",
        )
    facts = [*_alert_facts(reading, metric, rules), *_limit_facts(reading, metric, usage, rules)]
    return chart, bar, [*facts, *_cost_facts(reading, terms, charge)]


def _level_parts(
    reading: Reading,
    terms: PeriodTerms,
    usage: MetricUsage,
    charge: MetricCharge,
    rules: Rules,
    *,
    size: str,
) -> tuple[charts.DailyChart, charts.UsageBar | None, list[Fact]]:
    metric, period, currency = terms.metric, reading.frame.period, reading.standing.currency
    chart = charts.level_chart(
        id=f"{metric.key}-chart",
        name=metric.name,
        unit=metric.unit,
        starts_at=period.starts_at,
        ends_at=period.ends_at,
        as_of=reading.now,
        zone=period.zone,
        days=_days(usage.days.get(reading.workspace.pk, []), metric.unit_size),
        size=size,
    )
    facts = []
    if charge.terms.unit_price is not None:
        price = unit_price(charge.terms.unit_price, currency)
        facts.append(Fact("Price", price, f"a {metric.unit_singular} and billing period"))
    if len(reading.frame.workspaces) > 1:
        facts.append(Fact("All workspaces", number(charge.pool_quantity), f"{metric.unit} now"))
    if reading.is_running:
        held = f"{number(charge.pool_quantity)} {metric.unit_of(charge.pool_quantity)}"
        facts.append(Fact(f"Cost at {held}", money(charge.overage_amount, currency)))
    else:
        facts.append(Fact("Cost", money(charge.overage_amount, currency)))
    return chart, None, facts


def _days(days: Sequence[tuple[date, Decimal]], unit_size: int) -> dict[date, Decimal]:
    if unit_size == 1:
        return dict(days)
    return {on: shown_quantity(quantity, unit_size=unit_size) for on, quantity in days}


def _sub(reading: Reading, terms: PeriodTerms) -> str:
    """One line under the name: what the terms are, and who shares them."""
    if terms.metric.kind == Metric.Kind.LEVEL:
        return "The invoice counts each day's seats, so it may differ"
    if terms.kind == UNLIMITED:
        return "Unlimited, never charged"
    if terms.kind == PAY_AS_YOU_GO or terms.included is None:
        return "Billed at the end of the period"
    names = [name for _, name in reading.frame.workspaces]
    shared = ""
    if len(names) > 1:
        shared = f", shared by {' and '.join(names)}" if len(names) == 2 else f", shared by all {len(names)} workspaces"
    return f"{number(terms.included)} {'contracted' if terms.kind == CONTRACTED else 'included'}{shared}"


def _alert_facts(reading: Reading, metric: Metric, rules: Rules) -> list[Fact]:
    if not metric.supports_alerts:
        return []
    setting = rules.alert.in_force
    facts = [Fact("Alert", note="Off")]
    if setting is not None and setting.threshold is not None:
        used = shown_quantity(reading.used(metric), unit_size=metric.unit_size)
        facts = [Fact("Alert", number(setting.threshold), f"({share(used, setting.threshold)} used)")]
    return [*facts, *_scheduled(reading, "Alert", rules.alert.scheduled)]


def _scheduled(reading: Reading, label: str, setting: AlertSetting | None) -> list[Fact]:
    if setting is None or not reading.is_running:
        return []
    starts = day_and_month(local_day(setting.from_period, reading.frame.period.zone))
    threshold = setting.threshold
    return [Fact(f"{label} from {starts}", "Off" if threshold is None else number(threshold))]


def _limit_facts(reading: Reading, metric: Metric, usage: MetricUsage, rules: Rules) -> list[Fact]:
    stored = usage.limits.get(reading.workspace.pk)
    if not metric.supports_limit and stored is None:
        return []
    zone = reading.frame.period.zone
    facts = [Fact("Limit", note="Off")]
    if stored is not None:
        limit = shown_quantity(stored, unit_size=metric.unit_size)
        used = shown_quantity(reading.used(metric), unit_size=metric.unit_size)
        if usage.is_limit_reached(reading.workspace.pk):
            told = rules.limit_told_at
            note = f"(reached {day_and_month(local_day(told, zone))})" if told else "(reached)"
        else:
            at = _reached_at(reading, used=used, level=limit)
            note = f"(at this pace on {day_and_month(local_day(at, zone))})" if at else f"({share(used, limit)} used)"
        facts = [Fact("Limit", number(limit), note)]
        over = usage.over_limit(reading.workspace.pk)
        if over:
            beyond = figure(shown_quantity(over, unit_size=metric.unit_size))
            facts.append(Fact("Over the limit", beyond, "(recorded and billed)"))
    scheduled = rules.limit.scheduled
    if scheduled is not None and reading.is_running:
        starts = day_and_month(local_day(scheduled.from_period, zone))
        facts.append(Fact(f"Limit from {starts}", "Off" if scheduled.limit is None else number(scheduled.limit)))
    return facts


def _reached_at(reading: Reading, *, used: Decimal, level: Decimal) -> datetime | None:
    """When the level is reached at the pace so far; None when not in this period, or too early to tell."""
    period = reading.frame.period
    if not reading.is_running or reading.is_early or used <= 0:
        return None
    elapsed = int((reading.now - period.starts_at).total_seconds())
    needed = int(Fraction(elapsed) * Fraction(level) / Fraction(used))
    whole = int((period.ends_at - period.starts_at).total_seconds())
    return period.starts_at + timedelta(seconds=needed) if needed < whole else None


def _cost_facts(reading: Reading, terms: PeriodTerms, charge: MetricCharge) -> list[Fact]:
    currency = reading.standing.currency
    if terms.kind == UNLIMITED:
        facts = [Fact("Cost", note="Never charged")]
        if charge.projected_quantity is not None and reading.is_running:
            facts.append(Fact("Projected", _ahead(charge.projected_quantity), _everywhere(reading)))
        return facts
    facts = [
        Fact(
            "Cost so far" if reading.is_running else "Cost",
            money(charge.overage_amount, currency),
            _each(charge, currency),
        )
    ]
    if charge.projected_amount is not None and charge.projected_quantity is not None and reading.is_running:
        ahead = f"(for {_ahead(charge.projected_quantity)})"
        facts.append(Fact("Projected cost", money(charge.projected_amount, currency), ahead))
    return facts


def _each(charge: MetricCharge, currency: str) -> str:
    if charge.terms.unit_price is None:
        return ""
    price = unit_price(charge.terms.unit_price, currency)
    words = {CONTRACTED: "above contracted", INCLUDED: "above included"}.get(charge.terms.kind, "each")
    return f"({price} {words})"


def _ahead(projected: Decimal) -> str:
    """A projection is no more exact than a whole unit."""
    return number(estimate(projected) or Decimal(0))


def _everywhere(reading: Reading) -> str:
    return "in all workspaces" if len(reading.frame.workspaces) > 1 else ""


def share(used: Decimal, level: Decimal) -> str:
    """`59%`, rounded down so that 100% is said only when it is reached."""
    return f"{int(used * 100 // level)}%" if level > 0 else "100%"
