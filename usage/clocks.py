"""Where the time comes from (Data 10): read in views, API, jobs and commands, given to services as `now` or `clock`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from usage.models import Account

Clock = Callable[[], datetime]


def system_clock() -> datetime:
    """The instant now, in UTC."""
    return datetime.now(UTC)


def clock_of(account: Account) -> Clock:
    """The account's own clock (spec 7.4): the system's, or a sandbox account's test clock, which stands still.

    The test clock is read from the database each time it is asked, so that a service asking after it has taken the
    account's lock sees the last advance.
    """
    return account_clock(account_id=account.pk, is_sandbox=account.is_sandbox)


def account_clock(*, account_id: int, is_sandbox: bool) -> Clock:
    """As `clock_of`, for callers that have no Account row at hand."""
    if not is_sandbox:
        return system_clock

    def test_clock() -> datetime:
        now = Account.objects.values_list("sandbox_now", flat=True).get(pk=account_id)
        return now if now is not None else system_clock()

    return test_clock
