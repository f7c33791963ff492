"""Stories for tests about alerts."""

from collections.abc import Callable

import pytest

from tests.alerts.timeline import Story


@pytest.fixture
def story(db: None) -> Story:
    """An account with one workspace, one billing contact and no plan; it is about WhatsApp messages."""
    return Story()


@pytest.fixture
def a_story(db: None) -> Callable[..., Story]:
    """Makes stories with other people and plans."""
    return Story
