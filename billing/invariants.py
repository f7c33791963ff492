"""What must always hold of money and documents (spec 9 d-h, l), as functions that return a line for each violation.

That there is one regular invoice for an account and period, one document for a number, and that a total is the sum of
net and tax, the database's own constraints hold; here stands what they cannot say. Each check reads one consistent
snapshot, so it may run while events stream in and periods are closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import connection

from billing.selectors.cut import Cut, seats_at
from usage.models import Account, Period
from usage.seats import seat_days

_AT_MOST: Final = 100  # lines of one check: enough to see the pattern

# Up to when the usage of a metric and period stands billed: by its own lines that were not cancelled, and by the last
# regular invoice, which bills whatever it finds unbilled.
_BILLED_UNTIL: Final = """
SELECT l.account_id, l.metric_id, l.usage_period AS period,
       greatest(max(l.cut_at), (SELECT r.cut_at FROM billing_invoice r
                                 WHERE r.account_id = l.account_id AND r.reason = 'regular'
                                 ORDER BY r.period DESC LIMIT 1)) AS until
  FROM billing_invoiceline l
  JOIN billing_invoice i ON i.id = l.invoice_id AND i.reason <> 'credit'
 WHERE l.usage_period IS NOT NULL
   AND NOT EXISTS (SELECT 1 FROM billing_invoice c WHERE c.corrects_id = i.id AND (c.frozen->>'cancels')::boolean)
 GROUP BY l.account_id, l.metric_id, l.usage_period
"""

# Total − what was received since = Σ billed. Totals say when they last changed, so events are read for few of them.
_UNITS: Final = f"""
SELECT a.key, w.key, m.key, u.period, coalesce(t.quantity, 0) - coalesce(later.quantity, 0), coalesce(b.quantity, 0)
  FROM ({_BILLED_UNTIL}) AS u
  JOIN usage_metric m ON m.id = u.metric_id AND m.kind <> 'level'
  JOIN usage_account a ON a.id = u.account_id
  JOIN usage_workspace w ON w.account_id = u.account_id
  LEFT JOIN usage_usagetotal t
         ON t.account_id = u.account_id AND t.workspace_id = w.id AND t.metric_id = u.metric_id AND t.period = u.period
  LEFT JOIN LATERAL (
        SELECT sum(e.quantity) AS quantity FROM usage_usageevent e
         WHERE t.last_received_at > u.until AND e.account_id = u.account_id AND e.workspace_id = w.id
           AND e.metric_id = u.metric_id AND e.period = u.period AND e.received_at > u.until) AS later ON true
  LEFT JOIN LATERAL (
        SELECT sum(x.quantity) AS quantity FROM billing_billedusage x
         WHERE x.account_id = u.account_id AND x.period = u.period AND x.metric_id = u.metric_id
           AND x.workspace_id = w.id) AS b ON true
 WHERE coalesce(t.quantity, 0) - coalesce(later.quantity, 0) <> coalesce(b.quantity, 0)
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

_SEATS: Final = f"""
SELECT a.id, m.id, u.period, u.until
  FROM ({_BILLED_UNTIL}) AS u
  JOIN usage_metric m ON m.id = u.metric_id AND m.kind = 'level'
  JOIN usage_account a ON a.id = u.account_id
 WHERE EXISTS (SELECT 1 FROM usage_usageday d WHERE d.account_id = a.id AND d.metric_id = m.id)
 ORDER BY a.id, u.period
"""  # noqa: S608 - constants

_SUMS: Final = f"""
SELECT i.number, i.subtotal, coalesce(l.amount, 0), i.tax, i.frozen->'tax_lines'->0->>'amount'
  FROM billing_invoice i
  LEFT JOIN LATERAL (SELECT sum(amount) AS amount FROM billing_invoiceline l WHERE l.invoice_id = i.id) AS l ON true
 WHERE i.subtotal <> coalesce(l.amount, 0) OR i.tax <> (i.frozen->'tax_lines'->0->>'amount')::numeric
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

_NUMBERS: Final = """
SELECT coalesce(s.issuer, i.issuer), coalesce(s.year, i.year), s.last_number, i.first, i.last, i.count
  FROM billing_numberseries s
  FULL JOIN (SELECT issuer, year, min(sequence) AS first, max(sequence) AS last, count(*) AS count
               FROM billing_invoice GROUP BY issuer, year) AS i ON i.issuer = s.issuer AND i.year = s.year
 WHERE (i.first, i.last, i.count) IS DISTINCT FROM (1, s.last_number, s.last_number::bigint)
"""

_STRAY: Final = f"""
SELECT i.number, l.position
  FROM billing_invoiceline l
  JOIN billing_invoice i ON i.id = l.invoice_id
  LEFT JOIN billing_billedusage b ON b.line_id = l.id
  LEFT JOIN usage_workspace w ON w.id = b.workspace_id
 WHERE l.account_id <> i.account_id
    OR (b.id IS NOT NULL AND (b.account_id, b.metric_id, b.period, w.account_id)
                             IS DISTINCT FROM (l.account_id, l.metric_id, l.usage_period, l.account_id))
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

