"""Closing: one regular invoice per account and period, created and issued in one transaction (spec 5.6, 5.7, 5.10;
Data 5, 9).

Under the account's lock everything is computed from the terms in force and from what had been received at the cut, then
frozen: lines first, the number last. Rendering and sending follow and can be repeated. Many accounts are closed with as
many statements as one, a hundred accounts a transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from django.db import connection, transaction

from billing.charges import ChargeLine, charge_lines
from billing.models import BillingProfile, Invoice
from billing.selectors.closing import Closing, days_for_charts, read_closings, with_late_usage
from billing.selectors.cut import Cut, uses_at
from billing.selectors.due import Due, due_periods
from billing.selectors.holdings import parts_of
from billing.selectors.terms import terms_for
from billing.services.adjustments import adjustments_for
from billing.services.freezing import chart_facts, charted_lines, frozen_facts, tax_on
from billing.services.issuing import Draft, DraftLine, bills_usage, issue_documents, subtotal_of
from usage.clocks import Clock
from usage.errors import Conflict, HeadroomError, NotFound
from usage.faultpoints import reach
from usage.models import Account, Period
from usage.services.audit import Actor
from usage.services.locks import lock_accounts
from usage.services.periods import extend_periods

log = logging.getLogger(__name__)

BEHIND: Final = timedelta(hours=24)  # the previous system bills what was received up to here before the invoice (5.7)
TOGETHER: Final = 100  # accounts closed in one transaction: few enough that nobody waits long for their locks
_LONGEST_WALK: Final = 1200  # periods of one account closed in one go: a hundred years of months


@dataclass(slots=True)
class Closed:
    """What a sweep did: how many invoices it issued, and which accounts it could not close."""

    issued: int = 0
    failed: int = 0


def close_period(*, account_id: int, period: datetime, clock: Clock, by: Actor) -> Invoice | None:
    """The regular invoice of a period that has ended, issued now; the one that stands if there is one.

    `period` is a period's start. None when there is nothing to bill: no plan, no terms, no adjustment. Raises Conflict
    while the period runs, NotFound when no period starts then. Safe to repeat and to run twice at once: the account's
    lock orders, a unique constraint decides.
    """
    stored = None if clock() < period else extend_periods(account_id=account_id, to=period)
    if stored is None or clock() < stored.ends_at:
        raise Conflict("The billing period still runs.", code="period_running")
    if stored.starts_at != period:
        raise NotFound("No billing period starts then.")
    for invoice in _close_together([(account_id, period)], clock=clock, by=by):
        return invoice
    return Invoice.objects.filter(account_id=account_id, period=period, reason=Invoice.Reason.REGULAR).first()


def close_account(*, account_id: int, clock: Clock, by: Actor, wait: timedelta | None = None) -> list[Invoice]:
    """Close every due period of an account, oldest first, each in its own transaction; the invoices issued now.

    `wait` replaces the account's grace (an admin's *close now* waits for nothing).
    """
    issued: list[Invoice] = []
    start: datetime | None = None
    for _ in range(_LONGEST_WALK):
        now = clock()
        due = next(iter(due_periods(now=now, account_ids=[account_id], include_sandbox=True)), None)
        if due is None:
            break
        # A period with nothing to bill leaves no invoice behind; the walk goes on after it.
        period = _opened(due, start or due.period)
        if period is None or now < period.ends_at + (due.grace if wait is None else wait):
            break
        if start is not None and _is_over(period):
            break
        invoices = _close_together([(account_id, period.starts_at)], clock=clock, by=by)
        issued += invoices
        start = None if invoices else period.ends_at
    return issued


def close_due(*, clock: Clock, by: Actor, until: datetime | None = None) -> Closed:
    """Close the due periods of all accounts but sandboxes, a hundred accounts a transaction, as long as there are any
    and `clock` is before `until`. An account that fails is logged and tried again by the next sweep."""
    done = Closed()
    left: list[int] | None = None  # all; then those that were billed, which may have their next period due
    while left is None or left:
        now = clock()
        pairs = []
        for due in due_periods(now=now, account_ids=left):
            period = _opened(due, due.period)
            if period is not None and period.ends_at + due.grace <= now:
                pairs.append((due.account_id, period.starts_at))
        left = []
        for start in range(0, len(pairs), TOGETHER):
            if until is not None and clock() >= until:
                return done
            together = pairs[start : start + TOGETHER]
            invoices, failed = _close_safely(together, clock=clock, by=by)
            billed = {invoice.account_id for invoice in invoices}
            done.issued += len(invoices)
            done.failed += len(failed)
            left += billed
            for account_id, _ in together:
                if account_id not in billed | failed:
                    # Nothing to bill in its oldest period: its later ones are walked through one by one.
                    done.issued += len(close_account(account_id=account_id, clock=clock, by=by))
    return done


def _opened(due: Due, start: datetime) -> Period | None:
    if due.ends_at is not None and start == due.period:
        # Read already; nothing but its bounds is needed here.
        return Period(account_id=due.account_id, starts_at=start, ends_at=due.ends_at)
    try:
        return extend_periods(account_id=due.account_id, to=start)
    except HeadroomError:
        log.exception("account %s has no period to close at %s", due.account_id, start)
        return None


def _is_over(period: Period) -> bool:
    """True when the account ended before this period."""
    ended_at = Account.objects.values_list("ended_at", flat=True).get(pk=period.account_id)
    return ended_at is not None and period.starts_at >= ended_at


def _close_safely(pairs: Sequence[tuple[int, datetime]], *, clock: Clock, by: Actor) -> tuple[list[Invoice], set[int]]:
    """Close together; should that fail, each by itself. The invoices, and the accounts that could not be closed."""
    try:
        return _close_together(pairs, clock=clock, by=by), set()
    except Exception:
        if len(pairs) == 1:
            log.exception("account %s could not be closed", pairs[0][0])
            return [], {pairs[0][0]}
    invoices, failed = [], set()
    for pair in pairs:
        issued, lost = _close_safely([pair], clock=clock, by=by)
        invoices += issued
        failed |= lost
    return invoices, failed


@transaction.atomic
def _close_together(pairs: Sequence[tuple[int, datetime]], *, clock: Clock, by: Actor) -> list[Invoice]:
    """Issue the invoices of `pairs` (account id, start of a stored period) that are not issued and whose period is over
    by now. All different accounts, in order of their ids."""
    lock_accounts([account_id for account_id, _ in pairs])
    reach("closing.after_lock")
    open_ones = [closing for closing in read_closings(pairs) if not closing.is_billed]
    clock_now = clock()
    ended = []
    for closing in open_ones:
        # Data 5: never before anything that was received.
        now = max(clock_now, closing.last_received_at or clock_now)
        if now >= closing.period.ends_at:
            ended.append((closing, now))
    late = with_late_usage(closing for closing, _ in ended)
    drafts = [draft for closing, now in ended if (draft := _draft(closing, now, has_late=closing.account.pk in late))]
    freeze(drafts)
    invoices = issue_documents([draft for _, draft in drafts], by=by)
    remember_cuts([draft for _, draft in drafts])
    reach("closing.before_commit")
    return invoices


def cut_for(profile: BillingProfile, previous: datetime | None, now: datetime) -> Cut:
    """Up to when usage is on a document issued at `now` (spec 5.7); never before the cut of the one before."""
    if profile.system == BillingProfile.System.EXACT:
        return Cut(at=now, is_behind=False)
    at = now - BEHIND
    return Cut(at=at if previous is None else max(at, previous), is_behind=True)


def period_lines(closing: Closing, cut: Cut) -> list[ChargeLine]:
    """The lines of the period itself; none when nothing was bought or agreed for it."""
    account, period = closing.account, closing.period
    parts = parts_of(period, closing.changes)
    if not closing.terms and not closing.add_ons and all(part.price is None for part in parts):
        return []
    uses = closing.uses
    if cut.is_behind:
        terms = terms_for(account=account, period_start=period.starts_at)
        uses = uses_at(account=account, period=period, terms=terms, cut=cut)
    return charge_lines(
        currency=account.currency, days_in_period=period.days, parts=parts, add_ons=closing.add_ons, uses=uses
    )


def draft_of(
    closing: Closing, *, now: datetime, cut: Cut, lines: Sequence[DraftLine], reason: str = Invoice.Reason.REGULAR
) -> Draft:
    """The document of `lines`, with its sums; what is printed beside them is frozen later, for all documents at
    once."""
    account, period, profile = closing.account, closing.period, closing.profile
    subtotal = subtotal_of(lines, account.currency)
    tax = tax_on(subtotal, profile, account.currency)
    return Draft(
        account=account,
        period=period,
        issued_at=now,
        issued_on=now.astimezone(ZoneInfo(period.zone)).date(),
        cut_at=cut.at,
        previous_cut_at=closing.previous_cut,
        lines=lines,
        names=closing.names,
        subtotal=subtotal,
        tax=tax,
        payment_days=profile.payment_days,
        reason=reason,
        # A document that gives money back is a credit note, in the same series (spec 5.6, 5.8).
        is_credit_note=subtotal + tax < 0,
    )


def of_period(lines: Iterable[ChargeLine], period: Period, cut: Cut) -> list[DraftLine]:
    """A period's own lines: those that bill usage bill everything received up to the cut."""
    return [
        DraftLine(line, usage_period=period.starts_at, cut_at=cut.at) if bills_usage(line) else DraftLine(line)
        for line in lines
    ]


