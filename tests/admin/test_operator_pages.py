"""The operator's own pages: lookup of usage, corrections, health, the messages as they look."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ

from alerts.models import Delivery
from billing.models import BillingContact, InvoiceLine
from config.health import findings
from config.jobs import check_invariants
from tests.billing.books import DAY, JUNE
from tests.factories import event, make_user, metric, use, workspace
from usage.clocks import system_clock
from usage.models import Account, AuditEntry, Heartbeat, JobRun, UsageEvent, UsageTotal
from usage.services.ingest import ingest_sent

LOOKUP = "admin:usage_lookup"


def look(client: Client, **query: Any) -> Any:
    return client.get(reverse(LOOKUP), query)


def sent(account: Account, id_: str = "one") -> dict[str, str]:
    at = JUNE + 4 * DAY
    ingest_sent(account_id=account.pk, sent=[event(id_=id_, time=at)], clock=lambda: at)
    return {"account": account.key, "source": "urn:tests", "id": id_}


def test_each_table_is_looked_up_a_page_at_a_time(
    account: Account, admin_client: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr("usage.admin.lookup.PAGE", 2)
    use(quantity=5, at=JUNE + 3 * DAY, workspace_key="birch")
    for table, rows in (("totals", UsageTotal.objects.count()), ("days", 3), ("events", 10)):
        found: list[Any] = []
        query: dict[str, Any] = {"account": "acme", "table": table, "period": ""}
        if table == "events":
            query |= {"metric": "ai_resolutions", "period": JUNE.isoformat()}
        while True:
            with django_assert_max_num_queries(9) as queries:
                page = look(admin_client, **query)
            assert not [each for each in queries.captured_queries if "COUNT(" in each["sql"]]
            found += page.context_data["table"].rows
            if page.context_data["next"] is None:
                break
            query["after"] = page.context_data["table"].next
        assert len(found) == rows, table
    assert look(admin_client, account="acme", table="reservations").status_code == 200


def test_lookup_forgives_whatever_stands_in_the_address(account: Account, admin_client: Client) -> None:
    for query in (
        {"account": "nobody"},
        {"account": "\x00"},
        {"account": "acme", "after": "["},
        {"account": "acme", "after": '["x", null]', "table": "events"},
        {"account": "acme", "after": json.dumps(["9999-12-31T23:59:59.9+00:00", "x"]), "table": "events"},
        {"account": "acme", "workspace": "other", "metric": "\x00", "table": "nothing"},
        {"account": "acme", "source": "\x00", "event_id": "x"},
        {"account": "acme", "table": "events", "received_after": "yesterday", "received_until": "2026"},
    ):
        assert look(admin_client, **query).status_code in (200, 422), query


def test_a_wrong_key_leads_to_the_right_account(account: Account, admin_client: Client) -> None:
    assert "?account=acme" in look(admin_client, account="cme").content.decode()


def test_the_events_behind_an_invoice_line_are_one_click_away(account: Account, admin_client: Client) -> None:
    line = InvoiceLine.objects.get(metric=metric(), kind="usage")
    page = admin_client.get(reverse("admin:billing_invoiceline_change", args=[line.pk])).content.decode()
    address = page.partition(f"{reverse(LOOKUP)}?")[2].partition('"')[0].replace("&amp;", "&")
    found = admin_client.get(f"{reverse(LOOKUP)}?{address}")
    assert len(found.context_data["table"].rows) == 5


def test_events_are_exported_as_csv(account: Account, admin_client: Client) -> None:
    answer: Any = look(
        admin_client, account="acme", table="events", metric="ai_resolutions", period=JUNE.isoformat(), csv=1
    )
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert len(lines) == 1 + 5


def test_an_event_is_amended_then_voided(account: Account, admin_client: Client) -> None:
    named = sent(account)
    page = f"{reverse('admin:usage_correct')}?account=acme&source=urn:tests&id=one"
    assert "1 resolution" in admin_client.get(page).content.decode()
    refused = admin_client.post(page, {"what": "amend", "quantity": "", "reason": "wrong"})
    assert refused.status_code == 422
    assert admin_client.post(page, {"what": "amend", "quantity": "3", "reason": "wrong"}).status_code == 302
    assert admin_client.post(page, {"what": "void", "reason": "a test"}).status_code == 302
    rows = UsageEvent.objects.filter(event_id=named["id"])
    assert sum(row.quantity for row in rows) == 0
    entry = AuditEntry.objects.get(action="usage.voided")
    assert (entry.how, entry.reason) == ("admin", "a test")
    late = admin_client.post(page, {"what": "amend", "quantity": "3", "reason": "again"})
    assert late.status_code == 422
    assert admin_client.get(f"{reverse('admin:usage_correct')}?account=acme&source=x&id=y").status_code == 302


def test_messages_can_be_read_as_they_look(account: Account, admin_client: Client) -> None:
    delivery = Delivery.objects.filter(channel="email").first()
    assert delivery is not None
    page = admin_client.get(reverse("admin:alerts_delivery_change", args=[delivery.pk])).content.decode()
    assert 'sandbox=""' in page
    assert delivery.message_id.strip("<>") in page
    framed = admin_client.get(reverse("admin:alerts_delivery_html", args=[delivery.pk]))
    assert framed.content.decode() == delivery.html
    assert framed.headers["X-Frame-Options"] == "SAMEORIGIN"
    policy = framed.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    webhook = Delivery.objects.filter(channel="webhook").first()
    assert webhook is not None
    shown = admin_client.get(reverse("admin:alerts_delivery_change", args=[webhook.pk])).content.decode()
    assert "usage.alert.reached" in shown or "limit.reached" in shown


def test_a_message_has_the_date_on_which_it_was_sent(account: Account, admin_client: Client) -> None:
    delivery = Delivery.objects.filter(channel=Delivery.Channel.EMAIL).earliest("pk")
    page = reverse("admin:alerts_delivery_change", args=[delivery.pk])
    Delivery.objects.filter(pk=delivery.pk).update(sent_at=None)
    assert "Date: " not in admin_client.get(page).content.decode()
    Delivery.objects.filter(pk=delivery.pk).update(sent_at=datetime(2026, 7, 2, 12, tzinfo=UTC))
    assert "Date: Thu, 02 Jul 2026 12:00:00 +0000" in admin_client.get(page).content.decode()


def test_health_says_what_is_wrong(account: Account, admin_client: Client) -> None:
    now = system_clock()
    Delivery.objects.filter(channel="email").update(state="failed")
    BillingContact.objects.all().delete()
    found = {finding.label: finding for _, group in findings(now=now) for finding in group}
    assert found["Workers"].state == "good"
    assert found["Failed deliveries"].state == "bad"
    assert found["Accounts without billing contacts"].value == "1"
    assert found["Last limit recalculation"].value == "never"
    Delivery.objects.filter(channel="webhook").update(state="waiting", attempts=1, last_error="No answer.")
    waiting = {finding.label: finding for _, group in findings(now=now) for finding in group}["Failed deliveries"]
    assert waiting.lines == ("webhook: No answer.",)
    Heartbeat.objects.update(beat_at=now - timedelta(minutes=10))
    assert {finding.label: finding for _, group in findings(now=now) for finding in group}["Workers"].state == "bad"
    assert admin_client.get(reverse("admin:health")).status_code == 200
    index = admin_client.get(reverse("admin:index")).content.decode()
    assert "Something is wrong" in index
    assert "Workers: silent" in index


def test_what_must_hold_is_checked_on_demand(account: Account, admin_client: Client) -> None:
    page = reverse("admin:run_task", args=["check-invariants"])
    OrmQ.objects.all().delete()
    assert admin_client.get(page).status_code == 200
    assert not OrmQ.objects.exists()
    assert admin_client.post(page).status_code == 302
    task = OrmQ.objects.get().task
    assert task["func"] == "config.jobs.check_invariants"
    UsageTotal.objects.filter(metric=metric()).update(quantity=99)
    check_invariants(**task["kwargs"])
    assert JobRun.objects.get(name="check-invariants").result["violations"] >= 1
    assert "99" in admin_client.get(reverse("admin:health")).content.decode()
    assert AuditEntry.objects.filter(action="job.started", subject="check-invariants", how="admin").exists()
    assert admin_client.get(reverse("admin:run_task", args=["format-disk"])).status_code == 404


def test_every_task_names_a_function_that_exists() -> None:
    from django.utils.module_loading import import_string

    from config.admin_pages import TASKS

    assert all(callable(import_string(task.function)) for task in TASKS.values())


def test_machines_learn_whether_it_lives_and_is_ready(account: Account) -> None:
    assert Client().get("/healthz").status_code == 200
    Heartbeat.objects.update(beat_at=system_clock())
    ready = Client().get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"database": True, "migrations": True, "jobs": True})
    Heartbeat.objects.all().delete()
    assert Client().get("/readyz").status_code == 503


def test_operator_pages_are_for_operators(account: Account, teammate_client: Client) -> None:
    clerk = Client()
    clerk.force_login(make_user("clerk@example.com", is_staff=True))
    for page in (
        reverse(LOOKUP),
        reverse("admin:usage_correct"),
        reverse("admin:health"),
        reverse("admin:first_steps"),
        reverse("admin:run_task", args=["refresh"]),
    ):
        assert teammate_client.get(page).status_code == 302, page
        assert clerk.get(page).status_code == 403, page
        assert clerk.post(page).status_code == 403, page
    assert workspace().key == "atlas"
