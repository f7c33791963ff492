"""What strangers find: nothing, and in the same words as where nothing is (spec 1.5)."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from django.test import Client
from django.urls import resolve, reverse

from tests.access.conftest import PEOPLE, World
from tests.access.pages import (
    MARK,
    PUBLIC,
    READ,
    SIGNED_IN,
    WORKSPACE_PAGES,
    address,
    addresses,
    ask,
    methods_of,
    route_of,
)


def test_a_foreign_page_is_exactly_like_a_missing_one(world: World) -> None:
    theirs = world.of(world.acme)
    for who in (name for name, each in PEOPLE.items() if each.is_logged_in and each.here is None):
        for name, page in WORKSPACE_PAGES.items():
            for method in methods_of(page):
                for htmx in (False, True) if who == "a stranger" else (False,):
                    form = page.forms[0][0] if method == "POST" else None
                    foreign, missing = (
                        ask(world.browsers[who], method, address(name, key, **theirs), form, htmx=htmx)
                        for key in ("atlas", "nowhere")
                    )
                    assert (foreign.status_code, faceless(foreign)) == (404, faceless(missing)), (who, name)
                    assert headers_of(foreign) == headers_of(missing), (who, name)


def headers_of(answer: Any) -> dict[str, str]:
    """All headers but those that differ from one answer to the next anyway."""
    return {name: value for name, value in answer.headers.items() if name != "X-Request-ID"}


def faceless(answer: Any) -> bytes:
    """The body without what differs from one answer to the next anyway."""
    return re.sub(rb"csrf[^>]+>", b"", answer.content)


def test_what_belongs_to_a_foreign_account_is_missing_in_ones_own_workspace(world: World) -> None:
    """A contact, workflow, message or invoice of Rival under an address of Atlas."""
    own, foreign = world.of(world.acme), world.of(world.rival)
    nothing: dict[str, Any] = dict.fromkeys(foreign, 10**12) | {"number": "1999-0001", "position": 999}
    for name, page in WORKSPACE_PAGES.items():
        named = set(re.findall(r"(contact_id|workflow_id|notification_id|number)", route_of(name)))
        for method in methods_of(page) if named else ():
            form = page.forms[0][0] if method == "POST" else None
            answer, missing = (
                ask(world.browsers["ada"], method, address(name, **(own | {each: other[each] for each in named})), form)
                for other in (foreign, nothing)
            )
            assert (answer.status_code, answer.written) == (404, set()), name
            assert faceless(answer) == faceless(missing), name


def test_nonsense_in_an_address_is_missing_and_never_an_error(world: World) -> None:
    own = world.of(world.acme)
    for name in WORKSPACE_PAGES:
        for part in set(re.findall(r"<(?:\w+:)?(\w+)>", route_of(name))):
            for value in ("0", "9" * 30, "%00", "%C3%28", "..", "%F0%9F%92%A9'" + "x" * 300):
                path = address(name, **own).replace("/atlas/", f"/{MARK}/") if part == "workspace_key" else ""
                path = path or address(name, **(own | {part: MARK if "int" not in route_of(name, part) else 777_777}))
                path = path.replace(MARK, value).replace("777777", value)
                answer = ask(world.browsers["ada"], "GET", path)
                assert answer.status_code in (404, 405), (path, answer.status_code)


def test_a_form_from_elsewhere_changes_nothing(world: World) -> None:
    """Without the token of one's own page every form is refused, whoever sends it."""
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = world.browsers["ada"].cookies
    for name, page in WORKSPACE_PAGES.items():
        for form, _ in page.forms:
            for htmx in (False, True):
                answer = ask(browser, "POST", address(name, **world.of(world.acme)), form, htmx=htmx)
                assert (answer.status_code, answer.written) == (403, set()), name
                assert b"This feature is restricted" not in answer.content


def test_the_admin_lets_nobody_in_but_admins(world: World) -> None:
    knocks = (("anonymous", "GET"), ("ada", "GET"), ("ada", "POST"))
    for path, name, _ in addresses():
        if not path.startswith("admin/") or name in ("login", "logout", "jsi18n"):
            continue
        path = "/" + re.sub(r"<[^>]+>|\(\?P.*", "1", path).rstrip("$")
        for who, method in knocks:
            answer = ask(world.browsers[who], method, path)
            assert (answer.status_code, answer.written) == (302, set()), (who, method, path)
            assert answer.headers["Location"].startswith("/admin/login/"), path


def test_what_is_open_to_everybody_tells_nothing(world: World) -> None:
    for who in ("anonymous", "gus, whose login was ended"):
        for name in PUBLIC:
            kwargs = {"uidb64": "MQ", "token": "a-b"} if name == "password_reset_confirm" else {}
            answer = ask(world.browsers[who], "GET", reverse(name, kwargs=kwargs))
            # Without a heartbeat of the jobs, as in tests, Headroom says that it is not ready.
            assert answer.status_code == {"logout": 405, "readyz": 503}.get(name, 200), name
            assert not re.search(rb"(?i)\b(acme|rival|atlas|cobalt)\b", answer.content), name
        for name in SIGNED_IN:
            answer = ask(world.browsers[who], "GET", reverse(name))
            assert answer.status_code == 302, name
            assert answer.headers["Location"].startswith(reverse("login"))


def test_the_way_in_leads_to_ones_own_workspace(world: World) -> None:
    homes = {"ada": "/w/atlas/", "a stranger": "/w/cobalt/", "bea, of the other workspace": "/w/birch/"}
    homes |= {"an admin": "/admin/"}
    for who, home in homes.items():
        assert ask(world.browsers[who], "GET", "/").headers["Location"] == home
    lost = ask(world.browsers["zoe, who was removed"], "GET", "/")
    assert lost.status_code == 200
    assert not re.search(rb"(?i)\b(acme|atlas|birch)\b", lost.content.replace(b"zoe@acme.example", b""))


def test_a_crawl_finds_ones_own_account_and_nothing_of_the_other(world: World) -> None:
    """Every link, fragment and form that pages name is followed, first by Ada, then all of them by a stranger."""
    hers, theirs = crawl(world.browsers["ada"]), crawl(world.browsers["a stranger"])
    # What the tables know of pages that reading leads to was found by clicking.
    found = {resolve(path.partition("?")[0]).url_name for path in hers}
    assert found >= {name for name, page in WORKSPACE_PAGES.items() if page == READ} - {"usage_price"}, found
    for path, body in theirs.items():
        assert not re.search(rb"(?i)\b(acme|atlas|birch)\b", body), path
    for path, body in hers.items():
        assert not re.search(rb"(?i)\b(rival|cobalt)", body), path
        if path.startswith("/w/"):
            assert ask(world.browsers["a stranger"], "GET", path).status_code in (404, 405), path


def crawl(browser: Client) -> dict[str, bytes]:
    """The body of every page that links lead to from the start page, by address; of the months of a page only one."""
    seen: dict[str, bytes] = {}
    ahead = ["/"]
    while ahead:
        path = ahead.pop()
        if path in seen or ("?" in path and any(other.startswith(path.partition("?")[0] + "?") for other in seen)):
            continue
        answer = ask(browser, "GET", path)
        assert answer.status_code in (200, 302, 403, 405), (path, answer.status_code)
        body = seen[path] = b"" if answer.streaming else answer.content
        links = re.findall(r'(?:href|action|src|hx-get|hx-post)="(/[^"#]*)', body.decode(errors="replace"))
        links += [answer.headers["Location"]] if answer.status_code == 302 else []
        ahead += [unescape(link).partition("#")[0] for link in links if not link.startswith("/static/")]
    return seen
