"""Lists are drawn faster than Django draws them, and look the same."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.templatetags.admin_list import result_list
from django.contrib.auth.models import Permission
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse

from tests.admin.test_pages import ALL, address
from tests.factories import make_user
from usage.admin.rows import table
from usage.models import Account, Workspace


def drawn(made: dict[str, Any]) -> str:
    return render_to_string("admin/change_list_results.html", made)


@pytest.mark.parametrize("query", [{}, {"o": "-2.1"}, {"q": "a"}, {"_popup": "1"}])
def test_rows_are_those_that_django_draws(account: Account, admin_client: Client, query: dict[str, str]) -> None:
    for model in ALL:
        cl = admin_client.get(address(model, "changelist"), query).context_data["cl"]  # type: ignore[attr-defined]
        by_django, ours = result_list(cl), table(cl)
        assert drawn(ours) == drawn(by_django), model
        for part in ("result_hidden_fields", "result_headers", "num_sorted_fields"):
            assert ours[part] == by_django[part], model


def test_rows_share_what_they_belong_to(account: Account, admin_client: Client, django_assert_num_queries: Any) -> None:
    Workspace.objects.create(account=account, key="second", name="Second")
    cl = admin_client.get(address(Workspace, "changelist")).context_data["cl"]  # type: ignore[attr-defined]
    first, *others = (row.account for row in cl.result_list)
    assert others
    assert all(other is first for other in others)
    with django_assert_num_queries(0):
        table(cl)


def test_what_a_row_holds_is_escaped(account: Account, admin_client: Client) -> None:
    Account.objects.filter(pk=account.pk).update(name="<b>{0} & {name}</b>")
    for view in ("usage_account", "usage_workspace", "usage_period"):
        page = admin_client.get(reverse(f"admin:{view}_changelist")).content.decode()
        assert "&lt;b&gt;{0} &amp; {name}&lt;/b&gt;" in page
        assert "<b>" not in page


def test_the_sidebar_lists_what_somebody_may_see_and_marks_where_they_are(
    account: Account, admin_client: Client
) -> None:
    page = admin_client.get(reverse("admin:usage_workspace_changelist")).content.decode()
    assert f'<a href="{reverse("admin:usage_workspace_changelist")}" aria-current="page">' in page
    assert f'<a href="{reverse("admin:usage_account_changelist")}">' in page

    reader = make_user("reader@example.com", is_staff=True)
    reader.user_permissions.add(Permission.objects.get(codename="view_workspace"))
    client = Client()
    client.force_login(reader)
    page = client.get(reverse("admin:usage_workspace_changelist")).content.decode()
    assert f'<a href="{reverse("admin:usage_workspace_changelist")}" aria-current="page">' in page
    assert f'<a href="{reverse("admin:usage_account_changelist")}">' not in page
    page = client.get(reverse("admin:usage_workspace_change", args=[account.workspaces.first().pk])).content.decode()  # type: ignore[union-attr]
    assert f'<a href="{reverse("admin:usage_workspace_changelist")}" aria-current="page">' in page
