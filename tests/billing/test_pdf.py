"""The child that makes PDFs: what it may reach, how much it may use, and that it never takes its parent along (spec
5.9)."""

import os
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pypdf
import pytest

from billing.pdf import XML_NAME, Page, Renderer, RenderingFailed

CHART = (
    "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHZpZXdCb3g9IjAgMCA5IDkiPjxyZWN0IHd"
    "pZHRoPSI5IiBoZWlnaHQ9IjkiLz48L3N2Zz4="
)


def page(body: str = "<p>Hello</p>", *, css: str = "p{color:#123}", head: str = "", xml: str = "") -> Page:
    html = f'<!doctype html><html lang="en"><head><title>Test</title>{head}</head><body>{body}</body></html>'
    return Page(html=html, css=css, created_at="2026-07-01T01:00:00+00:00", identifier="test", xml=xml)


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    with Renderer() as warm:
        yield warm


def test_the_same_page_gives_the_same_bytes_dated_as_it_says(renderer):
    first = renderer.render(page(xml="<a/>"))
    assert renderer.render(page(xml="<a/>")).content == first.content
    assert pypdf.PdfReader(BytesIO(first.content)).metadata["/CreationDate"] == "D:20260701010000+00'00"


def test_the_chart_inside_the_page_is_drawn(renderer):
    with_chart = renderer.render(page(f'<img src="{CHART}" alt="x">'))
    assert with_chart.blocked == ()
    assert len(with_chart.content) != len(renderer.render(page('<img alt="x">')).content)


@pytest.mark.parametrize(
    "address",
    [
        "file:///etc/passwd",
        "http://127.0.0.1:9/x.png",
        "https://example.com/x.png",
        "ftp://127.0.0.1/x",
        "data:text/html,<h1>x</h1>",
        "data:image/png;base64,iVBORw0KGgo=",
        "/etc/passwd",
        "//127.0.0.1/x",
    ],
)
def test_no_address_is_followed(renderer, address):
    head = f'<link rel="attachment" href="{address}"><link rel="stylesheet" href="{address}">'
    css = f'@import "{address}"; @font-face {{ font-family: x; src: url("{address}") }} p {{ font-family: x }}'
    pdf = renderer.render(
        page(f'<img src="{address}" alt="x"><p style="background:url({address})">x</p>', head=head, css=css)
    )
    reader = pypdf.PdfReader(BytesIO(pdf.content))
    assert not reader.attachments
    assert "root:" not in reader.pages[0].extract_text()


def test_the_xml_is_attached_as_it_is(renderer):
    xml = "<a>Łódź &amp; more</a>"
    reader = pypdf.PdfReader(BytesIO(renderer.render(page(xml=xml)).content))
    assert reader.attachments[XML_NAME][0].decode() == xml


def test_the_child_knows_neither_settings_nor_secrets(renderer):
    os.environ["SECRET_FOR_TEST"] = "x"
    renderer.close()
    renderer.render(page())
    environment = Path(f"/proc/{renderer._child.pid}/environ").read_bytes()
    assert b"SECRET" not in environment
    assert b"DATABASE_URL" not in environment


def test_a_page_that_takes_too_long_is_given_up_and_the_next_one_made():
    endless = "<table>" + "<tr><td>x<td>y<td>z</tr>" * 60_000 + "</table>"
    with Renderer(seconds=2) as impatient:
        with pytest.raises(RenderingFailed):
            impatient.render(page(endless))
        assert impatient.render(page()).pages == 1


def test_a_page_that_needs_too_much_memory_is_given_up():
    with Renderer(memory=330 * 1024 * 1024, seconds=20) as small:
        assert small.render(page()).pages == 1
        with pytest.raises(RenderingFailed):
            small.render(page("<p>" + "word " * 8_000_000 + "</p>"))
        assert small.render(page()).pages == 1


def test_a_child_that_dies_is_replaced(renderer):
    renderer.render(page())
    os.kill(renderer._child.pid, 9)
    with pytest.raises(RenderingFailed):
        renderer.render(page())
    assert renderer.render(page()).pages == 1


def test_nothing_is_left_running_when_it_is_closed():
    with Renderer() as one:
        one.render(page())
        pid = one._child.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_many_pages_are_counted(renderer):
    assert renderer.render(page("<p>x</p>" * 3 + '<div style="break-before:page">y</div>')).pages == 2
