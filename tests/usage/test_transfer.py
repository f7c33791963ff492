"""Usage in and out as CSV (spec 2.12)."""

from __future__ import annotations

import csv
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.factories import BY, NOON, make_account, use, workspace
from tests.usage.test_consume import broken, total
from usage.clocks import system_clock
from usage.csv_text import cell, csv_lines, text_of
from usage.models import Account, UsageEvent, UsageTotal
from usage.services.corrections import void_event
from usage.services.transfer import HEADER

GOOD = """id,workspace,metric,time,quantity
a,atlas,sms,2026-06-15T12:00:00Z,2.5
b,atlas,phone,2026-06-15T12:00:00+02:00,1.5
c,birch,ai_resolutions,2026-06-15T12:00:00Z,
d,atlas,seats,2026-06-15T12:00:00Z,4
e,atlas,chat,2026-06-15T12:00:00Z,
"""


@pytest.fixture
def account(db: None) -> Account:
    return make_account(workspaces=["atlas", "birch"])


@pytest.fixture
def run(tmp_path: Path, account: Account) -> Any:
    def run(text: str | bytes, **options: Any) -> tuple[str, int]:
        file = tmp_path / "usage.csv"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        out = StringIO()
        try:
            call_command("import_events", str(file), stdout=out, stderr=StringIO(), **options)
        except SystemExit as stop:
            return out.getvalue(), int(str(stop.code))
        return out.getvalue(), 0

    return run


def refusals(output: str) -> list[dict[str, str]]:
    lines = output.splitlines()
    return list(csv.DictReader(lines[:-1]))


def test_rows_become_events_in_display_units(run: Any) -> None:
    assert run(GOOD) == ("5 accepted, 0 duplicate, 0 refused\n", 0)
    assert (total("sms").quantity, total("phone").quantity, total("chat").quantity) == (Decimal("2.5"), 90, 1)
    assert UsageTotal.objects.get(workspace=workspace("birch")).quantity == 1
    assert UsageEvent.objects.get(event_id="a").source == "urn:import"
    assert broken() == []


def test_a_file_imported_again_counts_nothing_twice(run: Any) -> None:
    first_rows = "".join(GOOD.splitlines(keepends=True)[:3])
    assert run(first_rows)[0].startswith("2 accepted")
    assert run(GOOD)[0] == "3 accepted, 2 duplicate, 0 refused\n"
    assert run(GOOD)[0] == "0 accepted, 5 duplicate, 0 refused\n"


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        "\ufeff" + GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\n\n"),
        GOOD.replace("id,workspace", " ID ,Workspace"),
        GOOD.rstrip("\n"),
    ],
)
def test_the_usual_ways_of_writing_csv_are_understood(run: Any, text: str) -> None:
    assert run(text) == ("5 accepted, 0 duplicate, 0 refused\n", 0)


def test_each_refused_row_is_named_with_its_line_and_column(run: Any) -> None:
    rows = [
        "id,workspace,metric,time,quantity,source",
        "a,atlas,sms,2026-06-15T12:00:00Z,1,",
        "b,nowhere,sms,2026-06-15T12:00:00Z,1,",
        "c,atlas,nothing,2026-06-15T12:00:00Z,1,",
        "d,atlas,sms,yesterday,1,",
        "e,atlas,sms,2026-06-15T12:00:00Z,minus one,",
        "f,atlas,sms,2026-06-15T12:00:00Z,-1,",
        "g,atlas,conversations,2026-06-15T12:00:00Z,2,",
        "h,atlas,phone,2026-06-15T12:00:00Z,,",
        "i,atlas,seats,2026-06-15T12:00:00Z,,",
        "too,few",
        ",atlas,sms,2026-06-15T12:00:00Z,1,",
        "k,atlas,sms,2026-06-15T12:00:00Z,1,headroom:consume",
        "l,atlas,sms,2020-01-01T00:00:00Z,1,",
        "a,atlas,sms,2026-06-15T12:00:00Z,2,",
        "n,atlas,phone,0001-01-01T00:00:10Z,9999,",
        '"z\x00",atlas,sms,2026-06-15T12:00:00Z,1,',
        "ok,atlas,sms,2026-06-15T12:00:00Z,1,",
    ]
    output, code = run("\n".join(rows))
    assert code == 1
    assert output.splitlines()[-1] == "2 accepted, 0 duplicate, 15 refused"
    found = {int(row["line"]): (row["id"], row["code"], row["field"]) for row in refusals(output)}
    assert found == {
        3: ("b", "unknown_subject", "workspace"),
        4: ("c", "unknown_type", "metric"),
        5: ("d", "invalid_attribute", "time"),
        6: ("e", "invalid_data", "quantity"),
        7: ("f", "invalid_data", "quantity"),
        8: ("g", "invalid_data", "quantity"),
        9: ("h", "invalid_data", "quantity"),
        10: ("i", "invalid_data", "quantity"),
        11: ("", "unreadable_row", ""),
        12: ("", "invalid_attribute", "id"),
        13: ("k", "invalid_attribute", "source"),
        14: ("l", "before_first_period", "time"),
        15: ("a", "id_reused", "id"),
        16: ("n", "invalid_data", "quantity"),
        17: found[17],
    }
    assert broken() == []


