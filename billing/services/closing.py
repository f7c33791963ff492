"""Closing: one regular invoice per account and period, created and issued in one transaction (spec 5.6, 5.7, 5.10; Data 5, 9).

Under the account's lock everything is computed from the terms in force and from what had been received at the cut, then
frozen: lines first, the number last. Rendering and sending follow and can be repeated.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction

from billing import signals
from billing.charges import SEATS, USAGE, ZERO, ChargeLine, charge_lines
from billing.models import BilledUsage, BillingProfile, Invoice, InvoiceDispatch, InvoiceLine
from billing.money import round_money
from billing.selectors.charges import fixed_charges
from billing.selectors.cut import Cut, uses_at
from billing.selectors.holdings import days_of_period
from billing.selectors.terms import terms_for
from billing.services.adjustments import Adjustment, adjustments_for
from billing.services.freezing import frozen_facts
from billing.services.numbers import document_number, take_number
from usage.clocks import Clock, account_clock
from usage.errors import Conflict
from usage.faultpoints import reach
from usage.models import Account, Period
from usage.services.audit import Actor, record
from usage.services.locks import cut_at, lock_account
from usage.services.periods import extend_periods, find_period

BEHIND = timedelta(hours=24)  # the previous system bills what was received up to here before the invoice (spec 5.7)
SHORTEST_PERIOD = timedelta(days=27)


@dataclass(frozen=True, slots=True)
class Due:
    """An account with a period that has ended, `grace` ago or longer, and is not billed yet."""

    account_id: int
    from_period: datetime
    grace: timedelta
    is_sandbox: bool
    ended_at: datetime | None


@transaction.atomic
def close_period(*, account_id: int, period: datetime, clock: Clock, by: Actor) -> Invoice | None:
    """The regular invoice of a period that has ended, issued now; the one that stands if there is one.

    `period` is the start of a stored period. None when there is nothing to bill: no plan, no terms, no adjustment.
    Raises Conflict while the period runs. Safe to repeat and to run twice at once: the account's lock orders, a unique
    constraint decides.
    """
    lock_account(account_id)
    reach("closing.after_lock")
    issued = Invoice.objects.filter(account_id=account_id, period=period, reason=Invoice.Reason.REGULAR).first()
    if issued is not None:
        return issued
    account = Account.objects.get(pk=account_id)
    row = Period.objects.get(account_id=account_id, starts_at=period)
    now = cut_at(account_id, clock)
    if now < row.ends_at:
        raise Conflict(f"The billing period runs until {row.ends_at.isoformat()}.", code="period_running")
    profile = BillingProfile.objects.filter(account=account).first() or BillingProfile(account=account)
    cut = _cut(profile, account.last_cut_at, now)
    lines = _period_lines(account, row, cut)
    adjustments = adjustments_for(account=account, before=period, previous_cut=account.last_cut_at, cut=cut)
    if not lines and not adjustments:
        return None
    invoice = _issue(account, profile, row, now, cut, lines, adjustments)
    Account.objects.filter(pk=account_id).update(last_cut_at=cut.at)
    record(
        by=by,
        action="invoice.issued",
        subject=invoice.number,
        account=account,
        after={"period": period, "total": str(invoice.total), "currency": invoice.currency},
    )
    reach("closing.before_commit")
    return invoice


def close_account(*, account_id: int, clock: Clock, by: Actor, wait: timedelta | None = None) -> list[Invoice]:
    """Close every due period of an account, oldest first, each in its own transaction; the invoices issued now.

    `wait` replaces the account's grace (an admin's *close now* waits for nothing).
    """
    found = _due(clock(), account_id=account_id, include_sandbox=True)
    issued: list[Invoice] = []
    for due in found:
        issued += _close(due, clock=clock, by=by, wait=due.grace if wait is None else wait)
    return issued


def due_accounts(*, now: datetime) -> list[int]:
    """Accounts with a period to close at `now`, without sandbox accounts, which have their own clock (spec 7.4)."""
    return [due.account_id for due in _due(now)]


def _close(due: Due, *, clock: Clock, by: Actor, wait: timedelta) -> list[Invoice]:
    issued: list[Invoice] = []
    start = due.from_period
    while due.ended_at is None or start < due.ended_at:
        now = clock()
        period = find_period(account_id=due.account_id, at=start)
        if period is None:
            if now < start + SHORTEST_PERIOD:
                break
            extend_periods(account_id=due.account_id, to=start)
            continue
        if now < period.ends_at + wait:
            break
        invoice = close_period(account_id=due.account_id, period=period.starts_at, clock=clock, by=by)
        if invoice is not None:
            issued.append(invoice)
        start = period.ends_at
    return issued


# The next period to bill begins where the last billed one ended, or where the first subscription began.
_DUE = """
SELECT a.id, next.starts_at, coalesce(b.grace_hours, 1), a.is_sandbox, a.ended_at
  FROM usage_account a
  LEFT JOIN billing_billingprofile b ON b.account_id = a.id
 CROSS JOIN LATERAL (
        SELECT coalesce(
            (SELECT max(i.period_ends_at) FROM billing_invoice i WHERE i.account_id = a.id AND i.reason = 'regular'),
            (SELECT min(s.period) FROM billing_subscription s WHERE s.account_id = a.id)) AS starts_at) AS next
  LEFT JOIN usage_period p ON p.account_id = a.id AND p.starts_at = next.starts_at
 WHERE next.starts_at IS NOT NULL
   AND (a.ended_at IS NULL OR next.starts_at < a.ended_at)
   AND (%(account)s::bigint IS NULL OR a.id = %(account)s)
   AND (%(sandbox)s OR NOT a.is_sandbox)
   AND coalesce(p.ends_at, next.starts_at + %(shortest)s) <= %(now)s
 ORDER BY a.id
