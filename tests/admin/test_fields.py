"""The fields of a record's page are drawn faster than Django draws them, and look the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.contrib import admin
from django.template.backends.django import DjangoTemplates
from django.template.loader import get_template
from django.test import Client

from billing.models import Plan
from tests.admin.test_changes import plan_form
from tests.admin.test_pages import ALL, address
from usage.admin.people import TeammateInline
from usage.models import Account, Metric, User

PLAIN = DjangoTemplates(
    {
        "NAME": "plain",
        "DIRS": [Path(admin.__file__).parent / "templates"],
        "APP_DIRS": False,
        "OPTIONS": {"libraries": {"inline": "django.contrib.admin.templatetags.admin_modify"}},
    }
)


def pieces(html: str) -> list[str]:
    """Tags and texts, without the white space between them."""
    return [piece for piece in (" ".join(each.split()) for each in re.split(r"(<[^>]*>)", html)) if piece]


def compare(page: Any) -> int:
    """How many fieldsets and tables of forms the page has; each has to look as Django draws it."""
    context = page.context_data
    drawn: list[tuple[str, dict[str, Any]]] = [
        ("admin/includes/fieldset.html", {"fieldset": each, "prefix": "fieldset", "id_prefix": 0, "id_suffix": 1})
        for each in context["adminform"]
    ]
    drawn += [
        (each.opts.template, {"inline_admin_formset": each})
        for each in context["inline_admin_formsets"]
        if each.opts.template == TeammateInline.template
    ]
    for template, about in drawn:
        ours, django = get_template(template).render(about), PLAIN.get_template(template).render(about)
        assert pieces(ours) == pieces(django)
    return len(drawn)


def test_fields_are_those_that_django_draws(account: Account, admin_client: Client) -> None:
    compared = 0
    for model in ALL:
        for row in model._default_manager.all()[:2]:
            compared += compare(admin_client.get(address(model, "change", row.pk)))
        page = admin_client.get(address(model, "add"))
        compared += compare(page) if page.status_code == 200 else 0
    assert compared > len(ALL)


def test_what_is_wrong_stands_beside_its_field_as_django_draws_it(account: Account, admin_client: Client) -> None:
    plan = Plan.objects.get(key="starter")
    wrong = plan_form(plan, price="much", name="", **{"rates-0-included": "<b>", "rates-1-metric": ""})
    page = admin_client.post(address(Plan, "change", plan.pk), wrong)
    assert compare(page)
    assert "Enter a number." in page.content.decode()
    assert compare(admin_client.post(address(Metric, "add"), {"name": "<i>"}))
    twice = plan_form(plan) | {"rates-1-metric": plan_form(plan)["rates-0-metric"]}
    page = admin_client.post(address(Plan, "change", plan.pk), twice)
    assert compare(page)
    assert "This metric has a rate above." in page.content.decode()


def test_what_a_field_holds_is_escaped(account: Account, admin_client: Client) -> None:
    user = User.objects.create(email="b@example.com", name="<b>{0} & {name}</b>")
    page = admin_client.get(address(User, "change", user.pk)).content.decode()
    assert "&lt;b&gt;{0} &amp; {name}&lt;/b&gt;" in page
    assert "<b>" not in page
