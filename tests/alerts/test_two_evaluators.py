"""Any interleaving of evaluators, retries and crashes decides what one evaluator without crashes decides (spec 3.2, 9
i)."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.models import Delivery, Firing, Notification
from alerts.services import evaluate as evaluation
from alerts.services.delivery import deliver_due
from alerts.services.evaluate import evaluate
from tests.alerts.timeline import Story
from tests.processes import until
from tests.smtp import SmtpSink

pytestmark = pytest.mark.django_db(transaction=True)


class Crash(Exception):
    """The process dies here: nothing of the transaction stays."""


def at_once(*tasks: Callable[[], Any]) -> None:
    """Run the tasks in threads that start together; raise what they raise."""
    barrier = threading.Barrier(len(tasks))
    errors: list[BaseException] = []

    def run(task: Callable[[], Any]) -> None:
        try:
            barrier.wait(5)
            task()
        except BaseException as error:
            errors.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=[task]) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    if errors:
        raise errors[0]


def somebody_waits() -> bool:
    """Whether anybody waits for what a transaction that still runs has written."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted")
        return cursor.fetchone() == (1,)


def sweep(story: Story) -> None:
    evaluate(account_ids=None, now=story.now)


@pytest.fixture
def busy(a_story: Callable[..., Story]) -> Story:
    """Two workspaces that share 100 minutes, alerts with halves on both, and a limit."""
    story = a_story(
        workspaces=("atlas", "birch"), plan="starter", metric_key="phone", contacts=("a@x.example", "b@x.example")
    )
    story.alert(50, halves=True).at("birch").alert(40, halves=True)
    return story.about("ai_resolutions").limit(2).at("atlas").limit(3).about("phone")


def told(story: Story) -> Counter[tuple[Any, ...]]:
    return Counter(Firing.objects.values_list("rule", "workspace__key", "metric__key", "level", "threshold"))


def test_many_evaluators_at_once_tell_everything_once(busy: Story) -> None:
    busy.uses(55).at("birch").uses(45).about("ai_resolutions").uses(2).at("atlas").uses(3)
    at_once(*[lambda: sweep(busy) for _ in range(4)])
    assert set(told(busy).values()) == {1}
    assert len(told(busy)) == 3 + 3 + 3 + 2
    assert Notification.objects.count() == 5
    assert Delivery.objects.count() == 10


def test_an_evaluator_that_waits_for_one_that_dies_tells_instead(busy: Story) -> None:
    busy.uses(50)
    begun = threading.Event()

    def dies() -> None:
        with contextlib.suppress(Crash), transaction.atomic():
            evaluate(account_ids=[busy.account.pk], now=busy.now)
            begun.set()
            assert until(somebody_waits, seconds=5), "the other one never came to our firings"
            raise Crash

    def waits() -> None:
        assert begun.wait(5)
        evaluate(account_ids=[busy.account.pk], now=busy.now)

    at_once(dies, waits)
    assert told(busy)[("usage_alert", "atlas", "phone", 100, 3000)] == 1
    assert Delivery.objects.count() == 2


