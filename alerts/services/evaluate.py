"""Who must be told (spec 3, 4.4; Data 7, 8): compares totals with the levels in force and writes what was reached.

One transaction: firings (`ON CONFLICT DO NOTHING`), the notifications and deliveries that tell of them, and last the
mark that nothing is left to tell. Nothing is claimed. Two evaluations at once decide the same, because a firing can be
written only once; a crash rolls all of it back and the next evaluation decides again. The mark proves itself: the
statement that sets it looks once more, on its own snapshot, whether anything reached is still untold, and skips every
row that changed meanwhile. Such rows make the evaluation repeat.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, transaction
from django_q.tasks import async_task
from psycopg.errors import DeadlockDetected, SerializationFailure

from alerts.models import Firing, Notification
from alerts.services import limit_states, spend
from alerts.services.news import News
from alerts.services.outbox import tell
from alerts.services.statements import FIRE, LOOK_AGAIN, SETTLE, TOUCHED_ANYWHERE, TOUCHED_IN
from usage import wire
from usage.faultpoints import reach
from usage.services.periods import open_period
from usage.sql import planned

log = logging.getLogger(__name__)

REPEATS: Final = 5  # while rows change under the evaluation; what is left then is queued again
TRIES: Final = 4


@dataclass(frozen=True, slots=True)
class Scope:
    """Which totals: of these accounts (None = all), of one metric (None = all), sandbox accounts too or not."""

    account_ids: tuple[int, ...] | None = None
    metric_id: int | None = None
    include_sandbox: bool = False

    @property
    def params(self) -> dict[str, Any]:
        return {
            "accounts": None if self.account_ids is None else list(self.account_ids),
            "metric": self.metric_id,
            "sandbox": self.include_sandbox,
        }


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What an evaluation did: firings written, messages decided; what it could not settle: totals that changed under
    it, accounts whose running period is not opened yet."""

    firings: int = 0
    messages: int = 0
    unsettled: int = 0
    unopened: tuple[int, ...] = ()

    def plus(self, other: Evaluated) -> Evaluated:
        """Both together; what is left as of the later one."""
        return replace(other, firings=self.firings + other.firings, messages=self.messages + other.messages)


def evaluate(
    *, account_ids: Sequence[int] | None, now: datetime, include_sandbox: bool = False, metric_id: int | None = None
) -> Evaluated:
    """Tell whatever was reached and not told yet, of these accounts or (None) of all (spec 3, 4.4, 2.8).

    `now` is an aware instant: periods that have ended by then are still told of what was received in time, and limits
    reached in them are told and cleared. Sandbox accounts are left out unless `include_sandbox`. Repeats while totals
    change under it; called inside a transaction, it is part of it. Nothing is raised for what it finds.
    """
    scope = Scope(None if account_ids is None else tuple(account_ids), metric_id, include_sandbox)
    done = Evaluated()
    for _ in range(REPEATS):
        done = done.plus(_evaluate_patiently(scope=scope, now=now))
        reach("evaluate.after_commit")
        _open_periods(done.unopened, at=now)
        if not done.unsettled and not done.unopened:
            break
    return done


def evaluate_each(*, account_ids: Sequence[int], now: datetime, include_sandbox: bool = False) -> Evaluated:
    """`evaluate` account by account: one whose message cannot be written does not keep the others from being told."""
    done = Evaluated()
    for account_id in account_ids:
        try:
            done = done.plus(evaluate(account_ids=[account_id], now=now, include_sandbox=include_sandbox))
        except DatabaseError:
            raise
        except Exception:
            log.exception("account %s could not be evaluated", account_id)
            done = replace(done, unsettled=done.unsettled + 1)
    return done


def evaluate_limits(*, account_ids: Sequence[int] | None, now: datetime, include_sandbox: bool = False) -> Evaluated:
    """Compare every hard limit with what was last told, and tell the difference (spec 2.8, 4.3, 4.4). Aware `now`."""
    scope = Scope(None if account_ids is None else tuple(account_ids), None, include_sandbox)
    done = Evaluated()
    for _ in range(2):  # the second time in the periods that had to be opened
        with transaction.atomic():
            told = limit_states.tell_transitions(params=scope.params, now=now)
            tell(told.news, now=now)
        done = done.plus(Evaluated(told.firings, len(told.news), unopened=told.unopened))
        if not told.unopened:
            break
        _open_periods(told.unopened, at=now)
    return done


