"""How long the server works on each page of the demo, for whoever may open it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final
from urllib.parse import urlsplit

from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import Resolver404, resolve

from config.bench.ground import Ground
from config.bench.measure import Row, percentile, row
from config.bench.visitor import Address, Visitor
from config.demo.cast import ADMIN, PASSWORD, PEOPLE

MOST_MS: Final = 25
_PLACES: Final = 4  # addresses of one page and person that are tried, to find the slowest
_TIMES: Final = 60  # requests of the slowest
# What is no page: files, the API with its description, and what is opened once and changes something.
_LEFT_OUT: Final = ("/static/", "/api/", "/logout/", "/admin/logout/", "/admin/jsi18n/")
_FILES: Final = (".csv", ".pdf")

Visit = tuple[Visitor, Address]


def page_times(ground: Ground) -> Iterator[Row]:
    """A row for each page: milliseconds that 95 % of the requests do not exceed, of its slowest address, for whom it
    takes longest. Pages are found by following links, as people do."""
    # One connection for all of it, whose CPU can be counted.
    connection.settings_dict["CONN_MAX_AGE"] = None
    connection.close()
    call_command("collectstatic", interactive=False, verbosity=0)
    pages: dict[str, list[tuple[float, Visit]]] = {}
    for visitor, starts in _visitors():
        for name, addresses in _found(visitor, starts).items():
            visits: list[Visit] = [(visitor, address) for address in addresses]
            pages.setdefault(name, []).extend((_tried(visit), visit) for visit in visits)
    for name in sorted(pages):
        _, visit = max(pages[name], key=lambda each: each[0])
        yield _measured(ground, name, visit)


def _visitors() -> Iterator[tuple[Visitor, Sequence[str]]]:
    yield Visitor("stranger"), ("/login/", "/password_reset/")
    for person in PEOPLE:
        visitor = Visitor(person.email)
        visitor.log_in(PASSWORD)
        yield visitor, [f"/w/{key}/" for key in person.workspaces]
    admin = Visitor(ADMIN.email)
    admin.log_in(PASSWORD)
    lists = [link.path for link in admin.links(Address("/admin/")) if not link.path.endswith("/add/")]
    yield admin, ("/admin/", *lists)


def _found(visitor: Visitor, starts: Sequence[str]) -> dict[str, list[Address]]:
    """A few addresses of every page that can be reached, by the page's name."""
    found: dict[str, list[Address]] = {}
    ahead = [Address(path) for path in starts]
    seen = set(ahead)
    while ahead:
        address = ahead.pop(0)
        name = _page_of(address)
        if name is None or len(found.setdefault(name, [])) == _PLACES:
            continue
        found[name].append(address)
        new = [link for link in dict.fromkeys(_links(visitor, address, name)) if link not in seen]
        seen.update(new)
        ahead += new
    return found


def _links(visitor: Visitor, address: Address, name: str) -> list[Address]:
    """Where a page leads. The admin's lists lead to every row of every table: their first rows are enough."""
    if not address.path.startswith("/admin/"):
        return visitor.links(address)
    if not name.endswith("_changelist"):
        return []
    record = name.removesuffix("list")
    return [link for link in visitor.links(address) if _page_of(link) == record][:_PLACES]


def _page_of(address: Address) -> str | None:
    path = urlsplit(address.path).path
    if path.startswith(_LEFT_OUT) or path.endswith(_FILES):
        return None
    try:
        name = resolve(path).view_name
    except Resolver404:
        return None
    return f"{name}_fragment" if address.is_fragment else name


def _tried(visit: Visit) -> float:
    _timed(visit)
    return min(_timed(visit) for _ in range(3))


def _timed(visit: Visit) -> float:
    began = time.perf_counter()
    visit[0].get(visit[1])
    return (time.perf_counter() - began) * 1000


def _measured(ground: Ground, name: str, visit: Visit) -> Row:
    visitor, address = visit
    with CaptureQueriesContext(connection) as sent:
        visitor.get(address)
    statements = len(sent)  # now: the next request empties the list
    with ground.watch_here() as watch:
        times = [_timed(visit) for _ in range(_TIMES)]
    cpu = watch.sample(_TIMES).cost * 1000
    unit = f"ms p95; median {median(times):.1f}, CPU {cpu:.1f}, {statements} statements"
    return row(f"page_{name}", unit, percentile(times, 0.95), most=MOST_MS)
