"""Running an admin action as a browser does: choose it, read the page that asks, say yes."""

from __future__ import annotations

from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse


def address(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def ask(client: Client, name: str, *rows: Any) -> HttpResponse:
    """The answer to choosing the action in the list."""
    chosen = {"action": name, ACTION_CHECKBOX_NAME: [row.pk for row in rows], "index": "0"}
    return client.post(address(type(rows[0]), "changelist"), chosen)  # type: ignore[return-value]


def run(client: Client, name: str, *rows: Any, **typed: Any) -> HttpResponse:
    """The answer to saying yes, with what was typed into the page's fields."""
    chosen = {"action": name, ACTION_CHECKBOX_NAME: [row.pk for row in rows], "index": "0", "confirm-yes": "1"}
    fields = {f"confirm-{field}": value for field, value in typed.items()}
    return client.post(address(type(rows[0]), "changelist"), chosen | fields)  # type: ignore[return-value]


def run_on_page(client: Client, name: str, row: Any, **typed: Any) -> HttpResponse:
    """As `run`, from the row's own page."""
    chosen = {"CHANGE_FORM-action": name, ACTION_CHECKBOX_NAME: str(row.pk), "confirm-yes": "1"}
    fields = {f"confirm-{field}": value for field, value in typed.items()}
    return client.post(address(type(row), "change", row.pk), chosen | fields)  # type: ignore[return-value]


def said(answer: Any) -> list[str]:
    """The messages that the next page will show."""
    return [str(message) for message in get_messages(answer.wsgi_request)]
