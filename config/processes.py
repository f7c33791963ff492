"""Child processes that never outlive their parent unnoticed, and can be found again when they did.

Every child gets a session of its own (so that Ctrl-C reaches only the one who decides), a mark in its environment, and
on Linux the kernel's promise to be told when its parent dies. Standard library only.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

MARK = "HEADROOM_MARK"
_PR_SET_PDEATHSIG = 1


def die_with_parent(number: int = signal.SIGTERM) -> None:
    """Ask the kernel to send this process `number` when its parent ends, however it ends. Linux only; else nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def start(
    command: Sequence[str], *, mark: str, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a child that carries `mark` and gets SIGTERM when this process dies."""
    return subprocess.Popen(
        [*command],
        env={**os.environ, **(environment or {}), MARK: mark},
        start_new_session=True,
        preexec_fn=die_with_parent,
    )


def stop(child: subprocess.Popen[bytes], *, patience: float) -> None:
    """SIGTERM, up to `patience` seconds, then SIGKILL for it and whatever it started."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def end_leftovers(mark: str) -> int:
    """SIGKILL every process that carries `mark`, and wait until they are gone; returns how many there were.

    Call it only when no parent of such processes can be alive, that is while holding the lock that goes with the mark.
    """
    ended = 0
    deadline = time.monotonic() + 5
    while (left := carrying(mark)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended = max(ended, len(left))
        time.sleep(0.02)
    return ended


def carrying(mark: str) -> list[int]:
    """The ids of all living processes that carry `mark`, this one left out (Linux; elsewhere none is found)."""
    wanted = os.fsencode(f"{MARK}={mark}")
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # A dead process that nobody has reaped yet shows an empty environment.
            if wanted in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


@contextlib.contextmanager
def only_one(path: Path) -> Iterator[bool]:
    """Hold the lock file while the body runs; False when somebody else does. The kernel frees it with its holder."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


class Alarm:
    """Remembers that somebody asked this process to end (SIGTERM, SIGINT, SIGHUP)."""

    def __init__(self) -> None:
        self.rang = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ring)

    def _ring(self, number: int, frame: object) -> None:
        self.rang = True

    def sleep(self, seconds: float) -> bool:
        """Wait; True as soon as the alarm rang."""
        deadline = time.monotonic() + seconds
        while not self.rang and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        return self.rang
