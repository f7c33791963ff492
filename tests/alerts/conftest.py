"""Stories for tests about alerts. However a story goes, the invariants hold at its end."""

from collections.abc import Callable, Iterator

import pytest

from alerts.invariants import CHECKS
from tests.alerts.timeline import Story


@pytest.fixture
def a_story(request: pytest.FixtureRequest) -> Iterator[Callable[..., Story]]:
    """Makes stories: accounts with workspaces, contacts and a plan of their own."""
    if "transactional_db" not in request.fixturenames:
        request.getfixturevalue("db")
    yield Story
    assert [line for check in CHECKS for line in check()] == []


@pytest.fixture
def story(a_story: Callable[..., Story]) -> Story:
    """An account with one workspace, one billing contact and no plan; it is about WhatsApp messages."""
    return a_story()
