"""Whatever dies or races while periods are closed: every invoice once, numbers without gap, every unit billed once
(spec 5.6-5.10, 9 d-h).

`HEADROOM_INVOICES=500 bin/test tests/faults/test_closing_faults.py` closes as many accounts.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Sum

from alerts.jobs import deliver
from alerts.models import Delivery
from billing.invariants import CHECKS
from billing.jobs import render_documents
from billing.models import Invoice, InvoiceDocument, InvoiceLine
from billing.selectors.terms import terms_for
from billing.services.closing import close_account, close_period
from billing.services.contacts import add_contact
from billing.services.credits import cancel_and_reissue
from billing.services.subscriptions import start_subscription
from tests.billing.books import (
    JUNE,
    assert_every_line_adds_up,
    at,
    close,
    plan,
    profile,
    subscribed,
    unbilled,
)
from tests.factories import BY, make_account, use
from tests.processes import until
from tests.servers import ROOT, database_url
from tests.smtp import SmtpSink
from usage.clocks import system_clock
from usage.models import Account, Period, UsageTotal

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

KILLED = 137
ACCOUNTS = int(os.environ.get("HEADROOM_INVOICES", "12"))
TOGETHER = ACCOUNTS // 3


def start(*arguments: str, fault: str = "", mail: str = "") -> subprocess.Popen[bytes]:
    """A Python process of its own on the test's database, killed at the fault point."""
    environment = os.environ | {
        "DATABASE_URL": database_url(),
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "SECRET_KEY": "tests-only",
        "FAULT_POINT": fault,
        "EMAIL_URL": mail,
        "PYTHONPATH": str(ROOT),
    }
    quiet = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, *arguments], env=environment, cwd=ROOT, stdout=quiet, stderr=quiet)


def run(script: str, *, fault: str = "", mail: str = "") -> int:
    """The exit status of a process that runs `script`."""
    return start("-c", f"import django; django.setup()\n{script}", fault=fault, mail=mail).wait()


def sweep(*, fault: str = "") -> subprocess.Popen[bytes]:
    """A run over all accounts, a few of them in each transaction."""
    script = (
        "import django; django.setup(); from billing.services import closing; from django.core.management import *;"
        f"closing.TOGETHER = {TOGETHER}; call_command('close_periods', '--at', '2026-07-01T01:00:00Z')"
    )
    return start("-c", script, fault=fault)


