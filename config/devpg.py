"""The embedded PostgreSQL."""

from pathlib import Path

NAME = USER = "headroom"


def url(var: Path) -> str:
    return f"postgres://{USER}@/{NAME}?host={var / 'pg' / 'run'}"
