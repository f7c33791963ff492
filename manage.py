#!/usr/bin/env python
"""Headroom's commands: `manage.py help` lists them."""

import contextlib
import os
import sys
from pathlib import Path

from config import devpg

ROOT = Path(__file__).resolve().parent
WITHOUT_DATABASE = {"check", "collectstatic", "help", "makemessages", "test", "version", "--help", "--version", "-h"}


def database() -> contextlib.AbstractContextManager[None]:
    """The embedded server for as long as the command runs, unless DATABASE_URL names another or nobody needs one."""
    from django.conf import settings

    if settings.DATABASE_URL or not sys.argv[1:] or sys.argv[1] in WITHOUT_DATABASE:
        return contextlib.nullcontext()
    return devpg.borrowed(settings.VAR)


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # A person who runs a command waits for it; the limit of a web request would cut long ones short.
    os.environ.setdefault("DB_STATEMENT_TIMEOUT", "0")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        python = ROOT / ".venv/bin/python"
        if python.exists() and Path(sys.prefix).resolve() != python.parent.parent:
            os.execv(python, [str(python), *sys.argv])  # noqa: S606 - no shell is wanted
        raise SystemExit("Django is not installed here: run bin/setup first.") from None
    try:
        with database():
            execute_from_command_line(sys.argv)
    except devpg.DevpgError as error:
        raise SystemExit(str(error)) from None
    except BrokenPipeError:  # whoever read it, head or less, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