def held_by_the_dead() -> bool:
    """Whether another connection is inside a transaction still: PostgreSQL has yet to notice whose process died."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'"
        )
        return bool(cursor.fetchone() != (0,))


def broken() -> list[str]:
    return [line for check in CHECKS for line in check()]


def many_accounts() -> None:
    for number in range(ACCOUNTS):
        subscribed("starter", key=f"a{number}", workspaces=(f"w{number}",))
    use("conversations", 275, workspace_key="w0")
    use("seats", 3, workspace_key="w1", at=JUNE)


def test_a_run_that_is_killed_at_any_step_is_finished_by_the_next_one() -> None:
    many_accounts()
    issued = 0
    for point, more in (
        ("closing.after_lock", 0),
        ("closing.after_lines:2", TOGETHER),
        ("closing.after_number", 0),
        ("closing.before_commit:2", TOGETHER),
    ):
        assert sweep(fault=point).wait() == KILLED
        issued += more
        # What was committed stands with its numbers; of the rest there is no trace.
        assert Invoice.objects.count() == InvoiceLine.objects.values("invoice").distinct().count() == issued
        assert broken() == []
    assert sweep().wait() == 0
    numbers = Invoice.objects.order_by("sequence").values_list("sequence", flat=True)
    assert list(numbers) == list(range(1, ACCOUNTS + 1))
    assert Invoice.objects.values("account").distinct().count() == ACCOUNTS
    assert broken() == []


def test_every_document_and_mail_is_there_whoever_died_while_making_and_sending_them(smtp_sink: SmtpSink) -> None:
    many_accounts()
    for account in Account.objects.all():
        add_contact(account=account, email=f"{account.key}@pay.example", by=BY)
    assert sweep().wait() == 0
    ids = [str(pk) for pk in Invoice.objects.order_by("sequence").values_list("pk", flat=True)]
    script = f"from billing.jobs import render_documents; render_documents({ids})"
    assert run(script, fault="rendering.before_store:3") == KILLED
    assert InvoiceDocument.objects.count() == 2
    assert render_documents(ids) == {"stored": ACCOUNTS - 2, "failed": 0}
    sending = "from alerts.jobs import deliver; deliver()"
    assert run(sending, fault="deliver.after_send:2", mail=smtp_sink.url) == KILLED
    assert until(lambda: not held_by_the_dead(), seconds=20)
    deliver()
    assert Counter(Delivery.objects.values_list("state", flat=True)) == {"sent": ACCOUNTS}
    attached = {}
    for _, message in smtp_sink.messages:
        (document,) = message.iter_attachments()
        attached[message["Message-ID"]] = document.get_filename(), document.get_content()
    # One message was taken by the mail server before its sender died: it came again, and was the same one.
    assert (len(attached), len(smtp_sink.messages)) == (ACCOUNTS, ACCOUNTS + 1)
    stored = {
        (f"{document.invoice.number}.pdf", bytes(document.content))
        for document in InvoiceDocument.objects.select_related("invoice")
    }
    assert set(attached.values()) == stored
    assert broken() == []


def test_two_runs_at_once_issue_every_invoice_once() -> None:
    many_accounts()
    runs = [sweep() for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]
    assert Invoice.objects.count() == Invoice.objects.values("account").distinct().count() == ACCOUNTS
    assert broken() == []


def test_a_reissue_that_is_killed_leaves_the_document_as_it_was() -> None:
    account = subscribed("starter")
    use("conversations", 275)
    invoice = close(account)
    script = (
        "from billing.models import Invoice; from billing.services.credits import cancel_and_reissue;"
        "from usage.clocks import system_clock; from usage.services.audit import Actor;"
        "cancel_and_reissue(invoice=Invoice.objects.get(), reason='x', clock=system_clock, by=Actor.of_system())"
    )
    for point in ("credits.after_credit_note", "closing.after_number:2", "credits.before_commit"):
        assert run(script, fault=point) == KILLED
        assert Invoice.objects.count() == 1
        assert broken() == []
    assert cancel_and_reissue(invoice=invoice, reason="x", clock=system_clock, by=BY).invoice.number == "2026-0003"
    assert broken() == []


def first_of_month(months_ago: int) -> date:
    today = system_clock().date()
    month = today.year * 12 + today.month - 1 - months_ago
    return date(month // 12, month % 12 + 1, 1)


@pytest.mark.parametrize("systems", [("exact", "exact"), ("previous", "previous"), ("previous", "exact")])
def test_while_a_period_is_closed_what_keeps_arriving_is_billed_once(systems: Sequence[str]) -> None:
    account = make_account(workspaces=("atlas", "birch"), started_on=first_of_month(2))
    first = Period.objects.get(account=account)
    start_subscription(account=account, plan=plan("starter"), period=first.starts_at, by=BY)
    account.terms.filter(metric__key__in=("conversations", "sms")).update(
        is_unlimited=False, included=10, unit_price=Decimal("0.37")
    )
    profile(account, system=systems[0])
    arguments = ("-m", "tests.faults.closing_load")
    load = [start(*arguments, str(number), first.starts_at.isoformat(), "3") for number in range(4)]
    while UsageTotal.objects.filter(account=account).count() < 4 and any(each.poll() is None for each in load):
        pass
    assert close_period(account_id=account.pk, period=first.starts_at, clock=system_clock, by=BY) is not None
    assert any(each.poll() is None for each in load)
    profile(account, system=systems[1])
    assert len(close_account(account_id=account.pk, clock=system_clock, by=BY)) == 1
    assert [each.wait() for each in load] == [0, 0, 0, 0]
    assert broken() == []
    # The next two closings bill the rest: in the previous system what arrived in the last 24 hours is on the second.
    running = Period.objects.filter(account=account).latest("starts_at")
    end = running.ends_at + 2 * timedelta(days=1)
    for _ in range(2):
        close_account(account_id=account.pk, clock=at(end), by=BY)
        end += timedelta(days=31)
    assert broken() == []
    assert unbilled(account) == {}
    assert_every_line_adds_up()
    assert_amounts_are_the_price_of_the_whole(account)


def assert_amounts_are_the_price_of_the_whole(account: Account) -> None:
    """First bill and adjustments of a metric and period together are round(price(total))."""
    checked = 0
    for period in Period.objects.filter(account=account, starts_at__lt=datetime.now(UTC)):
        for row in terms_for(account=account, period_start=period.starts_at).values():
            if row.metric.key not in ("conversations", "sms"):
                continue
            total = UsageTotal.objects.filter(account=account, metric=row.metric, period=period.starts_at)
            used = total.aggregate(used=Sum("quantity"))["used"] or Decimal(0)
            lines = InvoiceLine.objects.filter(account=account, metric=row.metric, usage_period=period.starts_at)
            assert lines.aggregate(paid=Sum("amount"))["paid"] == max(Decimal(0), used - 10) * row.unit_price
            checked += 1
    assert checked >= 4
