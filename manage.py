#!/usr/bin/env python
"""Headroom's commands: `manage.py help` lists them."""

import os
import sys
from pathlib import Path


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    # A person who runs a command waits for it; the limit of a web request would cut long ones short.
    os.environ.setdefault("DB_STATEMENT_TIMEOUT", "0")
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        python = Path(__file__).resolve().parent / ".venv/bin/python"
        if python.exists() and Path(sys.prefix).resolve() != python.parent.parent:
            os.execv(python, [str(python), *sys.argv])  # noqa: S606 - no shell is wanted
        raise SystemExit("Django is not installed here: run bin/setup first.") from None
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