"""


def _due(now: datetime, *, account_id: int | None = None, include_sandbox: bool = False) -> list[Due]:
    arguments = {"now": now, "account": account_id, "sandbox": include_sandbox, "shortest": SHORTEST_PERIOD}
    with connection.cursor() as cursor:
        cursor.execute(_DUE, arguments)
        return [
            Due(account, starts_at, timedelta(hours=grace), is_sandbox, ended_at)
            for account, starts_at, grace, is_sandbox, ended_at in cursor.fetchall()
        ]


def own_clock(account: Account) -> Clock:
    """The clock that closes this account: a sandbox account's own one."""
    return account_clock(account_id=account.pk, is_sandbox=account.is_sandbox)


def _cut(profile: BillingProfile, previous: datetime | None, now: datetime) -> Cut:
    if profile.system == BillingProfile.System.EXACT:
        return Cut(at=now, is_behind=False)
    at = now - BEHIND
    return Cut(at=at if previous is None else max(at, previous), is_behind=True)


def _period_lines(account: Account, period: Period, cut: Cut) -> list[ChargeLine]:
    terms = terms_for(account=account, period_start=period.starts_at)
    parts, add_ons = fixed_charges(account=account, period=period)
    if not terms and not add_ons and all(part.price is None for part in parts):
        return []
    return charge_lines(
        currency=account.currency,
        days_in_period=len(days_of_period(period)),
        parts=parts,
        add_ons=add_ons,
        uses=uses_at(account=account, period=period, terms=terms, cut=cut),
    )


