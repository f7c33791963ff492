"""Random histories of one alert against a model in a few lines of Python (spec 3.1-3.6)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.levels import levels_of
from alerts.models import Firing
from tests.alerts.timeline import Story

pytestmark = pytest.mark.django_db

numbers = itertools.count()
steps = st.lists(
    st.one_of(
        st.tuples(st.just("use"), st.integers(1, 60)),
        st.tuples(st.just("take back"), st.just(0)),
        st.tuples(st.just("alert"), st.integers(1, 200)),
        st.tuples(st.just("alert with halves"), st.integers(1, 200)),
        st.tuples(st.just("off"), st.just(0)),
        st.tuples(st.just("look"), st.just(0)),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    min_size=5,
    max_size=20,
)


@dataclass
class Model:
    """What the sentences of the specification say, one alert at a time."""

    month: int = 6
    used: list[int] = field(default_factory=list)
    in_force: tuple[int, bool] | None = None
    baseline: int = 0
    scheduled: tuple[int, bool] | None = None
    fired: set[tuple[int, int, int]] = field(default_factory=set)

    def look(self) -> None:
        if self.in_force is None:
            return
        threshold, halves = self.in_force
        for percent, level in levels_of(Decimal(threshold), halves):
            if self.baseline < level <= sum(self.used):
                self.fired.add((self.month, threshold, percent))

    def set(self, wanted: tuple[int, bool] | None) -> None:
        self.look()
        self.scheduled = None
        if wanted is None:
            self.in_force = None
        elif wanted == self.in_force:
            pass
        elif wanted[0] > sum(self.used):
            self.in_force, self.baseline = wanted, sum(self.used)
        else:
            self.scheduled = wanted

    def turn(self) -> None:
        self.look()  # what was reached in time is told, also later
        self.month, self.used, self.baseline = self.month + 1, [], 0
        self.in_force, self.scheduled = self.scheduled or self.in_force, None


@settings(
    max_examples=int(os.environ.get("HEADROOM_HISTORIES", "25")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=steps)
def test_every_history_fires_what_the_model_says(a_story: Callable[..., Story], script: list[tuple[str, int]]) -> None:
    place = f"p{next(numbers)}"
    story, model = a_story(key=f"a-{place}", workspaces=(place,), contacts=()), Model()
    for what, amount in script:
        match what:
            case "use":
                story.uses(amount)
                model.used.append(amount)
            case "take back" if model.used:
                story.takes_back()
                model.used.pop()
            case "alert" | "alert with halves":
                story.alert(amount, halves=what != "alert")
                model.set((amount, what != "alert"))
            case "off":
                story.alert(None)
                model.set(None)
            case "look":
                story.evaluates()
                model.look()
            case "turn" if model.month < 12:
                story.on(2, month=model.month + 1)
                story._events.clear()
                model.turn()
    story.evaluates()
    model.look()
    rows = Firing.objects.filter(account=story.account)
    assert {(row.period.month, int(row.threshold), row.level) for row in rows} == model.fired
    assert rows.count() == len(model.fired)