def _open_periods(account_ids: Sequence[int], *, at: datetime) -> None:
    """Outside the evaluation's transaction, because opening takes the account's lock."""
    for account_id in account_ids:
        open_period(account_id=account_id, at=at)


def _evaluate_patiently(*, scope: Scope, now: datetime) -> Evaluated:
    """Again when PostgreSQL broke a circle of waiting; inside a caller's transaction that is the caller's business."""
    for _ in range(TRIES - 1):
        try:
            return _evaluate_once(scope=scope, now=now)
        except OperationalError as error:
            if connection.in_atomic_block or not isinstance(error.__cause__, DeadlockDetected | SerializationFailure):
                raise
            log.info("an evaluation gave way to another and starts again")
    return _evaluate_once(scope=scope, now=now)


@transaction.atomic
def _evaluate_once(*, scope: Scope, now: datetime) -> Evaluated:
    params = {**scope.params, "now": now}
    pools = planned(TOUCHED_ANYWHERE if scope.account_ids is None else TOUCHED_IN, params)
    fired = []
    if pools:
        accounts, metrics, periods = zip(*pools, strict=True)
        params["pool_accounts"], params["pool_metrics"] = wire.bigints(accounts), wire.bigints(metrics)
        params["pool_periods"] = wire.timestamps(periods, repeat=True)
        fired = planned(FIRE, params)
    reach("evaluate.after_firings")
    news = _news_of(fired, now=now)
    spent = spend.tell_spend(params=scope.params, now=now) if scope.metric_id is None else spend.SpendTold()
    limits = limit_states.tell_transitions(params=scope.params, now=now)
    news += [*spent.news, *limits.news]
    tell(news, now=now)
    reach("evaluate.after_messages")
    unsettled = planned(SETTLE, params)[0][0] if pools else 0
    reach("evaluate.before_commit")
    unopened = tuple(sorted({*spent.unopened, *limits.unopened}))
    return Evaluated(len(fired) + spent.firings + limits.firings, len(news), unsettled, unopened)


def _news_of(fired: Sequence[tuple[Any, ...]], *, now: datetime) -> list[News]:
    """One message for everything that one rule reached at once: the highest level speaks for the others (spec 3.2)."""
    highest: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for row in fired:
        rule, account, workspace, metric, period, level, threshold, _ = row
        key = (rule, account, workspace, metric, period, threshold)
        if key not in highest or highest[key][5] < level:
            highest[key] = row
    return [
        News(
            kind=Notification.Kind.USAGE_ALERT if rule == Firing.Rule.USAGE_ALERT else Notification.Kind.PLAN_ALERT,
            account_id=account,
            workspace_id=workspace,
            metric_id=metric,
            period=period,
            level=level,
            threshold=threshold,
            quantity=quantity,
            at=now,
            once=f"{period.isoformat()}:{level}:{threshold.normalize():f}",
        )
        for rule, account, workspace, metric, period, level, threshold, quantity in highest.values()
    ]


def queue_evaluation(account_id: int) -> None:
    """Have the account evaluated as soon as the running transaction commits; with LIVE_EVALUATION off the sweeps do it.

    The queue row is part of the transaction (spec 2.8, Data 7).
    """
    if settings.LIVE_EVALUATION:
        async_task("alerts.jobs.evaluate_account", account_id)


def look_again(*, account_id: int, metric_id: int | None = None, from_period: datetime) -> int:
    """Mark totals of the account as not evaluated, from a period on, because the levels beside them changed (Data 7).

    `seq` grows, so that an evaluation that read the old levels cannot mark them. Returns how many.
    """
    with connection.cursor() as cursor:
        cursor.execute(LOOK_AGAIN, {"account": account_id, "metric": metric_id, "from_period": from_period})
        return int(cursor.rowcount)