def freeze(pairs: Sequence[tuple[Closing, Draft]]) -> None:
    """Take down what is printed beside the lines, charts too; a constant number of queries."""
    charted = {id(draft): charted_lines([each.line for each in draft.lines]) for _, draft in pairs}
    terms = {(id(draft), row.metric_id): row for closing, draft in pairs for row in closing.terms}
    days = days_for_charts(
        [
            (closing, terms[id(draft), line.metric_id])
            for closing, draft in pairs
            for line in charted[id(draft)]
            if line.metric_id is not None
        ]
    )
    for closing, draft in pairs:
        lines = [each.line for each in draft.lines]
        charts: list[dict[str, Any]] = [
            chart_facts(line, lines, days[closing.account.pk, line.metric_id or 0])
            for line in charted[id(draft)]
            if (closing.account.pk, line.metric_id) in days
        ]
        is_exact = closing.profile.system == BillingProfile.System.EXACT
        draft.frozen = frozen_facts(
            account=closing.account,
            profile=closing.profile,
            period=closing.period,
            counted_at=draft.issued_at if is_exact else draft.cut_at,
            subtotal=draft.subtotal,
            tax=draft.tax,
            charts=charts,
        )


def _draft(closing: Closing, now: datetime, *, has_late: bool) -> tuple[Closing, Draft] | None:
    cut = cut_for(closing.profile, closing.account.last_cut_at, now)
    ended_at = closing.account.ended_at
    if ended_at is not None and ended_at <= closing.period.ends_at:
        # No next invoice could bring what this one leaves out.
        cut = Cut(at=now, is_behind=False)
    before = closing.period.starts_at
    lines: list[DraftLine] = []
    if ended_at is None or before < ended_at:
        lines += of_period(period_lines(closing, cut), closing.period, cut)
    else:
        # Nothing was bought for a period after the end; it brings what came late for those before.
        before = ended_at
    if has_late and closing.previous_cut is not None:
        lines += adjustments_for(account=closing.account, before=before, previous_cut=closing.previous_cut, cut=cut)
    return (closing, draft_of(closing, now=now, cut=cut, lines=lines)) if lines else None


def remember_cuts(drafts: Sequence[Draft]) -> None:
    """From now on whatever is received counts as received after these cuts (Data 5)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE usage_account a SET last_cut_at = greatest(a.last_cut_at, x.cut_at)"
            " FROM unnest(%s::bigint[], %s::timestamptz[]) AS x(id, cut_at) WHERE a.id = x.id",
            [[draft.account.pk for draft in drafts], [draft.cut_at for draft in drafts]],
        )
