"""Every form of the teammates' pages, filled in with garbage: never a 5xx, a refused form stores nothing, and what was
typed comes back as text (spec 1.3, 3.1, 4.1, 4.6)."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from html.parser import HTMLParser
from random import Random
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from tests.alerts.conversations import make_account
from tests.factories import make_teammate
from usage.models import User

pytestmark = pytest.mark.django_db

PAGES = [
    "/w/atlas/usage/ai_resolutions/alerts",
    "/w/atlas/usage/conversations/alerts",
    "/w/atlas/billing/spend-alert",
    "/w/atlas/billing/contacts/add",
    "/w/atlas/workflows/new",
    "/w/atlas/workflows/handover",
    "/w/atlas/billing/plans/business",
    "/login/",
    "/password_reset/",
    "/password_change/",
]
TIMES = 25  # each form
# What a person would type, so that one wrong value is the only one.
TYPED = {"threshold": "500", "limit": "600", "name": "Priya", "email": "priya@example.com", "do": "save"}
MARKUP = "<script>alert(1)</script>"
VALUES = [
    *(
        "",
        " ",
        "0",
        "-1",
        "1.5",
        "1,5",
        "1e9",
        "1e400",
        "NaN",
        "Infinity",
        "9" * 40,
        "9" * 5000,
        "٣",
        "½",
        "0x10",
        "+1",
    ),
    *(
        "\x00",
        "a\x00b",
        "\ud800",
        "\u202egnp",
        "🌍" * 300,
        "x" * 100_000,
        "\r\nBcc: a@b.example",
        "a\u2028b",
        "\ufeff1",
    ),
    *(
        MARKUP,
        f'"><img src=x onerror=alert(1)>{MARKUP}',
        "{{ 7|add:7 }}",
        "{% debug %}",
        "${7*7}",
        "javascript:alert(1)",
    ),
    *("=cmd|' /C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\t=1", "' OR 1=1 --", "../../etc/passwd", "%00", "on", "null"),
    *(
        "a@b",
        "a b@c.example",
        "a@b.example\nx",
        '"quoted local"@b.example',
        "x" * 320 + "@b.example",
        "a@ex\u00e4mple.de",
    ),
    *("[]", "{}", '[{"name": 1}]', '{"a": [', "[" * 5000, '[{"steps": [{"type": "fly"}]}]', "true", "2026-13-45"),
]

_STORED = """
SELECT (SELECT count(*) FROM usage_usagelimit), (SELECT count(*) FROM alerts_usagealert),
       (SELECT count(*) FROM alerts_spendalert), (SELECT count(*) FROM alerts_workflow),
       (SELECT count(*) FROM alerts_handoversteps), (SELECT count(*) FROM billing_billingcontact),
       (SELECT count(*) FROM billing_subscription), (SELECT count(*) FROM billing_periodterms),
       (SELECT count(*) FROM usage_auditentry), (SELECT string_agg(password, '') FROM usage_user)
"""


@dataclass
class Form:
    """A form as a browser would send it: where to, and its fields with what stands in them."""

    action: str
    values: dict[str, str] = field(default_factory=dict)


class Forms(HTMLParser):
    """The forms of a page that are sent by POST."""

    def __init__(self, address: str, page: str) -> None:
        super().__init__()
        self.address = address
        self.found: list[Form] = []
        self.current: Form | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            is_post = given.get("method", "get").lower() == "post" or "hx-post" in given
            self.current = Form(given.get("hx-post") or given.get("action") or self.address) if is_post else None
            self.found += [self.current] if self.current else []
        elif tag in ("input", "select", "textarea", "button") and self.current and given.get("name"):
            self.current.values[given["name"]] = given.get("value", "on" if given.get("type") == "checkbox" else "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self.current = None


def stored() -> Any:
    """What the forms write to."""
    with connection.cursor() as cursor:
        cursor.execute(_STORED)
        return cursor.fetchone()


@pytest.fixture
def client() -> Client:
    make_account(workspaces=("atlas", "birch"))
    make_teammate(alerts=True, limits=True, billing=True)
    client = Client(raise_request_exception=False)
    ada = User.objects.get(email="ada@example.com")
    client.force_login(ada, backend="usage.sign_in.UserBackend")
    return client


def own_forms(client: Client, address: str) -> list[Form]:
    """The forms that the page has of its own; signing out and switching stand on every page."""
    visitor = Client() if address in ("/login/", "/password_reset/") else client
    page = visitor.get(address)
    assert page.status_code == 200, (address, page.status_code)
    return [form for form in Forms(address, page.content.decode()).found if "logout" not in form.action]


def spoiled(random: Random, form: Form) -> dict[str, str]:
    """The form's values with some of them replaced by garbage, left out, or with a field that it does not have."""
    values = form.values | {name: typed for name, typed in TYPED.items() if name in form.values}
    for name in random.sample(list(values), min(len(values), random.choice([1, 1, 2, 4]))):
        values[name] = random.choice(VALUES)
    if random.random() < 0.2 and values:
        del values[random.choice(list(values))]
    if random.random() < 0.2:
        values[random.choice(["is_superuser", "account", "workspace", "id", "x" * 300])] = random.choice(VALUES)
    return {name: value.encode(errors="replace").decode() for name, value in values.items()}


@pytest.mark.parametrize("address", PAGES)
def test_garbage_in_a_form_is_refused_in_words(client: Client, caplog: pytest.LogCaptureFixture, address: str) -> None:
    caplog.set_level(logging.CRITICAL, "django")
    random = Random(address)
    forms = own_forms(client, address)
    assert forms
    for form in forms:
        for _ in range(TIMES):
            values, before = spoiled(random, form), stored()
            headers = random.choice([{}, {"HX-Request": "true"}])
            response = client.post(form.action, values, headers=headers)
            message = f"{form.action} {str(values)[:1500]}"
            assert response.status_code < 500, message
            assert MARKUP not in response.content.decode(errors="replace"), message
            if response.status_code >= 400:
                assert stored() == before, message
    for shown in ("", "usage", "billing", "workflows", "notifications", "teammates"):
        page = client.get(f"/w/atlas/{shown}", follow=True)
        assert page.status_code == 200, shown
        assert MARKUP not in page.content.decode(), shown
