"""The product's processes as an operator starts them: all of it by `bin/run`, or the jobs by `manage.py run_jobs`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

from config import devpg, processes
from tests import servers

PATIENCE = 60  # seconds: processes start slowly on a machine that is busy with other tests
ROOT = Path(__file__).resolve().parent.parent


def until(what: Callable[[], bool], *, seconds: float = PATIENCE) -> bool:
    """Wait until it is so; False when it is not in time."""
    deadline = time.monotonic() + seconds
    while not (done := what()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return done


# --- `manage.py run_jobs` on the database of the running test ---


@contextmanager
def running_jobs(var: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """The watch and its cluster, ended as a whole afterwards."""
    settled = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": servers.database_url(),
        "HEADROOM_VAR": str(var),
        "SECRET_KEY": "tests-only",
        "LOG_LEVEL": "CRITICAL",
    }
    command = [sys.executable, str(ROOT / "manage.py"), "run_jobs", *options]
    watch = subprocess.Popen(command, env={**os.environ, **settled, **environment})
    try:
        yield watch
    finally:
        watch.terminate()
        watch.wait(30)
        processes.end_leftovers(mark(var))
        connection.ensure_connection()


def mark(var: Path) -> str:
    """What the processes of that folder's first cluster carry in their environment."""
    return f"{var.resolve()}:jobs-1"


def members(var: Path) -> list[int]:
    """The cluster's processes: parent, sentinel, workers, monitor, pusher, in the order of their start."""
    return sorted(processes.carrying(mark(var)))


# --- All of it: `bin/run` with a database of its own ---


class Run:
    """Use it as a context: everything is ended at its end, also what survived a kill."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.var = folder.resolve() / "var"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        kept = {
            name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "SECRET_KEY", "BASE_URL"}
        }
        own = {"PORT": str(self.port), "HEADROOM_VAR": str(self.var), "HEADROOM_DEMO": "0", "LOG_LEVEL": "CRITICAL"}
        small = {"WEB_WORKERS": "1", "JOB_WORKERS": "1", "DJANGO_SETTINGS_MODULE": "config.settings"}
        self.environment = kept | own | small | environment
        self.output = folder / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Run:
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [ROOT / "bin/run"], env=self.environment, stdout=file, stderr=file, start_new_session=True
            )
        assert until(lambda: "Headroom runs at" in self.said, seconds=90), self.said
        return self

    def __exit__(self, *error: object) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(40)
        devpg.stop(self.var)

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/admin/login/", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False

    def manage(self, *arguments: str) -> str:
        """What `manage.py` prints with these arguments, without the newline at its end. AssertionError when it
        fails."""
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def marked(self, name: str) -> list[int]:
        return sorted(processes.carrying(f"{self.var}:{name}"))

    def postmaster(self) -> int:
        return int((self.var / "pg/data/postmaster.pid").read_text().split()[0])

    def supervisor(self) -> int:
        assert self.process is not None
        return int(subprocess.check_output(["pgrep", "-P", str(self.process.pid)], text=True).split()[0])

    def everything(self) -> list[int]:
        return [pid for name in ("web", "jobs", "jobs-1") for pid in self.marked(name)]
