"""Who may open and do what in the browser: every address of the product, every kind of person, every method.

What the table in `pages` does not name is forbidden: a new address fails `test_the_table_names_every_address` until
somebody has said who may go there.
"""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from tests.access.conftest import NOTHING, PEOPLE, World
from tests.access.pages import (
    DRAWER_OF_ACCOUNT,
    ELSEWHERE,
    METHODS,
    PUBLIC,
    REACHED,
    READ,
    SIGNED_IN,
    WORKSPACE_PAGES,
    address,
    addresses,
    ask,
    expected,
    methods_of,
)
from tests.factories import BY, workspace
from usage.models import Teammate, User
from usage.services.accounts import remove_teammate, set_teammate_flags

# Who tries the methods that an address does not have: they are refused before it matters who asks.
FEW = ("anonymous", "ada", "a stranger")
# Who need not read each page that every teammate may read, as Ben without any permission does.
SIMILAR = ("cleo", "liam", "bill")


def test_the_table_names_every_address() -> None:
    others = PUBLIC | SIGNED_IN
    for path, name, view in addresses():
        if path.startswith(ELSEWHERE):
            continue
        if path.startswith("w/"):
            assert name in WORKSPACE_PAGES, f"who may open {path}?"
            assert getattr(view, "access", None) == "teammate", path
        else:
            assert name in others, f"who may open {path}?"
    assert WORKSPACE_PAGES.keys() == {name for path, name, _ in addresses() if path.startswith("w/")}


def test_every_page_by_every_method_and_every_person(world: World) -> None:
    theirs = world.of(world.acme)
    for name, page in (*WORKSPACE_PAGES.items(), ("usage_drawer", DRAWER_OF_ACCOUNT)):
        path = address(name, **theirs)
        for method in METHODS:
            for who, person in PEOPLE.items():
                is_open = method == "GET" and page == READ
                if (is_open and who in SIMILAR) or (method not in methods_of(page) and who not in FEW):
                    continue
                forms = page.forms if method == "POST" and page.forms else (({}, page.reads or NOTHING),)
                for form, needed in forms:
                    answer = ask(world.browsers[who], method, path, form)
                    wanted = expected(person, page, method, needed)
                    assert answer.status_code in wanted, (who, method, path, form, answer.status_code)
                    check(answer, method, is_in=person.is_logged_in, told=f"{who}: {method} {path} {form}")


def check(answer: Any, method: str, *, is_in: bool, told: str) -> None:
    """What holds of every answer of that state."""
    if not is_in and answer.status_code == 302:
        assert answer.headers["Location"].startswith(reverse("login")), told
    if answer.status_code == 403:
        assert "This feature is restricted" in answer.content.decode(), told
    if answer.status_code == 403 and method == "POST":
        assert answer.written == {"usage_auditentry"}, told
    elif method != "POST" or not is_in or answer.status_code not in REACHED:
        assert answer.written == set(), told
    if answer.status_code in (200, 403, 422):
        assert "no-store" in answer.headers["Cache-Control"], told


def test_permissions_work_from_the_next_request_on(world: World) -> None:
    path = address("workflow_move", **world.of(world.acme))
    place = workspace()
    for who, flag in (("ben", True), ("liam", False)):
        member = User.objects.get(email=PEOPLE[who].email)
        states = [ask(world.browsers[who], "POST", path).status_code]
        set_teammate_flags(workspace=place, user=member, by=BY, can_manage_limits=flag)
        states.append(ask(world.browsers[who], "POST", path).status_code)
        assert states == ([403, 302] if flag else [302, 403]), who
    remove_teammate(teammate=Teammate.objects.get(workspace=place, user__email=PEOPLE["ada"].email), by=BY)
    assert ask(world.browsers["ada"], "GET", "/w/atlas/").status_code == 404
