"""What frames a page about a billing period: the period, its neighbours, the account's workspaces (spec 2.10, 6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject

from billing.models import BillingProfile
from usage.errors import NotFound
from usage.formats import local_day
from usage.models import Account, Period, Workspace
from usage.selectors import current_period
from usage.sql import fetch


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
    periods = _framed(Period.objects.filter(account=account))
    if first_day is not None:
        found = periods.filter(first_day=first_day, starts_at__lte=now).first()
        if found is None:
            raise NotFound("No billing period begins on that day.")
        return _frame(found)
    found = next(iter(fetch(periods.filter(starts_at__lte=now, ends_at__gt=now)[:1])), None)
    if found is None or account.ended_at is not None:
        found = periods.get(pk=current_period(account, now).pk)
    return _frame(found)


def _framed(periods: QuerySet[Period]) -> QuerySet[Period]:
    beside = Period.objects.filter(account=OuterRef("account")).order_by()
    return periods.select_related("account__billing_profile").annotate(
        earlier=Subquery(beside.filter(ends_at=OuterRef("starts_at")).values("first_day")[:1]),
        later=Subquery(beside.filter(starts_at=OuterRef("ends_at")).values("first_day")[:1]),
        places=ArraySubquery(
            Workspace.objects.filter(account=OuterRef("account"))
            .order_by("name", "key")
            .values(json=JSONObject(id="pk", name="name"))
        ),
    )


def _frame(period: Period) -> Frame:
    profile = getattr(period.account, "billing_profile", None)
    places: list[dict[str, str]] = period.places  # type: ignore[attr-defined]
    return Frame(
        period=period,
        workspaces=tuple((int(place["id"]), place["name"]) for place in places),
        earlier=period.earlier,  # type: ignore[attr-defined]
        later=period.later,  # type: ignore[attr-defined]
        is_previous_system=profile is not None and profile.system == BillingProfile.System.PREVIOUS,
    )
