"""Runs all of Headroom on one machine: `python -m config.supervise`, usually through bin/run (spec 10.1).

Starts the embedded PostgreSQL (unless DATABASE_URL is set), the web server and the jobs, and starts again whatever of
them dies. Ends all of it on SIGTERM or Ctrl-C. Standard library only: it must not fall over with what it watches.
"""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from config import devpg, processes

ROOT = Path(__file__).resolve().parent.parent
LOGINS = (
    ("admin@demo.example", "operator: Django admin at /admin/"),
    ("ada@demo.example", "teammate with all permissions"),
    ("cleo@demo.example", "may manage usage alerts only"),
    ("ben@demo.example", "no permission: reads only"),
)


@dataclass(slots=True)
class Service:
    """A child that has to run. After a death it starts again at once, then ever later, up to `slowest` seconds."""

    name: str
    command: list[str]
    mark: str
    patience: float  # seconds to end in an orderly way
    slowest: float = 8
    child: subprocess.Popen[bytes] | None = None
    started_at: float = 0
    deaths: int = 0
    not_before: float = field(default=0)

    def watch(self) -> None:
        now = time.monotonic()
        if self.child is not None and self.child.poll() is None:
            if self.deaths and now - self.started_at > 30:
                self.deaths = 0
            return
        if self.child is not None:
            say(f"{self.name} ended ({self.child.returncode}); starting it again")
            processes.stop(self.child, patience=0)
            self.child = None
            self.not_before = now + (min(self.slowest, 2.0 ** (self.deaths - 1)) if self.deaths else 0)
            self.deaths += 1
        if now >= self.not_before:
            self.child = processes.start(self.command, mark=self.mark)
            self.started_at = now


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def services(var: Path, host: str, port: int) -> list[Service]:
    folder = Path(sys.executable).parent
    cores = min(4, max(2, os.cpu_count() or 2))
    web = [str(folder / "granian"), "--interface", "wsgi", "--host", host, "--port", str(port), "--no-ws"]
    web += ["--workers", os.environ.get("WEB_WORKERS", str(cores))]
    web += ["--blocking-threads", os.environ.get("WEB_THREADS", "4"), "--blocking-threads-idle-timeout", "600"]
    web += ["--respawn-failed-workers", "--respawn-interval", "0.5", "--workers-kill-timeout", "8"]
    web += ["--log-level", "warning", "config.wsgi:application"]
    jobs = [sys.executable, str(ROOT / "manage.py"), "run_jobs"]
    return [
        Service("web", web, mark=f"{var}:web", patience=10),
        Service("jobs", jobs, mark=f"{var}:jobs", patience=25),
    ]


def prepare() -> None:
    """Migrations, static files, the demo. Raises SystemExit with the command's own code."""
    command = [sys.executable, str(ROOT / "manage.py"), "prepare"]
    if os.environ.get("HEADROOM_DEMO", "1") != "0":
        command.append("--demo")
    code = subprocess.run(command, check=False).returncode
    if code:
        raise SystemExit(code)


def run(var: Path, *, is_restart: bool, alarm: processes.Alarm) -> None:
    """Start everything and watch it until the alarm rings. `is_restart`: after our own death; nothing to prepare."""
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000"))
    is_embedded = not os.environ.get("DATABASE_URL")
    children = services(var, host, port)
    for service in children:
        processes.end_leftovers(service.mark)
    require_free(host, port)
    with devpg.borrowed(var) if is_embedded else contextlib.nullcontext():
        if not is_restart:
            prepare()
        is_announced = is_restart
        try:
            while not alarm.rang:
                if is_embedded and not devpg.is_running(var):
                    say("PostgreSQL ended; starting it again")
                    with contextlib.suppress(devpg.DevpgError):
                        devpg.start(var)
                for service in children:
                    service.watch()
                if not is_announced and answers(host, port):
                    announce(port)
                    is_announced = True
                alarm.sleep(0.3)
        finally:
            end(children)


def end(children: list[Service]) -> None:
    """Ask all of them to end, then wait for each as long as it may need."""
    running = [service.child for service in children if service.child is not None]
    for child in running:
        with contextlib.suppress(ProcessLookupError):
            child.terminate()
    for service in children:
        if service.child is not None:
            processes.stop(service.child, patience=service.patience)


def require_free(host: str, port: int) -> None:
    """Raises SystemExit when somebody else listens on the port; one of ours that is just ending gets a moment."""
    deadline = time.monotonic() + 3
    while True:
        try:
            with socket.create_server((host, port)):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"Port {port} cannot be used: {error.strerror}. Try PORT=8001 bin/run") from None
        time.sleep(0.1)


def answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def announce(port: int) -> None:
    address = os.environ.get("BASE_URL", f"http://localhost:{port}")
    lines = ["", f"Headroom runs at {address}", ""]
    if os.environ.get("HEADROOM_DEMO", "1") != "0":
        lines += ["Demo logins, password “headroom”:", *(f"  {email:<20} {what}" for email, what in LOGINS), ""]
    else:
        # The command must meet the same database; an address with a password is not for the terminal.
        var, server = os.environ.get("HEADROOM_VAR"), os.environ.get("DATABASE_URL")
        where = "in a second terminal, with the same DATABASE_URL," if server else "in a second terminal"
        folder = f"HEADROOM_VAR={shlex.quote(var)} " if var else ""
        lines += [
            f"Make the first login {where} by",
            f"  {folder}.venv/bin/python manage.py createsuperuser",
            f"and begin at {address}/admin/first-steps/",
            "",
        ]
    print("\n".join([*lines, "Ctrl-C stops everything."]), flush=True)


def main(arguments: list[str]) -> int:
    processes.die_with_parent()
    os.chdir(ROOT)
    alarm = processes.Alarm()
    var = Path(os.environ.get("HEADROOM_VAR", ROOT / "var")).expanduser().resolve()
    os.environ["HEADROOM_VAR"] = str(var)
    for attempt in range(60):
        with processes.only_one(var / "supervisor.lock") as is_alone:
            if is_alone:
                try:
                    run(var, is_restart="--restart" in arguments, alarm=alarm)
                except devpg.DevpgError as error:
                    say(str(error))
                    return 1
                return 0
        if attempt == 0:
            say(f"Waiting for the Headroom that still uses {var} to end…")
        if alarm.sleep(0.5):
            return 0
    say(f"Headroom runs already with {var}. Another one needs its own: HEADROOM_VAR=… PORT=… bin/run")
    return 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
