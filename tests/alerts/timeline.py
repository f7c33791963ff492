"""A language for stories about alerts and limits: what happens when, and who is told what.

    story.alert(100).uses(99).tells().uses(1).tells("atlas 100% of 100 at 100")

The default account `acme` has monthly periods from 1 June 2026 in UTC and one billing contact. Time moves only by `on`;
usage happens and arrives at the moment reached. `tells` evaluates and compares with everything told since the last
`tells`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Self

from alerts.models import Delivery, Firing, Notification
from alerts.selectors.settings import AlertSetting, LimitSetting, State, alert_state_of, limit_setting_of
from alerts.services.alerts import set_plan_alert, set_spend_alert, set_usage_alert
from alerts.services.evaluate import evaluate, evaluate_limits, look_again
from alerts.services.limits import set_hard_limit
from billing.models import Plan
from billing.services.contacts import add_contact
from billing.services.purchases import set_contract
from billing.services.subscriptions import change_plan, start_subscription
from tests.factories import BY, event, make_account, metric, workspace
from usage.models import Account, Metric, Period, UsageTotal, Workspace
from usage.rounding import plain_quantity, shown_quantity
from usage.services.corrections import amend_event, void_event
from usage.services.ingest import ingest_sent
from usage.services.periods import open_period


class Story:
    """One account and its people, told step by step; every step returns the story."""

    def __init__(
        self,
        *,
        workspaces: Sequence[str] = ("atlas",),
        contacts: Sequence[str] = ("mona@acme.example",),
        plan: str | None = None,
        metric_key: str = "whatsapp",
        key: str = "acme",
        is_sandbox: bool = False,
    ) -> None:
        self.now = datetime(2026, 6, 2, 12, tzinfo=UTC)
        self.account: Account = make_account(key, workspaces=workspaces, is_sandbox=is_sandbox, now=self.now)
        self.metric_key = metric_key
        self.where = workspaces[0]
        self.first_period = datetime(2026, 6, 1, tzinfo=UTC)
        self.contacts = [add_contact(account=self.account, email=email, by=BY) for email in contacts]
        self._events: list[tuple[str, str, str]] = []
        self._count = 0
        self._seen = 0
        if plan:
            self.subscribes(plan)

    # --- Time and place ---

    def clock(self) -> datetime:
        return self.now

    def on(self, day: int, month: int = 6, hour: int = 12, minute: int = 0) -> Self:
        """It is that moment (UTC, 2026) now."""
        self.now = datetime(2026, month, day, hour, minute, tzinfo=UTC)
        return self

    def at(self, workspace_key: str) -> Self:
        """From here on, things happen in that workspace."""
        self.where = workspace_key
        return self

    def about(self, metric_key: str) -> Self:
        """From here on, it is about that metric."""
        self.metric_key = metric_key
        return self

    @property
    def workspace(self) -> Workspace:
        return workspace(self.where)

    @property
    def metric(self) -> Metric:
        return metric(self.metric_key)

    @property
    def period(self) -> Period:
        return open_period(account_id=self.account.pk, at=self.now)

    # --- What happens ---

    def uses(self, quantity: int, *, at: datetime | None = None) -> Self:
        """Usage that happened at `at` (default: now) arrives now."""
        measured = self.metric
        happened = at or self.now
        size = quantity if measured.kind == Metric.Kind.COUNT else 1
        sent = []
        for _ in range(size):
            self._count += 1
            id_ = f"{self.account.key}-{self._count}"
            data: Any = None if measured.kind == Metric.Kind.COUNT else {"value": quantity}
            if measured.kind == Metric.Kind.DURATION:
                started = datetime.fromtimestamp(happened.timestamp() - quantity * 60, UTC)
                data = {"started_at": started.isoformat(), "ended_at": happened.isoformat()}
            time = None if measured.kind == Metric.Kind.DURATION else happened
            sent.append(event(measured.event_type, subject=self.where, id_=id_, time=time, data=data))
            self._events.append((self.where, self.metric_key, id_))
        result = ingest_sent(account_id=self.account.pk, sent=sent, clock=self.clock)
        assert not result.rejected, result.rejected
        return self

    def takes_back(self, events: int = 1) -> Self:
        """The newest events of this workspace and metric are voided."""
        for _ in range(events):
            index = max(i for i, seen in enumerate(self._events) if seen[:2] == (self.where, self.metric_key))
            *_, id_ = self._events.pop(index)
            void_event(
                account=self.account, source="urn:tests", event_id=id_, reason="taken back", clock=self.clock, by=BY
            )
        return self

    def amends(self, quantity: int) -> Self:
        """The newest event of this workspace and metric is amended to `quantity`."""
        *_, id_ = next(seen for seen in reversed(self._events) if seen[:2] == (self.where, self.metric_key))
        amend_event(
            account=self.account,
            source="urn:tests",
            event_id=id_,
            quantity=Decimal(quantity),
            reason="measured again",
            clock=self.clock,
            by=BY,
        )
        return self

    def alert(self, threshold: int | None, *, halves: bool = False) -> Self:
        """A teammate sets the usage alert; None = off."""
        set_usage_alert(
            workspace=self.workspace,
            metric=self.metric,
            threshold=None if threshold is None else Decimal(threshold),
            also_50_80=halves,
            clock=self.clock,
            by=BY,
        )
        return self

    def plan_alerts(self, is_on: bool) -> Self:
        set_plan_alert(account=self.account, metric=self.metric, is_on=is_on, clock=self.clock, by=BY)
        return self

    def spend_alert(self, threshold: str | None, *, halves: bool = False) -> Self:
        set_spend_alert(
            account=self.account,
            threshold=None if threshold is None else Decimal(threshold),
            also_50_80=halves,
            clock=self.clock,
            by=BY,
        )
        return self

    def limit(self, quantity: int | None, when: str = "now") -> Self:
        """A teammate sets the hard limit, `when` = now or next_period; None = off."""
        set_hard_limit(
            workspace=self.workspace,
            metric=self.metric,
            quantity=None if quantity is None else Decimal(quantity),
            effective=when,
            clock=self.clock,
            by=BY,
        )
        return self

    def subscribes(self, plan: str) -> Self:
        start_subscription(account=self.account, plan=self._plan(plan), period=self.first_period, by=BY)
        return self

    def changes_plan(self, plan: str) -> Self:
        """The plan is changed now; the news about terms arrives as the queue would deliver it."""
        change_plan(account=self.account, plan=self._plan(plan), clock=self.clock, by=BY)
        look_again(account_id=self.account.pk, from_period=self.period.starts_at)
        return self

    def contracts(self, quantity: int, *, from_period: datetime | None = None) -> Self:
        set_contract(
            account=self.account,
            metric=self.metric,
            quantity=Decimal(quantity),
            unit_price=Decimal("0.89"),
            overage_price=None,
            from_period=from_period or self.first_period,
            by=BY,
        )
        return self

    @staticmethod
    def _plan(key: str) -> Plan:
        return Plan.objects.filter(key=key).latest("version")

    # --- What follows ---

    def evaluates(self) -> Self:
        evaluate(account_ids=[self.account.pk], now=self.now, include_sandbox=True)
        return self

    def recalculates(self) -> Self:
        """The hourly recalculation of limits, and nothing else."""
        evaluate_limits(account_ids=[self.account.pk], now=self.now, include_sandbox=True)
        return self

    def tells(self, *lines: str) -> Self:
        """After an evaluation exactly this has been told since the last time, in this order."""
        return self.evaluates().has_told(*lines)

    def has_told(self, *lines: str) -> Self:
        """Exactly this has been told since the last time; nothing is evaluated now."""
        news = list(
            Notification.objects.filter(account=self.account, pk__gt=self._seen)
            .select_related("metric", "workspace")
            .order_by("pk")
        )
        if news:
            self._seen = news[-1].pk
        assert [self._line(item) for item in news] == list(lines)
        return self

    def _line(self, item: Notification) -> str:
        def shown(value: Decimal | None) -> str:
            size = item.metric.unit_size if item.metric else 1
            return plain_quantity(shown_quantity(value or Decimal(0), unit_size=size))

        mails = item.deliveries.filter(channel=Delivery.Channel.EMAIL).count()
        assert mails in (0, len(self.contacts)), "all billing contacts or none"
        place = item.workspace.key if item.workspace else ""
        match item.kind:
            case Notification.Kind.LIMIT_REACHED:
                line = f"{place} limit {shown(item.threshold)} reached at {shown(item.quantity)}"
                return line if mails or not self.contacts else f"{line} without e-mail"
            case Notification.Kind.LIMIT_CLEARED:
                assert mails == 0
                return f"{place} limit cleared at {shown(item.quantity)}"
        assert mails == len(self.contacts)
        scope = {"usage_alert": place, "plan_alert": "plan", "spend_alert": "spend"}[item.kind]
        return f"{scope} {item.level}% of {shown(item.threshold)} at {shown(item.quantity)}"

    def shows_alert(self, *, in_force: int | None, scheduled: int | None = None) -> Self:
        """The drawer shows these thresholds."""
        state: State[AlertSetting] = alert_state_of(
            workspace=self.workspace, metric=self.metric, period=self.period.starts_at
        )
        assert (state.in_force.threshold if state.in_force else None) == in_force
        assert (state.scheduled.threshold if state.scheduled else None) == scheduled
        return self

    def shows_limit(self, *, in_force: int | None, scheduled: int | None = None) -> Self:
        """The drawer shows these limits."""
        state: State[LimitSetting] = limit_setting_of(
            workspace=self.workspace, metric=self.metric, period=self.period.starts_at
        )
        assert (state.in_force.limit if state.in_force else None) == in_force
        assert (state.scheduled.limit if state.scheduled else None) == scheduled
        return self

    def is_off(self) -> bool:
        """The agent may not answer: the fact on the row that counts."""
        total = self.total()
        return total is not None and total.hard_limit is not None and total.quantity >= total.hard_limit

    def total(self) -> UsageTotal | None:
        return UsageTotal.objects.filter(
            account=self.account, workspace=self.workspace, metric=self.metric, period=self.period.starts_at
        ).first()

    def firings(self) -> set[tuple[str, int, str]]:
        """(rule, level, threshold) of everything decided so far."""
        rows = Firing.objects.filter(account=self.account)
        return {(row.rule, row.level, plain_quantity(row.threshold)) for row in rows}