def test_bytes_that_are_no_text_refuse_their_row_alone(run: Any) -> None:
    output, code = run(GOOD.encode().replace(b"a,atlas", b"\xff\xfe,atlas"))
    assert (code, output.splitlines()[-1]) == (1, "4 accepted, 0 duplicate, 1 refused")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "lacks"),
        ("a,b\n1,2\n", "Unknown column"),
        ("id,workspace,metric\n", "lacks the column “time”"),
        ("id,id,workspace,metric,time\n", "twice"),
    ],
)
def test_a_header_that_cannot_be_used_stops_the_import(run: Any, text: str, word: str) -> None:
    with pytest.raises(CommandError, match=word):
        run(text)
    assert not UsageEvent.objects.exists()


def test_a_missing_file_and_an_unknown_account_are_named(run: Any, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_events", str(tmp_path / "nothing.csv"))
    with pytest.raises(CommandError, match="no account"):
        run(GOOD, account="nothing")


def test_with_an_account_the_workspaces_of_others_do_not_exist(run: Any) -> None:
    make_account("other", workspaces=["other"])
    output, _ = run(GOOD.replace("birch", "other"), account="acme")
    assert [row["code"] for row in refusals(output)] == ["unknown_subject"]
    assert run(GOOD.replace("birch", "other"))[0].startswith("1 accepted, 4 duplicate")


def test_refused_rows_go_to_a_report_on_request(run: Any, tmp_path: Path) -> None:
    report = tmp_path / "report.csv"
    run(GOOD.replace("birch", "=cmd()"), report=str(report))
    assert "unknown_subject" in report.read_text()


def test_an_export_is_imported_as_the_same_usage(run: Any, account: Account) -> None:
    run(GOOD)
    use("sms", 3, at=NOON + timedelta(days=1))
    use("seats", 7, at=NOON + timedelta(days=1))
    void_event(account=account, source="urn:import", event_id="a", reason="", clock=system_clock, by=BY)
    text = exported(account)
    rows = list(csv.DictReader(text.splitlines()))
    assert tuple(rows[0]) == HEADER
    assert [row["quantity"] for row in rows if row["id"] == "a"] == ["2.5", "-2.5"]
    assert [row["correction"] for row in rows if row["id"] == "a"] == ["", "void"]
    make_account("copy", workspaces=["copy-atlas", "copy-birch"])
    moved = text.replace(",atlas,", ",copy-atlas,").replace(",birch,", ",copy-birch,")
    output, _ = run(moved)
    assert [row["field"] for row in refusals(output)] == ["correction"]
    copied = {
        row.event_id: row.quantity for row in UsageEvent.objects.filter(account_id=Account.objects.get(key="copy").pk)
    }
    originals = UsageEvent.objects.filter(account_id=account.pk, corrects=None)
    assert copied == {row.event_id: row.quantity for row in originals}


def exported(account: Account, **options: Any) -> str:
    out = StringIO()
    call_command("export_events", account=account.key, stdout=out, **options)
    return out.getvalue()


def test_an_export_can_be_narrowed(run: Any, account: Account) -> None:
    run(GOOD)
    assert len(exported(account).splitlines()) == 6
    assert [line.split(",")[1] for line in exported(account, workspace="birch").splitlines()[1:]] == ["c"]
    assert [line.split(",")[1] for line in exported(account, metric="sms").splitlines()[1:]] == ["a"]
    for wrong in ({"workspace": "nothing"}, {"metric": "nothing"}):
        with pytest.raises(CommandError):
            exported(account, **wrong)
    with pytest.raises(CommandError):
        call_command("export_events", account="nothing")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "＝", "'=", "''+"])
def test_a_text_that_looks_like_a_formula_is_made_harmless(start: str) -> None:
    written = cell(f"{start}1+1|cmd")
    assert written.startswith("'")
    assert next(csv_lines(["a"], [])) == "a\r\n"


def test_numbers_are_numbers() -> None:
    assert [cell(value) for value in (Decimal("-2.50"), Decimal("1E+3"), -1, None, NOON, NOON.date(), True)] == [
        "-2.5",
        "1000",
        "-1",
        "",
        "2026-06-15T12:00:00Z",
        "2026-06-15",
        "yes",
    ]


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_reading_gives_back_what_was_written(text: str) -> None:
    assert text_of(cell(text)) == text