def test_usage_that_arrives_during_an_evaluation_is_not_marked_as_seen(
    busy: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy.uses(20)
    tell = evaluation.tell
    arrived: list[bool] = []

    def tell_while_usage_arrives(*args: Any, **kwargs: Any) -> Any:
        if not arrived:
            arrived.append(True)
            at_once(lambda: busy.uses(30))
        return tell(*args, **kwargs)

    monkeypatch.setattr(evaluation, "tell", tell_while_usage_arrives)
    done = evaluate(account_ids=[busy.account.pk], now=busy.now)
    assert done.unsettled == 0
    assert told(busy)[("usage_alert", "atlas", "phone", 100, 3000)] == 1


def test_an_alert_saved_during_an_evaluation_keeps_its_wake_up(busy: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    """The evaluation read the old levels; it must not mark the total with them."""
    busy.uses(10).evaluates().uses(1)
    tell = evaluation.tell
    saved: list[bool] = []

    def tell_while_somebody_saves(*args: Any, **kwargs: Any) -> Any:
        if not saved:
            saved.append(True)
            at_once(lambda: busy.alert(12))
        return tell(*args, **kwargs)

    monkeypatch.setattr(evaluation, "tell", tell_while_somebody_saves)
    evaluate(account_ids=[busy.account.pk], now=busy.now)
    total = busy.total()
    assert total is not None
    assert total.next_level == 12 * 60


numbers = itertools.count()
steps = st.lists(
    st.tuples(
        st.sampled_from(["use", "take back", "evaluate", "crash", "two at once", "alert", "limit", "recalculate"]),
        st.sampled_from(["atlas", "birch"]),
        st.integers(1, 30),
    ),
    min_size=4,
    max_size=14,
)


def play(story: Story, script: list[tuple[str, str, int]], *, is_calm: bool) -> None:
    """Run a script; calm = every look at the usage is one whole evaluation, without crashes and without a second
    one."""
    for what, where, amount in script:
        story.at(where).about("ai_resolutions" if what == "limit" else "phone")
        match what:
            case "use":
                story.uses(amount)
            case "take back" if any(seen[:2] == (where, "phone") for seen in story._events):
                story.takes_back()
            case "alert":
                story.alert(amount * 2, halves=amount % 2 == 0)
            case "limit":
                story.limit(amount % 5).uses(amount % 4 + 1)
            case "crash" if not is_calm:
                with contextlib.suppress(Crash), transaction.atomic():
                    sweep(story)
                    raise Crash
                sweep(story)
            case "two at once" if not is_calm:
                at_once(lambda: sweep(story), lambda: evaluate(account_ids=[story.account.pk], now=story.now))
            case "evaluate" | "crash" | "two at once":
                sweep(story)
            case "recalculate":
                sweep(story)
                if not is_calm:
                    story.recalculates()
    sweep(story)


@settings(
    max_examples=int(os.environ.get("HEADROOM_INTERLEAVINGS", "6")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=steps)
def test_any_interleaving_decides_what_a_single_evaluator_decides(
    a_story: Callable[..., Story], script: list[tuple[str, str, int]]
) -> None:
    outcomes = []
    for is_calm in (True, False):
        mark = next(numbers)
        places = (f"atlas-{mark}", f"birch-{mark}")
        story = a_story(key=f"k{mark}", workspaces=places, plan="starter", metric_key="phone")
        story.alert(50, halves=True)
        play(
            story,
            [(what, places[where == "birch"], amount) for what, where, amount in script],
            is_calm=is_calm,
        )
        rows = Firing.objects.filter(account=story.account)
        fired = {
            (row.rule, str(row.workspace.key)[:5] if row.workspace else "", row.metric_id, row.level, row.threshold)
            for row in rows.select_related("workspace")
        }
        assert len(fired) == rows.count()
        told = Notification.objects.filter(account=story.account).order_by("pk")
        lines = [
            (item.kind, str(item.workspace)[:5] if item.workspace else "", item.level, item.threshold) for item in told
        ]
        mails = Delivery.objects.filter(account=story.account).count()
        outcomes.append((fired, Counter(lines), mails))
    assert outcomes[0] == outcomes[1]


def test_two_senders_at_once_send_each_message_once(busy: Story, smtp_sink: SmtpSink) -> None:
    for _ in range(6):
        busy.uses(10).evaluates()
    expected = Delivery.objects.count()
    at_once(*[lambda: deliver_due(clock=lambda: busy.now) for _ in range(3)])
    assert len(smtp_sink.messages) == expected
    assert len({message["Message-ID"] for _, message in smtp_sink.messages}) == expected


def test_ingest_and_evaluation_at_once_never_lose_a_level(busy: Story) -> None:
    def streams(place: str) -> Callable[[], None]:
        def run() -> None:
            writer = Story.__new__(Story)
            writer.__dict__ |= busy.__dict__ | {"where": place, "_events": [], "_count": hash(place) % 10**9}
            for _ in range(25):
                writer.uses(1)

        return run

    def evaluates() -> None:
        for _ in range(8):
            sweep(busy)

    at_once(streams("atlas"), streams("birch"), evaluates, evaluates)
    sweep(busy)
    rows = told(busy)
    assert set(rows.values()) == {1}
    assert rows[("usage_alert", "atlas", "phone", 50, 3000)] == 1
    assert rows[("usage_alert", "birch", "phone", 50, 2400)] == 1
