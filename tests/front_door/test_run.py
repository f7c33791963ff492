"""`bin/run`, as a newcomer calls it (spec 10.1): one command starts everything, heals it, and ends it."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import devpg
from tests.processes import Run, until

pytestmark = [pytest.mark.faults, pytest.mark.slow]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    with Run(tmp_path) as running:
        yield running


def test_it_starts_heals_and_ends_as_a_whole(run: Run) -> None:
    assert run.answers()
    assert f"http://localhost:{run.port}" in run.said

    for victim in (run.postmaster(), run.marked("web")[0], run.marked("jobs")[0]):
        os.kill(victim, signal.SIGKILL)
    assert until(lambda: run.answers() and len(run.marked("jobs")) == 1), run.said

    os.kill(run.supervisor(), signal.SIGKILL)
    assert until(lambda: "The supervisor was killed" in run.said)
    assert until(lambda: run.answers() and len(run.marked("jobs")) == 1), run.said

    assert run.process is not None
    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(30) == 0
    assert run.everything() == []
    assert not devpg.is_running(run.var)
