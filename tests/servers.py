"""The product's own web server in a process of its own, on the database of the running test: for tests that kill it,
cut its connections, or talk to it with other people's clients."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlencode

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent
STARTS_WITHIN = 30  # seconds


def database_url() -> str:
    """The address of the database that the running test uses, for other processes."""
    values = connection.settings_dict
    host = {name.lower(): str(values[name]) for name in ("HOST", "PORT") if values[name]}
    user = quote(str(values["USER"]), safe="")
    password = f":{quote(str(values['PASSWORD']), safe='')}" if values["PASSWORD"] else ""
    return f"postgres://{user}{password}@/{quote(str(values['NAME']), safe='')}?{urlencode(host)}"


class Server:
    """Use it as a context: `with Server(FAULT_POINT="ingest.after_insert") as server: server.post(...)`."""

    def __init__(self, *, workers: int = 1, **environment: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.workers = workers
        self.environment = os.environ | {
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "HEADROOM_VAR": str(settings.VAR),
            "LOG_LEVEL": "ERROR",
        }
        self.environment |= environment
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        granian = [str(Path(sys.executable).parent / "granian"), "--interface", "wsgi", "--no-ws"]
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", str(self.workers)]
        self.process = subprocess.Popen(
            [*granian, *where, "--blocking-threads", "4", "--log-level", "critical", "config.wsgi:application"],
            env=self.environment,
            cwd=ROOT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + STARTS_WITHIN
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    self.stop()
                    raise
                time.sleep(0.05)

    def __exit__(self, *error: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """End the server and everything it started, at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def post(self, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any]:
        """(status, decoded body or None). Raises OSError or http.client.HTTPException when the server dies over it."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            client.request("POST", path, body if isinstance(body, bytes) else json.dumps(body), headers)
            response = client.getresponse()
            answer = response.read()
            return response.status, json.loads(answer) if answer else None
        finally:
            client.close()
