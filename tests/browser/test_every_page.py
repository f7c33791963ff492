"""Every page and drawer that a teammate can reach, with every combination of permissions, and a stranger's pages: at
three widths, light and dark. Takes minutes, so it runs when it is asked for (HEADROOM_EVERY_PAGE=1)."""

from __future__ import annotations

import os
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.urls import Resolver404, resolve

from tests.admin.conftest import build_world
from tests.browser.people import ALL_LOOKS, WIDE, check_all_looks, log_in
from tests.factories import make_teammate

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not os.environ.get("HEADROOM_EVERY_PAGE"), reason="HEADROOM_EVERY_PAGE=1: some minutes"),
]

PLACES = 2  # addresses of one page
FLAGS = ("alerts", "limits", "billing")


@pytest.mark.parametrize("held", product((True, False), repeat=3))
def test_every_page_of_a_teammate_is_for_everybody(page: Any, live_server: Any, held: tuple[bool, ...]) -> None:
    build_world()
    make_teammate("atlas", "eve@example.com", **dict(zip(FLAGS, held, strict=True)))
    log_in(page, live_server, "eve@example.com")
    # Permissions change what controls do, not where they stand: all looks for everything and for nothing.
    looks = ALL_LOOKS if all(held) or not any(held) else ((WIDE, "light"),)
    seen: dict[str, list[str]] = {}
    drawers: set[str] = set()
    ahead = ["/w/atlas/"]
    while ahead:
        path = ahead.pop(0)
        name = page_of(path)
        if name is None or path in seen.setdefault(name, []) or len(seen[name]) == PLACES:
            continue
        seen[name].append(path)
        answer = page.goto(live_server.url + path)
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        assert answer.status in (200, 403), path  # 403: the pop-up that says which permission is missing
        check_all_looks(page, looks)
        ahead += [urlsplit(link).path for link in page.eval_on_selector_all("a[href]", "all => all.map((a) => a.href)")]
        for opener in page.locator('a[hx-target="#drawer"]:visible, a[hx-target="#popup"]:visible').all():
            drawer = page_of(urlsplit(opener.get_attribute("hx-get") or "").path)
            if drawer is None or drawer in drawers:
                continue
            drawers.add(drawer)
            opener.click(force=True)  # what is not permitted says so, and explains itself when it is pressed
            page.locator("dialog[open]").first.wait_for()
            check_all_looks(page, looks)
            page.keyboard.press("Escape")
            page.locator("dialog[open]").first.wait_for(state="hidden")
    assert len(seen) > 12
    assert len(drawers) > 3


def test_every_page_of_a_stranger_is_for_everybody(page: Any, live_server: Any) -> None:
    page.emulate_media(reduced_motion="reduce")  # colours are judged, so none may be on its way
    for path in ("/login/", "/password_reset/", "/password_reset/done/", "/nothing", "/admin/login/"):
        page.goto(live_server.url + path)
        check_all_looks(page, ALL_LOOKS)


def page_of(path: str) -> str | None:
    """The name of a teammate's page; None for files and for what is no such page."""
    if not path.startswith("/w/") or path.endswith((".csv", ".pdf")):
        return None
    try:
        return resolve(path).view_name
    except Resolver404:
        return None
