"""The usage page of a demo workspace as its teammate sees it, into docs/screenshot.png: see bin/screenshot."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).with_name("screenshot.png")
SIZE = {"width": 1280, "height": 900}


def main(address: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        page.goto(f"{address}/login/?next=/w/atlas/usage")
        page.get_by_label("E-mail").fill("ada@demo.example")
        page.get_by_label("Password", exact=True).fill("headroom")
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("heading", name="Resolutions", exact=True).evaluate(
            "heading => scrollTo(0, heading.getBoundingClientRect().top - 24)"
        )
        page.evaluate("document.fonts.ready")
        page.screenshot(path=PICTURE)
        browser.close()
    print(f"{PICTURE}: {PICTURE.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main(sys.argv[1])
