"""What frames a page about a billing period: the period, its neighbours, the account's workspaces (spec 2.10, 6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from billing.models import BillingProfile
from usage.errors import NotFound
from usage.models import Account, Period, Workspace
from usage.periods import local_day
from usage.selectors import current_period
from usage.sql import from_columns, model_columns, prepared

# The last period that has begun by `now`, or by then the one that begins on the day.
_FRAMES: Final = f"""
SELECT {model_columns(Period, "p")},
       (SELECT b.first_day FROM usage_period b WHERE b.account_id = p.account_id AND b.ends_at = p.starts_at),
       (SELECT b.first_day FROM usage_period b WHERE b.account_id = p.account_id AND b.starts_at = p.ends_at),
       ARRAY(SELECT w.id FROM usage_workspace w WHERE w.account_id = p.account_id ORDER BY w.name, w.key),
       ARRAY(SELECT w.name FROM usage_workspace w WHERE w.account_id = p.account_id ORDER BY w.name, w.key),
       (SELECT f.system FROM billing_billingprofile f WHERE f.account_id = p.account_id)
  FROM usage_period p
 WHERE p.account_id = %(account)s AND p.starts_at <= %(now)s
   AND (%(first_day)s::date IS NULL OR p.first_day = %(first_day)s)
 ORDER BY p.starts_at DESC LIMIT 1
"""  # noqa: S608 - columns of our own tables
_ENDS_AT: Final = [field.attname for field in Period._meta.concrete_fields].index("ends_at")


@dataclass(frozen=True, slots=True)
class Frame:
    """A stored period of an account. `workspaces` are (id, name) of all of them by name; `earlier` and `later` the
    first days of the periods beside it, None where none is stored; `is_previous_system` as in spec 5.7."""

    period: Period
    workspaces: tuple[tuple[int, str], ...]
    earlier: date | None
    later: date | None
    is_previous_system: bool

    def others(self, workspace: Workspace) -> list[tuple[int, str]]:
        """The account's other workspaces."""
        return [(key, name) for key, name in self.workspaces if key != workspace.pk]

    def day(self, now: datetime) -> int:
        """The day of the period that `now` lies in, from 1 to the number of its days."""
        today = local_day(now, self.period.zone)
        return min(max((today - self.period.first_day).days + 1, 1), self.period.days)

    def days_remaining(self, now: datetime) -> int:
        """Whole local days after today; 0 once the period has ended."""
        return self.period.days - self.day(now)


def frame_of(*, account: Account, now: datetime, first_day: date | None = None) -> Frame:
    """The running period at `now` (of an ended account the last one), opened on demand, or the stored period that
    begins on the local day `first_day`; 1 query when the period is stored. Raises NotFound for another day."""
    rows = prepared(_FRAMES, {"account": account.pk, "now": now, "first_day": first_day})
    if first_day is not None and not rows:
        raise NotFound("No billing period begins on that day.")
    if first_day is None and (account.ended_at is not None or not rows or rows[0][_ENDS_AT] <= now):
        period = current_period(account, now)
        rows = prepared(_FRAMES, {"account": account.pk, "now": period.starts_at, "first_day": None})
    *columns, earlier, later, keys, names, system = rows[0]
    period = from_columns(Period, columns)
    period.account = account
    return Frame(
        period=period,
        workspaces=tuple(zip(keys, names, strict=True)),
        earlier=earlier,
        later=later,
        is_previous_system=system == BillingProfile.System.PREVIOUS,
    )
