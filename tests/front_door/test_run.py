"""`bin/run`, as a newcomer calls it (spec 10.1): one command starts everything, heals it, and ends it."""

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config import devpg, processes

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.faults, pytest.mark.slow]


class Run:
    def __init__(self, folder: Path) -> None:
        self.var = folder.resolve() / "var"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        kept = {
            name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "SECRET_KEY", "BASE_URL"}
        }
        own = {"PORT": str(self.port), "HEADROOM_VAR": str(self.var), "HEADROOM_DEMO": "0", "LOG_LEVEL": "CRITICAL"}
        small = {"WEB_WORKERS": "1", "JOB_WORKERS": "1", "DJANGO_SETTINGS_MODULE": "config.settings"}
        self.environment = kept | own | small
        self.output = folder / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [ROOT / "bin/run"], env=self.environment, stdout=file, stderr=file, start_new_session=True
            )
        assert until(lambda: "Headroom runs at" in self.said, seconds=90), self.said

    @property
    def said(self) -> str:
        return self.output.read_text()

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/admin/login/", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def marked(self, name: str) -> list[int]:
        return sorted(processes.carrying(f"{self.var}:{name}"))

    def postmaster(self) -> int:
        return int((self.var / "pg/data/postmaster.pid").read_text().split()[0])

    def everything(self) -> list[int]:
        return [pid for name in ("web", "jobs", "jobs-1") for pid in self.marked(name)]


def until(what: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (done := what()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return done


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    run.start()
    yield run
    assert run.process is not None
    run.process.terminate()
    run.process.wait(40)
    devpg.stop(run.var)


def test_it_starts_heals_and_ends_as_a_whole(run: Run) -> None:
    assert run.answers()
    assert f"http://localhost:{run.port}" in run.said

    for victim in (run.postmaster(), run.marked("web")[0], run.marked("jobs")[0]):
        os.kill(victim, signal.SIGKILL)
    assert until(lambda: run.answers() and len(run.marked("jobs")) == 1, seconds=10), run.said

    assert run.process is not None
    first = subprocess.check_output(["pgrep", "-P", str(run.process.pid)], text=True).split()[0]
    os.kill(int(first), signal.SIGKILL)
    assert until(lambda: "The supervisor was killed" in run.said, seconds=5)
    assert until(lambda: run.answers() and len(run.marked("jobs")) == 1, seconds=15), run.said

    run.process.send_signal(signal.SIGTERM)
    assert run.process.wait(30) == 0
    assert run.everything() == []
    assert not devpg.is_running(run.var)
