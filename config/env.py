"""Readers of environment variables. Every error names the variable, so that an operator can mend it.

Imports nothing of ours.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

SMTP_TIMEOUT = 10  # seconds: far below a job's own time limit, so that a silent mail server never gets a worker killed


def secret_key(env: environ.Env, var: Path) -> str:
    """SECRET_KEY of the environment, or one that is made once and kept in `var/secret_key` (mode 0600).

    Two processes that start at the same moment end with the same key: the file is linked into place complete, and
    the first one wins.
    """
    given = str(env("SECRET_KEY", default=""))
    if given:
        return given
    path = var / "secret_key"
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        pass
    private_folder(var)
    draft = var / f".secret_key.{os.getpid()}.{secrets.token_hex(4)}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(50))
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text().strip()


def private_folder(path: Path) -> Path:
    """Make the folder readable by its owner alone if it does not exist yet; an existing one keeps its mode."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def database(url: str, *, statement_timeout: int, lock_timeout: int, idle_timeout: int) -> dict[str, Any]:
    """Django's settings for a PostgreSQL address. Timeouts in seconds, 0 = none; they are set when connecting.

    `postgres://user:password@host:5432/name?sslmode=require`, or a folder with a socket:
    `postgres://user@/name?host=/run/postgresql`. Raises ImproperlyConfigured for anything but PostgreSQL.
    """
    if not url.startswith(("postgres://", "postgresql://")):
        raise ImproperlyConfigured("DATABASE_URL must begin with postgres:// (PostgreSQL is the one database).")
    settings: dict[str, Any] = environ.Env.db_url_config(url)
    options: dict[str, Any] = settings.setdefault("OPTIONS", {})
    if "host" in options:
        settings["HOST"] = options.pop("host")
    if "port" in options:
        settings["PORT"] = options.pop("port")
    settings["PORT"] = str(settings["PORT"])
    if not settings.get("NAME"):
        raise ImproperlyConfigured("DATABASE_URL names no database: postgres://user@host/NAME")
    limits = {
        "statement_timeout": statement_timeout,
        "lock_timeout": lock_timeout,
        "idle_in_transaction_session_timeout": idle_timeout,
    }
    flags = [f"-c {name}={seconds}s" for name, seconds in limits.items() if seconds]
    options["options"] = " ".join([*filter(None, [options.get("options", "")]), *flags])
    options.setdefault("connect_timeout", 5)
    options.setdefault("application_name", "headroom")
    settings["ENGINE"] = "django.db.backends.postgresql"
    return settings


def mailers(url: str, var: Path) -> dict[str, dict[str, Any]]:
    """Django's MAILERS for EMAIL_URL (spec 10.6).

    `""`: each message becomes a file under `var/mail`. `file:///folder`, `console:`, `memory:`,
    `smtp://user:password@host:587` (plain), `smtp+tls://…` (STARTTLS), `smtp+ssl://…`. Raises ImproperlyConfigured.
    """
    backend = "django.core.mail.backends."
    parts = urlsplit(url)
    match parts.scheme:
        case "" if not url:
            return {"default": {"BACKEND": backend + "filebased.EmailBackend", "OPTIONS": {"file_path": var / "mail"}}}
        case "file" if parts.path:
            return {"default": {"BACKEND": backend + "filebased.EmailBackend", "OPTIONS": {"file_path": parts.path}}}
        case "console":
            return {"default": {"BACKEND": backend + "console.EmailBackend"}}
        case "memory":
            return {"default": {"BACKEND": backend + "locmem.EmailBackend"}}
        case "smtp" | "smtp+tls" | "smtp+ssl" if parts.hostname:
            try:
                port = parts.port or {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}[parts.scheme]
                timeout = int(parse_qs(parts.query).get("timeout", [str(SMTP_TIMEOUT)])[0])
            except ValueError as error:
                raise ImproperlyConfigured(f"EMAIL_URL: {error}") from None
            options: dict[str, Any] = {
                "host": parts.hostname,
                "port": port,
                "timeout": timeout,
                "use_tls": parts.scheme == "smtp+tls",
                "use_ssl": parts.scheme == "smtp+ssl",
            }
            if parts.username:
                options |= {"username": unquote(parts.username), "password": unquote(parts.password or "")}
            return {"default": {"BACKEND": backend + "smtp.EmailBackend", "OPTIONS": options}}
    raise ImproperlyConfigured("EMAIL_URL: expected smtp://, smtp+tls://, smtp+ssl://, file:///folder, or console:")


def base_url(env: environ.Env) -> str:
    """The address under which people reach Headroom, without a slash at the end. Raises ImproperlyConfigured."""
    url = str(env("BASE_URL", default=f"http://localhost:{env('PORT', default='8000')}")).rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ImproperlyConfigured("BASE_URL must look like https://headroom.example.com")
    return url


def number(env: environ.Env, name: str, default: int) -> int:
    """A whole number >= 0. Raises ImproperlyConfigured naming the variable."""
    text = str(env(name, default=str(default))).strip()
    if not (text.isascii() and text.isdigit()):
        raise ImproperlyConfigured(f"{name} must be a whole number of at least 0, not {text!r}")
    return int(text)


DEMO_ISSUER: Mapping[str, str] = {
    "KEY": "headroom",  # names the number series: keep it
    "NUMBER_PREFIX": "",
    "NAME": "Headroom Demo Ltd",
    "ADDRESS": "1 Sample Quay",
    "POSTAL_CODE": "D02 X285",
    "CITY": "Dublin",
    "COUNTRY": "IE",
    "VAT_ID": "IE6388047V",
    "EMAIL": "billing@headroom.example",
    "IBAN": "IE64IRCE92050112345678",
    "BIC": "IRCEIE2D",
}


def issuer(env: environ.Env) -> dict[str, Any]:
    """Who issues the invoices, from ISSUER_NAME, ISSUER_ADDRESS (lines parted by `|`), ISSUER_POSTAL_CODE and so on."""
    values = {key.lower(): str(env(f"ISSUER_{key}", default=default)) for key, default in DEMO_ISSUER.items()}
    lines = [line.strip() for line in values.pop("address").split("|") if line.strip()]
    if len(values["country"]) != 2 or not values["country"].isalpha():
        raise ImproperlyConfigured("ISSUER_COUNTRY must be a two-letter country code such as IE")
    return {**values, "country": values["country"].upper(), "address_lines": lines}
