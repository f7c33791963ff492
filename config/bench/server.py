"""The product's web server as `bin/run` starts it, on the benchmark's database."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from django.conf import settings

from config import processes
from config.bench.measure import processes_of
from config.supervise import services

_STARTS_WITHIN: Final = 60


class WebServer:
    """Runs while its body does. Its database connections last as long, so that their CPU can be counted."""

    def __init__(self, database_url: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._environment = {
            "DATABASE_URL": database_url,
            "DJANGO_SETTINGS_MODULE": "config.bench.settings",
            "CONN_MAX_AGE": "1000000",
            "DB_IDLE_TIMEOUT": "0",
            "LOG_LEVEL": "ERROR",
        }
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        web = services(Path(settings.VAR), "127.0.0.1", self.port)[0]
        self._child = processes.start(web.command, mark=f"bench:{os.getpid()}", environment=self._environment)
        deadline = time.monotonic() + _STARTS_WITHIN
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return self
            except OSError:
                if time.monotonic() > deadline or self._child.poll() is not None:
                    processes.stop(self._child, patience=0)
                    raise
                time.sleep(0.05)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._child is not None:
            processes.stop(self._child, patience=5)

    @property
    def pids(self) -> list[int]:
        """The server's processes."""
        return processes_of(self._child.pid) if self._child is not None else []