def _issue(
    account: Account,
    profile: BillingProfile,
    period: Period,
    now: datetime,
    cut: Cut,
    lines: Sequence[ChargeLine],
    adjustments: Sequence[Adjustment],
) -> Invoice:
    """Write lines, ledger, number, document and dispatch, in this order, in the caller's transaction."""
    invoice_id = uuid.uuid4()
    zero = round_money(ZERO, account.currency)
    rows = [(line, period) for line in lines] + [(adjustment.line, adjustment.period) for adjustment in adjustments]
    names = dict(account.workspaces.values_list("pk", "name"))
    stored = [
        _line_row(account, invoice_id, position, line, of.starts_at, names, account.last_cut_at, cut)
        for position, (line, of) in enumerate(rows, start=1)
    ]
    InvoiceLine.objects.bulk_create(stored)
    BilledUsage.objects.bulk_create(
        BilledUsage(
            line=row,
            account=account,
            workspace_id=workspace,
            metric_id=line.metric_id,
            period=of.starts_at,
            quantity=quantity,
        )
        for row, (line, of) in zip(stored, rows, strict=True)
        for workspace, quantity in line.ledger
        if quantity != 0
    )
    reach("closing.after_lines")
    subtotal = sum((line.amount for line, _ in rows), start=zero)
    tax = tax_on(subtotal, profile, account.currency)
    issued_on = now.astimezone(ZoneInfo(period.zone)).date()
    facts = frozen_facts(
        account=account, profile=profile, period=period, lines=lines, subtotal=subtotal, tax=tax, now=now, cut=cut.at
    )
    sequence = take_number(issuer=settings.ISSUER["key"], year=issued_on.year)
    reach("closing.after_number")
    invoice = Invoice.objects.create(
        id=invoice_id,
        account=account,
        # A document that gives money back is a credit note, in the same series (spec 5.6, 5.8).
        document_type=Invoice.DocumentType.CREDIT_NOTE if subtotal + tax < 0 else Invoice.DocumentType.INVOICE,
        issuer=settings.ISSUER["key"],
        year=issued_on.year,
        sequence=sequence,
        number=document_number(prefix=settings.ISSUER["number_prefix"], year=issued_on.year, sequence=sequence),
        period=period.starts_at,
        period_ends_at=period.ends_at,
        issued_at=now,
        issued_on=issued_on,
        due_on=issued_on + timedelta(days=profile.payment_days),
        cut_at=cut.at,
        previous_cut_at=account.last_cut_at,
        currency=account.currency,
        subtotal=subtotal,
        tax=tax,
        total=subtotal + tax,
        frozen=facts,
    )
    dispatch = InvoiceDispatch.objects.create(invoice=invoice, reason=InvoiceDispatch.Reason.ISSUED)
    signals.invoice_issued.send(Invoice, invoice_id=invoice.pk)
    signals.dispatch_created.send(InvoiceDispatch, dispatch_id=dispatch.pk)
    return invoice


def tax_on(subtotal: Decimal, profile: BillingProfile, currency: str) -> Decimal:
    """Tax of the document's one category: its whole base × rate, rounded once, as EN 16931 BR-CO-17 demands."""
    rate = ZERO if profile.reverse_charge else profile.tax_rate
    return round_money(subtotal * rate / 100, currency)


def _line_row(
    account: Account,
    invoice_id: uuid.UUID,
    position: int,
    line: ChargeLine,
    usage_period: datetime,
    names: dict[int, str],
    previous_cut_at: datetime | None,
    cut: Cut,
) -> InvoiceLine:
    bills_usage = line.kind in (USAGE, SEATS, InvoiceLine.Kind.ADJUSTMENT)
    # A period's own line bills all that had been received by the cut; an adjustment only what came after the last one.
    since = previous_cut_at if line.kind == InvoiceLine.Kind.ADJUSTMENT else None
    workspaces: list[dict[str, Any]] = [
        {"id": workspace, "name": names.get(workspace, ""), "quantity": f"{quantity:f}"}
        for workspace, quantity in line.workspaces
    ]
    return InvoiceLine(
        invoice_id=invoice_id,
        account=account,
        position=position,
        kind=line.kind,
        description=line.description[:300],
        metric_id=line.metric_id,
        usage_period=usage_period if bills_usage else None,
        quantity=line.quantity,
        included=line.included,
        overage=line.overage,
        unit_price=line.unit_price,
        amount=line.amount,
        previous_cut_at=since if bills_usage else None,
        cut_at=cut.at if bills_usage else None,
        detail={**line.detail, **({"workspaces": workspaces} if workspaces else {})},
    )
