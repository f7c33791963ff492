"""What browser tests share: somebody who is logged in, and pages that are looked at with axe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from django.test import Client

from usage.models import User

WIDE = {"width": 1280, "height": 900}
TABLET = {"width": 768, "height": 1024}
PHONE = {"width": 390, "height": 844}
LOOKS = ((WIDE, "light"), (WIDE, "dark"), (PHONE, "light"))
ALL_LOOKS = tuple((size, scheme) for size in (WIDE, TABLET, PHONE) for scheme in ("light", "dark"))


def log_in(page: Any, live_server: Any, email: str = "ada@example.com") -> None:
    """Go on as that person, without the login form."""
    client = Client()
    client.force_login(User.objects.get(email=email), backend="usage.sign_in.UserBackend")
    # Colours and places are judged, so nothing may be on its way.
    page.emulate_media(reduced_motion="reduce")
    page.context.clear_cookies()
    page.context.add_cookies(
        [{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}]
    )


def check(page: Any) -> None:
    """No accessibility violation, in the open dialog if there is one, and nothing scrolls sideways, as it stands."""
    has_dialog = page.locator("dialog[open]").count() > 0
    found = Axe().run(page, context="dialog[open]" if has_dialog else None)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def check_all_looks(page: Any, looks: Iterable[tuple[Any, Any]] = LOOKS) -> None:
    """`check` in light and dark, wide and on a phone."""
    for size, scheme in looks:
        page.set_viewport_size(size)
        page.emulate_media(color_scheme=scheme)
        check(page)
    page.set_viewport_size(WIDE)
    page.emulate_media(color_scheme="light")
