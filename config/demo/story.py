"""What happens in the demo: traffic arrives, alerts and limits are set, periods close, something is taken back late."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from alerts.models import Notification, NotificationRead
from alerts.services.alerts import set_spend_alert, set_usage_alert
from alerts.services.decisions import Message, route
from alerts.services.evaluate import evaluate
from alerts.services.limits import NOW, set_hard_limit
from alerts.services.workflows import save_workflow, set_handover_steps
from alerts.workflow_rules import Branch, Rules, Step
from billing.models import Invoice, Plan
from billing.services.closing import close_account
from billing.services.subscriptions import change_plan
from config.demo.cast import BY, PERIODS, Company
from config.demo.traffic import SOURCE, Happening
from usage.models import Account, Metric, Period, User, Workspace
from usage.selectors import current_period
from usage.services.audit import Actor
from usage.services.corrections import void_event
from usage.services.ingest import ingest_sent

BATCH = 1000
GRACE = timedelta(hours=1, seconds=4)
ARRIVAL = timedelta(seconds=20)
SEATS = {"atlas": ((0, 6), (200, 7), (362, 8)), "birch": ((0, 2),), "cobalt": ((0, 3), (300, 4))}


@dataclass
class Story:
    """One account's year. `told` is everything its workspaces send, in order of time."""

    account: Account
    company: Company
    told: Sequence[Happening]
    users: dict[str, User]
    now: datetime
    invoices: list[Invoice] = field(default_factory=list)

    def live(self) -> Iterator[datetime]:
        """From the first period to now, through the services of real usage.

        Pauses before each closing, giving its time, so that all accounts' documents are numbered in the order of dates.
        """
        first = at = Period.objects.filter(account=self.account).earliest("starts_at").starts_at
        self.told = sorted([*self.told, *self._seats(first)])
        for index in itertools.count():
            period = current_period(self.account, at)
            self._open(index, period)
            for moment in self._moments(index, period):
                events = [event for event in self.told if at <= event.at < moment]
                self._send(events, routed=index == PERIODS)
                # As it is: usage is looked at when it has arrived, and once more when the period is over.
                is_last = moment >= min(period.ends_at, self.now) or not events
                evaluate(account_ids=[self.account.pk], now=moment if is_last else events[-1].at + ARRIVAL)
                at = moment
                if index == self.company.upgrade_in and at < period.ends_at:
                    self._upgrade(at)
            if period.ends_at + GRACE > self.now:
                return
            closes_at = period.ends_at + GRACE
            yield closes_at
            self.invoices += close_account(account_id=self.account.pk, clock=lambda: closes_at, by=BY)  # noqa: B023
            self._correct(index, period, closes_at)

    def _moments(self, index: int, period: Period) -> Iterator[datetime]:
        """Up to when usage has been looked at: twice a day in the last two periods, else weekly; always at the end."""
        if index == self.company.upgrade_in:
            yield period.starts_at + timedelta(days=12, hours=9)
            yield period.ends_at
            return
        step = timedelta(hours=12) if index >= PERIODS - 1 else timedelta(days=7)
        end = min(period.ends_at, self.now)
        moment = period.starts_at + step
        while moment < end:
            yield moment
            moment += step
        yield end

    def _send(self, events: Sequence[Happening], *, routed: bool = False) -> None:
        for start in range(0, len(events), BATCH):
            batch = events[start : start + BATCH]
            arrival = max(event.at for event in batch) + ARRIVAL
            result = ingest_sent(
                account_id=self.account.pk,
                sent=[event.as_event() for event in batch],
                clock=lambda: arrival,  # noqa: B023
            )
            if result.rejected:
                raise RuntimeError(f"the demo's usage was rejected: {result.rejected[0]}")
        if routed:
            self._ask([event for event in events if event.answered])

    def _ask(self, events: Sequence[Happening]) -> None:
        ids = dict(Workspace.objects.filter(account=self.account).values_list("key", "pk"))
        for event in events:
            message = Message(
                conversation_id=event.answered or "",
                message_id=f"{event.answered}-1",
                metric="ai_resolutions",
                event="started",
                channel="chat",
            )
            route(
                account_id=self.account.pk,
                workspace_id=ids[event.workspace],
                message=message,
                clock=lambda: event.at,  # noqa: B023
            )

    def _seats(self, first: datetime) -> Iterator[Happening]:
        for workspace, _ in self.company.workspaces:
            for day, seats in SEATS[workspace]:
                at = first + timedelta(days=day, hours=8)
                if at < self.now:
                    yield Happening(at, f"{workspace}-seats-{day}", workspace, "seats.set", {"value": seats})

    def _upgrade(self, at: datetime) -> None:
        plan = Plan.objects.get(key=self.company.plan, version=1)
        change_plan(account=self.account, plan=plan, clock=lambda: at, by=self._person("ada@demo.example"))

    def _correct(self, index: int, period: Period, at: datetime) -> None:
        """After the last but one invoice a resolution is taken back: the next invoice carries the adjustment."""
        if index != PERIODS - 2:
            return
        resolved = [e for e in self.told if e.type == "ai_resolution.recorded" and e.at >= period.starts_at]
        for event in resolved[:2]:
            void_event(
                account=self.account,
                source=SOURCE,
                event_id=event.id,
                reason="The customer wrote again: not resolved.",
                clock=lambda: at + timedelta(days=3),
                by=BY,
            )

    def _open(self, index: int, period: Period) -> None:
        """People set what they want to be told, and where the agent stops."""
        at = period.starts_at + timedelta(hours=10)
        if self.company.key == "demo" and index == PERIODS - 2:
            self._alert("atlas", "ai_resolutions", Decimal(500), at, by="cleo@demo.example")
            self._alert("atlas", "conversations", Decimal(1200), at, by="cleo@demo.example")
            set_spend_alert(
                account=self.account,
                threshold=Decimal(1500),
                also_50_80=True,
                clock=lambda: at,
                by=self._person("ada@demo.example"),
            )
            self._build_workflow(at)
        if self.company.key == "cobalt" and index == PERIODS - 2:
            self._alert("cobalt", "conversations", Decimal(300), at, by="cleo@demo.example")
        if self.company.key == "demo" and index == PERIODS and at < self.now:
            used = sum(1 for e in self.told if e.type == "voice_resolution.recorded" and e.at >= period.starts_at)
            self._limit("atlas", "voice_resolutions", max(3, used * 9 // 10), at)
            self._limit("atlas", "ai_resolutions", 600, at)

    def _alert(self, workspace: str, metric: str, threshold: Decimal, at: datetime, *, by: str) -> None:
        set_usage_alert(
            workspace=Workspace.objects.select_related("account").get(key=workspace),
            metric=Metric.objects.get(key=metric),
            threshold=threshold,
            also_50_80=True,
            clock=lambda: at,
            by=self._person(by),
        )

    def _limit(self, workspace: str, metric: str, quantity: int, at: datetime) -> None:
        set_hard_limit(
            workspace=Workspace.objects.select_related("account").get(key=workspace),
            metric=Metric.objects.get(key=metric),
            quantity=Decimal(quantity),
            effective=NOW,
            clock=lambda: at,
            by=self._person("ada@demo.example"),
        )

    def _build_workflow(self, at: datetime) -> None:
        atlas = Workspace.objects.select_related("account").get(key="atlas")
        ada = self._person("ada@demo.example")
        team = Step("hand_over_to_team", team="Support")
        limit_reached = Branch(
            name="Limit reached",
            rules=Rules(limit_reached=True),
            steps=(Step("reply_with_message", message="A colleague will answer you within two hours."), team),
        )
        agent = Branch(name="Everybody else", steps=(Step("let_ai_agent_answer"),))
        save_workflow(
            workspace=atlas,
            workflow_id=None,
            name="First answer",
            audience=Rules(channels=("chat", "email")),
            branches=(limit_reached, agent),
            is_on=True,
            now=at,
            by=ada,
        )
        set_handover_steps(workspace=atlas, steps=(team,), by=ada)

    def _person(self, email: str) -> Actor:
        return Actor.of_user(self.users[email])


def mark_as_read(users: dict[str, User], *, before: datetime, now: datetime) -> None:
    """What is older has been read by everybody; the last days wait in the bell."""
    notifications = list(Notification.objects.filter(at__lt=before).values_list("pk", flat=True))
    NotificationRead.objects.bulk_create(
        NotificationRead(notification_id=pk, user=user, read_at=now) for pk in notifications for user in users.values()
    )
