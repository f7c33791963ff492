"""`manage.py import_events FILE`: usage out of a CSV file, with a progress bar and a report on every row refused."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError

from config.arguments import account_with_key
from usage.csv_text import csv_lines
from usage.errors import HeadroomError
from usage.services.transfer import RefusedRow, import_events

_BAR = 30


class Command(BaseCommand):
    help = (
        "Import usage from CSV with the columns id, workspace, metric, time and, where wanted, source and quantity. "
        "Every row is an event with an identity: importing a file again counts nothing twice. "
        "Exits with 1 when rows were refused; they are listed as CSV."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", metavar="FILE")
        parser.add_argument("--account", metavar="KEY", help="only workspaces of this account")
        parser.add_argument("--source", default="urn:import", help="source of rows that name none (urn:import)")
        parser.add_argument("--report", metavar="FILE", help="write the refused rows there instead of here")

    def handle(self, *args: Any, **options: Any) -> None:
        account_id = account_with_key(options["account"]).pk if options["account"] else None
        accepted = duplicate = 0
        refused: list[RefusedRow] = []
        line = 1
        try:
            with Path(options["file"]).open("rb") as raw:
                size = os.fstat(raw.fileno()).st_size
                # Bytes that are no UTF-8 become half surrogates, which ingest refuses row by row.
                text = (part.decode("utf-8", "surrogateescape") for part in raw)
                for report in import_events(text, source=options["source"], account_id=account_id):
                    accepted += report.accepted
                    duplicate += report.duplicate
                    refused += report.refused
                    line = report.line
                    self._show_progress(raw.tell(), size, line)
        except OSError as error:
            raise CommandError(f"{options['file']}: {error.strerror}") from error
        except HeadroomError as error:
            raise CommandError(f"{options['file']}: {error.detail}") from error
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"Stopped after line {line}: {error}. Import the file again to go on.") from error
        finally:
            self._end_progress()
            self._report(refused, options["report"])
        self.stdout.write(f"{accepted} accepted, {duplicate} duplicate, {len(refused)} refused")
        if refused:
            raise SystemExit(1)

    def _show_progress(self, read: int, size: int, line: int) -> None:
        if self.stderr.isatty():
            share = min(1.0, read / size) if size else 1.0
            done = int(share * _BAR)
            self.stderr.write(f"\r[{'#' * done}{'.' * (_BAR - done)}] {share:4.0%} {line:,} lines", ending="")
            self.stderr.flush()

    def _end_progress(self) -> None:
        if self.stderr.isatty():
            self.stderr.write("")

    def _report(self, refused: list[RefusedRow], path: str | None) -> None:
        if not refused:
            return
        header = ("line", "id", "code", "field", "reason")
        rows = ((row.line, _printable(row.id), row.code, row.field, row.reason) for row in refused)
        lines = csv_lines(header, rows)
        if path:
            with Path(path).open("w", encoding="utf-8", newline="") as file:
                file.writelines(lines)
        else:
            for text in lines:
                self.stdout.write(text.rstrip("\r\n"))


def _printable(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "replace").decode()
