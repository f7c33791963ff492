"""The embedded PostgreSQL (spec 8.1): private, started once, back after kill -9."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config import devpg


@pytest.fixture(scope="module")
def var(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("var")
    devpg.start(folder, fast=True)
    yield folder
    devpg.stop(folder)


def ask(var: Path, query: str) -> object:
    with psycopg.connect(devpg.url(var), autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def data_folder(var: Path) -> Path:
    return Path(str(ask(var, "SELECT setting FROM pg_settings WHERE name = 'data_directory'")))


def postmaster(var: Path) -> int:
    return int((data_folder(var) / "postmaster.pid").read_text().split()[0])


def test_only_its_owner_may_enter_and_it_listens_on_no_port(var: Path) -> None:
    assert stat.S_IMODE((var / "pg").stat().st_mode) == 0o700
    assert ask(var, "SELECT setting FROM pg_settings WHERE name = 'listen_addresses'") == ""
    assert str(ask(var, "SELECT version()")).startswith("PostgreSQL 18")


def test_a_second_start_finds_the_running_server(var: Path) -> None:
    first = postmaster(var)
    devpg.start(var)
    assert postmaster(var) == first


def test_starters_at_the_same_moment_do_not_race(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "config.devpg", "start", str(tmp_path), "--fast"]
    starters = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    try:
        assert [starter.wait(60) for starter in starters] == [0, 0, 0]
        assert ask(tmp_path, "SELECT 1") == 1
    finally:
        devpg.stop(tmp_path)


@pytest.mark.faults
def test_what_was_committed_survives_kill_9(var: Path) -> None:
    devpg.stop(var)
    devpg.start(var)
    ask(var, "CREATE TABLE IF NOT EXISTS kept (n int)")
    for _ in range(2):
        ask(var, "INSERT INTO kept VALUES (1)")
        os.kill(postmaster(var), signal.SIGKILL)
        devpg.start(var)
    assert ask(var, "SELECT count(*) FROM kept") == 2


@pytest.mark.faults
def test_a_pid_file_whose_number_belongs_to_a_stranger_does_not_keep_it_down(var: Path) -> None:
    data = data_folder(var)
    devpg.stop(var)
    assert not devpg.is_running(var)
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n")
    assert not devpg.is_running(var)
    devpg.start(var, fast=True)
    assert ask(var, "SELECT 1") == 1


def test_the_last_borrower_stops_it(var: Path) -> None:
    devpg.stop(var)
    with devpg.borrowed(var):
        with devpg.borrowed(var):
            assert ask(var, "SELECT 1") == 1
        assert devpg.is_running(var)
    assert not devpg.is_running(var)
    devpg.start(var, fast=True)


def test_a_folder_with_a_long_or_odd_name_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    for name in ("x" * 100, "with a blank, and more"):
        address = devpg.url(tmp_path / name)
        assert len(address) < 120
        assert str(tmp_path) not in address


def test_a_socket_folder_that_somebody_else_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "theirs"
    elsewhere.mkdir()
    (tmp_path / "pg").symlink_to(elsewhere)
    with pytest.raises(devpg.DevpgError, match="belongs to somebody else"):
        devpg.start(tmp_path)
