"""Every model is in admin; every list and page of it opens for an admin and for nobody else (spec 7.1)."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import CompositePrimaryKey
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ

from tests.factories import make_account
from usage.models import Account, AuditEntry

OURS = ("usage", "billing", "alerts")
ALL = sorted((model for model in admin.site._registry), key=lambda model: model._meta.label)
BOUND = 25  # queries of a list, sessions and counts included, however many rows it shows


def address(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def test_every_model_is_in_admin_except_the_usage_tables() -> None:
    missing = {
        model._meta.label
        for label in OURS
        for model in apps.get_app_config(label).get_models()
        if model not in admin.site._registry and not isinstance(model._meta.pk, CompositePrimaryKey)
    }
    assert missing == set()


def test_lists_and_pages_open_for_an_admin_with_few_queries(
    account: Account, admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    for model in ALL:
        rows = model._default_manager.all()
        assert rows.exists() or model._meta.app_label not in OURS, f"the world of these tests has no {model}"
        with django_assert_max_num_queries(BOUND, info=str(model)):
            page = admin_client.get(address(model, "changelist"))
        assert page.status_code == 200, model
        assert page.context_data["cl"].result_count == rows.count(), model
        assert admin_client.get(address(model, "changelist"), {"q": "ac me"}).status_code == 200, model
        for row in rows[:1]:
            assert admin_client.get(address(model, "change", row.pk)).status_code == 200, model
        adds = admin.site._registry[model].has_add_permission(page.wsgi_request)
        assert admin_client.get(address(model, "add")).status_code == (200 if adds else 403), model


def test_a_teammate_gets_no_further_than_the_login(account: Account, teammate_client: Client) -> None:
    for model in ALL:
        row = model._default_manager.first()
        pages = [address(model, "changelist"), address(model, "add")]
        pages += [address(model, "change", row.pk)] if row else []
        for page in pages:
            for answer in (teammate_client.get(page), teammate_client.post(page)):
                assert answer.status_code == 302, page
                assert answer.headers["Location"].startswith(reverse("admin:login")), page


def test_filters_that_links_set_forgive_any_value(account: Account, admin_client: Client) -> None:
    for model in ALL:
        for each in admin.site._registry[model].list_filter:
            name = getattr(each, "parameter_name", "")
            if not isinstance(name, str) or not name.endswith("__id__exact"):
                continue
            for value in ("1", "99999999999999999999999", "\x00"):
                answer = admin_client.get(address(model, "changelist"), {name: value})
                assert answer.status_code in (200, 302), (name, value)


def test_the_index_lists_the_usage_tables_too(account: Account, admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:index"))
    assert reverse("admin:usage_lookup") in page.content.decode()


def test_filters_by_whether_a_column_is_filled_say_so_in_words(admin_client: Client, account: Account) -> None:
    for view, query, word in (
        ("billing_invoicedocument", "e_invoice__isempty", "With"),
        ("usage_account", "ended_at__isempty", "Ended"),
        ("alerts_usagealert", "threshold__isempty", "On"),
    ):
        page = reverse(f"admin:{view}_changelist")
        counts = [
            admin_client.get(page, asked).context_data["cl"].result_count  # type: ignore[attr-defined]
            for asked in ({}, {query: "1"}, {query: "0"})
        ]
        assert counts[0] == counts[1] + counts[2]
        assert f">{word}</a>" in admin_client.get(page).content.decode()


def test_a_rows_history_is_its_part_of_the_audit_trail(account: Account, admin_client: Client) -> None:
    trail = reverse("admin:usage_auditentry_changelist")
    for row, query in (
        (account, f"account__id__exact={account.pk}"),
        (account.workspaces.first(), f"workspace__id__exact={account.workspaces.earliest('pk').pk}"),
        (account.billing_contacts.get(), f"account__id__exact={account.pk}&q=billing%40acme.example"),
    ):
        answer = admin_client.get(address(type(row), "history", row.pk))  # type: ignore[union-attr]
        assert answer.headers["Location"] == f"{trail}?{query}"
        page = admin_client.get(answer.headers["Location"])
        assert page.context_data["cl"].result_count  # type: ignore[attr-defined]
        assert "History" in admin_client.get(address(type(row), "change", row.pk)).content.decode()  # type: ignore[union-attr]


def test_rows_that_the_product_writes_offer_no_history(account: Account, admin_client: Client) -> None:
    line = account.invoices.earliest("pk").lines.earliest("pk")
    assert "historylink" not in admin_client.get(address(type(line), "change", line.pk)).content.decode()


def test_lines_stand_on_the_page_of_their_invoice_and_lead_to_their_own(account: Account, admin_client: Client) -> None:
    invoice = account.invoices.earliest("pk")
    page = admin_client.get(address(type(invoice), "change", invoice.pk)).content.decode()
    for line in invoice.lines.all():
        assert f'<a href="{address(type(line), "change", line.pk)}">{line.description}</a>' in page


def test_an_account_with_rows_that_can_only_be_read_can_be_renamed(account: Account, admin_client: Client) -> None:
    address_of = address(Account, "change", account.pk)
    rows = {"workspaces-TOTAL_FORMS": "2", "workspaces-INITIAL_FORMS": "2"}
    rows |= {"clocks-TOTAL_FORMS": "1", "clocks-INITIAL_FORMS": "1"}
    assert admin_client.post(address_of, {"name": "Acme & Sons", **rows}).status_code == 302
    account.refresh_from_db()
    assert account.name == "Acme & Sons"
    assert account.workspaces.count() == 2
    failed = admin_client.post(address_of, {"name": "", **rows})
    assert failed.status_code == 200
    assert "atlas" in failed.content.decode()


def test_a_waiting_job_is_called_by_what_it_does(account: Account, admin_client: Client) -> None:
    job = OrmQ.objects.earliest("pk")
    page = admin_client.get(address(OrmQ, "change", job.pk)).content.decode()
    assert f"alerts.jobs.evaluate_terms ({job.pk})" in page


def test_what_is_kept_as_json_is_read_as_names_and_values(account: Account, admin_client: Client) -> None:
    entry = AuditEntry.objects.create(
        action="limit.changed",
        subject="x",
        after={"is_on": True, "other_levels": [], "rules": [{"also": "<b>"}, {"none": None}], "types": ["a", "b"]},
    )
    page = admin_client.get(address(AuditEntry, "change", entry.pk)).content.decode()
    assert (
        '<dl class="words"><dt>is on</dt><dd>yes</dd><dt>rules</dt><dd><ol class="words"><li><dl class="words">'
        '<dt>also</dt><dd>&lt;b&gt;</dd></dl></li><li><dl class="words"><dt>none</dt><dd>–</dd></dl></li></ol></dd>'
        "<dt>types</dt><dd>a, b</dd><dt>other levels</dt><dd>–</dd></dl>"
    ) in page


def test_accounts_of_one_name_are_told_apart_where_one_is_searched_for(account: Account, admin_client: Client) -> None:
    Account.objects.filter(pk=make_account("acme-two", workspaces=("two",)).pk).update(name=account.name)
    asked = {"app_label": "usage", "model_name": "apikey", "field_name": "account", "term": account.name}
    found = admin_client.get(reverse("admin:autocomplete"), asked).json()["results"]
    assert [row["text"] for row in found] == ["Acme (acme)", "Acme (acme-two)"]
