"""What the queue calls. Every job may be delivered twice, or be killed half-way and delivered again (spec 8.1)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import DatabaseError, transaction
from django_q.tasks import async_task

from alerts.services import evaluate as evaluation
from alerts.services.delivery import deliver_due
from alerts.services.dispatches import deliver_dispatches
from usage.clocks import clock_of, system_clock
from usage.jobs import once_per_slot
from usage.models import Account
from usage.services.locks import lock_account

SENDING_TIME: Final = timedelta(seconds=100)  # of the 300 seconds that a job may take


def evaluate_account(account_id: int) -> dict[str, int]:
    """Tell what the account has reached, by its own clock; again if totals kept changing meanwhile (Data 7)."""
    account = Account.objects.get(pk=account_id)
    done = evaluation.evaluate(account_ids=[account_id], now=clock_of(account)(), include_sandbox=True)
    if done.unsettled:
        evaluation.queue_evaluation(account_id)
    return _result(done)


def evaluate_terms(account_id: int, from_period: str) -> None:
    """Look again at the account's totals from that period on (ISO instant), because terms changed; telling itself waits
    for the sweeps when LIVE_EVALUATION is off."""
    with transaction.atomic():
        lock_account(account_id)
        evaluation.look_again(account_id=account_id, from_period=datetime.fromisoformat(from_period))
    if settings.LIVE_EVALUATION:
        evaluate_account(account_id)


def refresh(slot: str | datetime) -> dict[str, int] | None:
    """The sweep of every 30 minutes: tell whatever is left (spec 2.8). Leaves sandbox accounts out (7.4). None when the
    slot is done, or is being worked on."""
    with once_per_slot("refresh", slot) as run:
        if run is None:
            return None
        run.result = result = evaluate_all(now=system_clock())
        return result


def evaluate_all(*, now: datetime) -> dict[str, int]:
    """Evaluate all accounts but sandboxes at `now` (aware), in one go; should one of them make that fail, each by
    itself."""
    try:
        done = evaluation.evaluate(account_ids=None, now=now)
    except DatabaseError:
        raise
    except Exception:
        evaluation.log.exception("the sweep failed and goes on account by account")
        accounts = Account.objects.filter(is_sandbox=False).order_by("id").values_list("id", flat=True)
        done = evaluation.evaluate_each(account_ids=list(accounts), now=now)
    return _result(done)


def recalculate_limits(slot: str | datetime) -> dict[str, int] | None:
    """The sweep of every hour on the half-hour: every limit against what was told (spec 2.8). Leaves sandbox accounts
    out. None when the slot is done, or is being worked on."""
    with once_per_slot("recalculate-limits", slot) as run:
        if run is None:
            return None
        run.result = result = _result(evaluation.evaluate_limits(account_ids=None, now=system_clock()))
        return result


def _result(done: evaluation.Evaluated) -> dict[str, int]:
    return {"firings": done.firings, "messages": done.messages, "unsettled": done.unsettled}


def deliver() -> None:
    """Send what is due, and invoices whose PDF exists. What the time did not allow goes to a fresh job."""
    until = system_clock() + SENDING_TIME
    while deliver_dispatches(now=system_clock()) and system_clock() < until:
        pass
    if not deliver_due(clock=system_clock, until=until).is_finished:
        async_task("alerts.jobs.deliver")


def deliver_pending(slot: str | datetime) -> None:
    """The sweep of every minute over the outbox. The rows themselves say what is done, so the slot does not matter."""
    deliver()