_CANCELLED: Final = f"""
SELECT i.number, c.number
  FROM billing_invoice c
  JOIN billing_invoice i ON i.id = c.corrects_id
 WHERE (c.frozen->>'cancels')::boolean
   AND (c.total + i.total <> 0
        OR EXISTS (SELECT 1 FROM billing_billedusage b JOIN billing_invoiceline l ON l.id = b.line_id
                    WHERE l.invoice_id IN (i.id, c.id)
                    GROUP BY b.workspace_id, b.metric_id, b.period HAVING sum(b.quantity) <> 0))
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants

_GUARDED: Final = ("billing_invoice", "billing_invoiceline", "billing_billedusage", "billing_invoicedocument")
_GUARDS: Final = """
SELECT x.name FROM unnest(%s::text[]) AS x(name)
 WHERE NOT EXISTS (SELECT 1 FROM pg_trigger t
                    WHERE t.tgrelid = x.name::regclass AND t.tgname = x.name || '_append_only' AND t.tgenabled = 'O')
"""
_BYTES: Final = f"""
SELECT i.number, d.rendering
  FROM billing_invoicedocument d JOIN billing_invoice i ON i.id = d.invoice_id
 WHERE encode(sha256(d.content), 'hex') <> d.sha256
 LIMIT {_AT_MOST}
"""  # noqa: S608 - constants


def units_are_billed_once() -> list[str]:
    """9 d: for every billed period, what was received until the last close is what the ledger bills."""
    return [
        f"{account} {workspace} {metric} in {_day(period)}: {_plain(known)} known at the last close,"
        f" {_plain(billed)} billed"
        for account, workspace, metric, period, known, billed in _rows(_UNITS)
    ]


def seat_days_are_billed_once() -> list[str]:
    """9 d for levels: the ledger holds the seat-days that follow from the reports received until the last close."""
    found = []
    accounts: dict[int, Account] = {}
    for account_id, metric_id, start, until in _rows(_SEATS):
        account = accounts.get(account_id) or accounts.setdefault(account_id, Account.objects.get(pk=account_id))
        period = Period.objects.get(account=account, starts_at=start)
        held = seats_at(account=account, period=period, metric_id=metric_id, cut=Cut(until, is_behind=True))
        known = {workspace: seat_days(counts) for workspace, counts in held.items()}
        billed = dict(_rows(_LEDGER, [account_id, metric_id, start]))
        found += [
            f"{account.key} seats in {_day(start)}: {_plain(known.get(workspace))} seat-days known at the last close,"
            f" {_plain(billed.get(workspace))} billed"
            for workspace in sorted(known.keys() | billed.keys())
            if (known.get(workspace) or 0) != (billed.get(workspace) or 0)
        ]
    return found[:_AT_MOST]


_LEDGER: Final = """
SELECT workspace_id, sum(quantity) FROM billing_billedusage WHERE account_id = %s AND metric_id = %s AND period = %s
 GROUP BY workspace_id
"""


def documents_add_up() -> list[str]:
    """9 e: a document's net is the sum of its lines, and its tax that of its tax lines, to the cent."""
    return [
        f"{number}: net {subtotal}, lines {lines}; tax {tax}, printed {printed}"
        for number, subtotal, lines, tax, printed in _rows(_SUMS)
    ]


def numbers_have_no_gap() -> list[str]:
    """9 f: the numbers of an issuer and year are 1…n."""
    return [
        f"series {issuer} {year}: last number {last_number}, but {count} documents from {first} to {last}"
        for issuer, year, last_number, first, last, count in _rows(_NUMBERS)
    ]


def documents_are_guarded() -> list[str]:
    """9 h: the triggers stand that refuse changes, and every rendering is what it was."""
    gone = [f"{name} can be changed: its trigger is gone" for (name,) in _rows(_GUARDS, [list(_GUARDED)])]
    return gone + [f"{number} rendering {rendering} is not what was stored" for number, rendering in _rows(_BYTES)]


def ledger_stays_with_its_account() -> list[str]:
    """9 l: lines, ledger rows and workspaces belong to the account of their document."""
    return [f"line {position} of {number} bills usage of something else" for number, position in _rows(_STRAY)]


def cancelled_documents_are_taken_back_whole() -> list[str]:
    """What cancels a document gives back its money and its units."""
    return [f"{other} does not take back the whole of {number}" for number, other in _rows(_CANCELLED)]


CHECKS: Final[tuple[Callable[[], Iterable[str]], ...]] = (
    units_are_billed_once,
    seat_days_are_billed_once,
    documents_add_up,
    numbers_have_no_gap,
    documents_are_guarded,
    ledger_stays_with_its_account,
    cancelled_documents_are_taken_back_whole,
)


def _rows(query: str, arguments: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query, arguments)
        return list(cursor.fetchall())


def _day(at: datetime) -> str:
    return at.date().isoformat()


def _plain(quantity: Decimal | None) -> str:
    return f"{(quantity or Decimal(0)).normalize():f}"
