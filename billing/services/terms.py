"""Terms in force as dated rows (spec 5.3, Data 6): the only writer of PeriodTerms."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction

from billing.errors import CurrencyDiffers, NotABoundary, PeriodBilled
from billing.models import Invoice, PeriodTerms
from billing.selectors.holdings import TERMS_COLUMNS, holdings_of, same_terms
from billing.selectors.terms import last_rows
from billing.signals import terms_changed
from usage.models import Account, Period, UsageTotal
from usage.services.audit import Actor, record
from usage.services.periods import next_period_of

_LONGEST_WALK = 1200  # periods ahead: a hundred years of months


@transaction.atomic
def recompute_terms(*, account: Account, from_period: datetime, by: Actor) -> list[PeriodTerms]:
    """Write the account's terms anew from the period that starts at `from_period` on, out of what it has bought, and
    return the rows that stand there now (spec 5.3).

    A row is written for every metric whose terms differ from those before, at `from_period` and at every later
    boundary at which something begins or ends; a metric whose terms end gets an inactive row. The caller holds the
    account's lock and passes a period's start. Alerts hear of it through `terms_changed`. Raises PeriodBilled when
    that period or a later one has its invoice.
    """
    check_unbilled(account=account, period=from_period)
    holdings = holdings_of(account)
    before = last_rows(PeriodTerms.objects.filter(account=account, from_period__lt=from_period))
    in_force = {row.metric_id: row for row in before if row.is_active}
    rows = []
    for boundary in (from_period, *holdings.changes_after(from_period)):
        desired = holdings.terms_in(boundary)
        for metric_id in sorted(desired.keys() | in_force.keys()):
            held, wanted = in_force.pop(metric_id, None), desired.get(metric_id)
            if wanted is None:
                rows.append(_ended(account, metric_id, boundary))
                continue
            if not same_terms(held, wanted):
                rows.append(wanted)
            in_force[metric_id] = wanted
    later = PeriodTerms.objects.filter(account=account, from_period__gte=from_period)
    stored = {(row.metric_id, row.from_period): row for row in later.select_related("metric", "plan")}
    written = {(row.metric_id, row.from_period): row for row in rows}
    touched = {
        key
        for key in stored.keys() | written.keys()
        if key not in stored or key not in written or not _same_row(stored[key], written[key])
    }
    if not touched:
        return rows
    later.delete()
    PeriodTerms.objects.bulk_create(rows)
    _ask_for_evaluation(account, from_period=from_period, metric_ids={metric_id for metric_id, _ in touched})
    record(
        by=by,
        action="terms.changed",
        subject=from_period.isoformat(),
        account=account,
        before=_as_audited(stored[key] for key in sorted(touched) if key in stored),
        after=_as_audited(written[key] for key in sorted(touched) if key in written),
    )
    terms_changed.send(sender=PeriodTerms, account_id=account.pk, from_period=from_period)
    return rows


def check_unbilled(*, account: Account, period: datetime) -> None:
    """Raises PeriodBilled when the period that starts at `period`, or a later one, has its regular invoice."""
    billed = (
        Invoice.objects.filter(account=account, reason=Invoice.Reason.REGULAR, period__gte=period)
        .order_by("-period")
        .first()
    )
    if billed is not None:
        raise PeriodBilled(billed.period)


def check_currency(account: Account, currency: str, *, field: str) -> None:
    """Raises CurrencyDiffers naming `field`: one currency per account (spec 5.3)."""
    if currency != account.currency:
        raise CurrencyDiffers(field=field, account_currency=account.currency)


def check_boundary(*, account: Account, at: datetime, field: str) -> None:
    """Raises NotABoundary naming `field` unless a billing period of the account starts exactly at `at`.

    Future boundaries are computed by the clocks known now and not stored, because a stored period could not follow a
    change of the clock.
    """
    period = Period.objects.filter(account=account, starts_at__lte=at).order_by("-starts_at").first()
    for _ in range(_LONGEST_WALK):
        if period is None or period.starts_at > at:
            break
        if period.starts_at == at:
            return
        starts_at, ends_at = next_period_of(period)
        period = Period(account=account, starts_at=starts_at, ends_at=ends_at)
    raise NotABoundary(field)


def _ended(account: Account, metric_id: int, boundary: datetime) -> PeriodTerms:
    return PeriodTerms(account=account, metric_id=metric_id, from_period=boundary, is_active=False)


def _same_row(first: PeriodTerms, second: PeriodTerms) -> bool:
    return first.is_active == second.is_active and same_terms(first, second)


def _ask_for_evaluation(account: Account, *, from_period: datetime, metric_ids: set[int]) -> None:
    """Levels are to be computed anew (Data 7). Rows are locked in key order, as counting takes them."""
    totals = UsageTotal.objects.filter(account=account, period__gte=from_period, metric__in=metric_ids)
    keys = totals.order_by("workspace_id", "metric_id", "period").select_for_update().values_list("pk", flat=True)
    if keys:
        totals.update(next_level=0)


def _as_audited(rows: Iterable[PeriodTerms]) -> list[dict[str, object]]:
    audited = []
    for row in rows:
        said = {"metric": row.metric.key, "from_period": row.from_period, "is_active": row.is_active}
        if row.is_active:
            said["plan"] = str(row.plan) if row.plan else None
            columns = [column for column in TERMS_COLUMNS if column != "plan_id"]
            said |= {
                column: getattr(row, column) for column in columns if getattr(row, column) not in (None, [], False)
            }
        audited.append(said)
    return audited
