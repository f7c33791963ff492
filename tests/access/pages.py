"""Every address that people open in a browser, and who may read it or send which form to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.access.conftest import ALERTS, BILLING, LIMITS, NOTHING, Person, taken_back

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
REACHED: Final = {200, 204, 302, 409, 422}  # the view itself answered; the address was not closed

MARK: Final = "in-its-place"

Form = dict[str, str]
ALERT: Final[Form] = {"has_alert": "1", "alert_on": "1", "threshold": "900"}
LIMIT: Final[Form] = {"has_limit": "1", "limit_on": "1", "limit": "900", "when": "now"}
PLAN_ALERT: Final[Form] = {"has_plan_alert": "1"}
WORKFLOW: Final[Form] = {"name": "New", "is_on": "1"}


@dataclass(frozen=True)
class Page:
    """Who may read an address (`reads`: None for nobody, not even POST's equal) and who may send which form to it.

    Permissions are those in Atlas; with `in_account` those held in any workspace of the account count.
    """

    reads: frozenset[str] | None = NOTHING
    forms: tuple[tuple[Form, frozenset[str]], ...] = ()
    in_account: bool = False
    is_popup: bool = False  # shows “This feature is restricted” to everybody

    def is_allowed(self, person: Person, needed: frozenset[str]) -> bool:
        held = person.account if self.in_account else person.here
        return held is not None and needed <= held


def needs(*flags: str) -> frozenset[str]:
    return frozenset(flags)


READ = Page()
POPUP = Page(is_popup=True)
WORKSPACE_PAGES: Final[dict[str, Page]] = {
    "dashboard": READ,
    "usage": READ,
    "billing": READ,
    "analytics": READ,
    "analytics_csv": READ,
    "teammates": READ,
    "usage_drawer": Page(
        forms=((ALERT, needs(ALERTS)), (LIMIT, needs(LIMITS)), (ALERT | LIMIT, needs(ALERTS, LIMITS)))
    ),
    "usage_price": READ,
    "usage_restricted": POPUP,
    "spend_alert": Page(needs(BILLING), (({"alert_on": "1", "threshold": "900"}, needs(BILLING)),), in_account=True),
    "workflows": READ,
    "workflow_new": Page(forms=((WORKFLOW, needs(LIMITS)), ({"do": "branch_add"}, needs(LIMITS)))),
    "handover_steps": Page(forms=(({"b0-s0-type": "hand_over_to_team"}, needs(LIMITS)),)),
    "workflow_restricted": POPUP,
    "workflow_edit": Page(forms=((WORKFLOW, needs(LIMITS)),)),
    "workflow_move": Page(None, (({"direction": "down"}, needs(LIMITS)),)),
    "workflow_delete": Page(forms=(({}, needs(LIMITS)),)),
    "notifications": READ,
    "notifications_read": Page(None, (({}, NOTHING),)),
    "notification_read": Page(None, (({}, NOTHING),)),
    "billing_restricted": POPUP,
    "contact_add": Page(
        needs(BILLING), (({"name": "New", "email": "new@acme.example"}, needs(BILLING)),), in_account=True
    ),
    "contact_edit": Page(
        needs(BILLING), (({"name": "New", "email": "new@acme.example"}, needs(BILLING)),), in_account=True
    ),
    "contact_remove": Page(needs(BILLING), (({}, needs(BILLING)),), in_account=True),
    "plans": READ,
    "invoices": READ,
    "invoices_csv": READ,
    "invoice_pdf": READ,
    "invoice_detail": READ,
    "invoice_line": READ,
    "invoice_line_csv": READ,
    "plan_preview": Page(forms=(({"version": "1", "kind": "upgrade"}, needs(BILLING)),), in_account=True),
}
# Pages where one form of a drawer needs a permission that counts in the whole account.
DRAWER_OF_ACCOUNT: Final = Page(forms=((PLAN_ALERT, needs(ALERTS)),), in_account=True)
# Open to everybody.
PUBLIC: Final = {
    "healthz",
    "readyz",
    "login",
    "logout",
    "password_reset",
    "password_reset_done",
    "password_reset_confirm",
    "password_reset_complete",
}
SIGNED_IN: Final = {"home", "password_change", "password_change_done"}
# Their tables: test_api.py; the admin's: tests/admin.
ELSEWHERE: Final = ("api/", "ofrep/", "admin/")


def addresses(patterns: list[Any] | None = None, before: str = "") -> Iterator[tuple[str, str | None, Any]]:
    """(path, name, view) of every address of the product."""
    for each in patterns if patterns is not None else get_resolver().url_patterns:
        if isinstance(each, URLResolver):
            yield from addresses(each.url_patterns, before + str(each.pattern))
        elif isinstance(each, URLPattern):
            yield before + str(each.pattern), each.name, each.callback


def route_of(name: str, part: str = "") -> str:
    """The pattern of a workspace's page, or of the `part` of it with that name."""
    route = next(path for path, found, _ in addresses() if found == name and path.startswith("w/"))
    return next(piece for piece in re.findall(r"<[^>]+>", route) if piece.endswith(f"{part}>")) if part else route


def address(name: str, workspace_key: str = "atlas", **values: Any) -> str:
    """The address of a workspace's page; `values` for what it names besides."""
    given = {"metric_key": "ai_resolutions", "plan_key": "business"} | values
    wanted = set(re.findall(r"<(?:\w+:)?(\w+)>", route_of(name))) - {"workspace_key"}
    return reverse(name, kwargs={"workspace_key": workspace_key} | {key: given[key] for key in wanted})


def ask(browser: Client, method: str, path: str, form: Form | None = None, *, htmx: bool = False) -> Any:
    """The answer, and in `answer.written` the tables it wrote to."""
    headers = {"HX-Request": "true"} if htmx else {}
    with taken_back(), CaptureQueriesContext(connection) as queries:
        answer: Any
        if method == "POST":
            answer = browser.post(path, form or {}, headers=headers)
        else:
            answer = browser.generic(method, path, headers=headers)
        if answer.streaming:
            answer.getvalue()
        answer.written = {
            table
            for query in queries
            for table in re.findall(r'(?:INSERT INTO|UPDATE|DELETE FROM) "?(\w+)', query["sql"])
        } - {"django_session", "OF"}
    return answer


def expected(person: Person, page: Page, method: str, needed: frozenset[str]) -> set[int]:
    """The states that the answer may have."""
    if method not in methods_of(page):
        return {405}
    if not person.is_logged_in:
        return {302}
    if person.here is None:
        return {404}
    if page.is_popup or not page.is_allowed(person, needed):
        return {403}
    return REACHED


def methods_of(page: Page) -> set[str]:
    return ({"GET"} if page.reads is not None else set()) | ({"POST"} if page.forms else set())
