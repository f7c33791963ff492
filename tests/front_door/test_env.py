"""The environment readers (spec 10.1, 10.6)."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import environ
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import EmailMessage

from config.env import base_url, database, issuer, mailers, number, secret_key
from tests.smtp import SmtpSink


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> environ.Env:
    for name in [*os.environ]:
        if name.startswith("ISSUER_") or name in {"SECRET_KEY", "BASE_URL", "PORT"}:
            monkeypatch.delenv(name)
    return environ.Env()


def test_the_secret_key_is_made_once_and_only_its_owner_reads_it(env: environ.Env, tmp_path: Path) -> None:
    key = secret_key(env, tmp_path)
    assert len(key) >= 50
    assert secret_key(env, tmp_path) == key
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_processes_that_start_together_agree_on_the_secret_key(env: environ.Env, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: secret_key(env, tmp_path), range(32)))) == 1


def test_a_secret_key_of_the_environment_wins(
    env: environ.Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "from outside")
    assert secret_key(env, tmp_path) == "from outside"
    assert not list(tmp_path.iterdir())


def read_database(url: str) -> dict[str, Any]:
    return database(url, statement_timeout=30, lock_timeout=0, idle_timeout=60)


def test_a_database_address_may_name_a_host_or_a_socket_folder() -> None:
    far = read_database("postgres://ann:p%40ss@db.example:6432/usage?sslmode=require")
    assert (far["HOST"], far["PORT"], far["USER"], far["PASSWORD"]) == ("db.example", "6432", "ann", "p@ss")
    assert far["OPTIONS"]["sslmode"] == "require"
    near = read_database("postgres://headroom@/headroom?host=/tmp/some/run")
    assert (near["HOST"], near["NAME"]) == ("/tmp/some/run", "headroom")


def test_timeouts_are_set_when_connecting_and_zero_means_none() -> None:
    options = read_database("postgres://a@b/c")["OPTIONS"]["options"]
    assert "statement_timeout=30s" in options
    assert "idle_in_transaction_session_timeout=60s" in options
    assert "lock_timeout" not in options


@pytest.mark.parametrize("url", ["sqlite:///x.db", "mysql://a@b/c", "postgres://a@b", "nonsense"])
def test_anything_but_a_postgresql_database_is_refused_by_name(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="DATABASE_URL"):
        read_database(url)


def test_mail_goes_to_files_unless_an_address_is_given(tmp_path: Path) -> None:
    mailer = mailers("", tmp_path)["default"]
    assert mailer["BACKEND"].endswith("filebased.EmailBackend")
    assert mailer["OPTIONS"] == {"file_path": tmp_path / "mail"}


def test_a_mail_address_carries_credentials_port_and_encryption(tmp_path: Path) -> None:
    options = mailers("smtp+tls://ann%40a.example:s%3Acret@mail.example", tmp_path)["default"]["OPTIONS"]
    assert (options["host"], options["port"], options["use_tls"], options["use_ssl"]) == (
        "mail.example",
        587,
        True,
        False,
    )
    assert (options["username"], options["password"]) == ("ann@a.example", "s:cret")
    assert mailers("smtp+ssl://mail.example", tmp_path)["default"]["OPTIONS"]["port"] == 465


@pytest.mark.parametrize("url", ["pop3://x", "smtp://", "smtp://host:port", "file://", "mail.example:25"])
def test_a_wrong_mail_address_is_refused_by_name(url: str, tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL"):
        mailers(url, tmp_path)


def test_mail_really_arrives_over_smtp(smtp_sink: SmtpSink) -> None:
    EmailMessage("Subject — ü", "Hello", "a@demo.example", ["b@demo.example"]).send()
    [(recipient, message)] = smtp_sink.wait_for(1)
    assert recipient == "b@demo.example"
    assert message["Subject"] == "Subject — ü"


def test_the_address_people_use_has_no_slash_at_its_end(env: environ.Env, monkeypatch: pytest.MonkeyPatch) -> None:
    assert base_url(env) == "http://localhost:8000"
    monkeypatch.setenv("BASE_URL", "https://headroom.example/")
    assert base_url(env) == "https://headroom.example"
    monkeypatch.setenv("BASE_URL", "headroom.example")
    with pytest.raises(ImproperlyConfigured, match="BASE_URL"):
        base_url(env)


@pytest.mark.parametrize("text", ["-1", "1.5", "many", "", "²"])
def test_a_number_that_is_none_is_refused_by_name(env: environ.Env, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("JOB_WORKERS", text)
    with pytest.raises(ImproperlyConfigured, match="JOB_WORKERS"):
        number(env, "JOB_WORKERS", 2)


def test_the_issuer_comes_from_the_environment(env: environ.Env, monkeypatch: pytest.MonkeyPatch) -> None:
    assert issuer(env)["country"] == "IE"
    monkeypatch.setenv("ISSUER_NAME", "Muster GmbH")
    monkeypatch.setenv("ISSUER_ADDRESS", "Weg 1| Hinterhaus ")
    monkeypatch.setenv("ISSUER_COUNTRY", "de")
    given = issuer(env)
    assert (given["name"], given["address_lines"], given["country"]) == ("Muster GmbH", ["Weg 1", "Hinterhaus"], "DE")
    monkeypatch.setenv("ISSUER_COUNTRY", "Germany")
    with pytest.raises(ImproperlyConfigured, match="ISSUER_COUNTRY"):
        issuer(env)
