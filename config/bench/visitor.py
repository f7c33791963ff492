"""Somebody who logs in and opens pages: whole requests through all of the middleware, without a network."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from functools import cache
from html import unescape
from http.cookies import SimpleCookie
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

from django.conf import settings
from django.utils.module_loading import import_string

_HOST: Final = "localhost"
_LINK: Final = re.compile(r'\b(href|hx-get)="([^"#]+)')


@dataclass(frozen=True, slots=True)
class Address:
    """Where a link leads; `is_fragment` when HTMX would ask for it."""

    path: str
    is_fragment: bool = False


@dataclass
class Visitor:
    """A browser as far as the server can tell: it keeps cookies, takes gzip, and asks for fragments as HTMX does."""

    name: str
    cookies: SimpleCookie = field(default_factory=SimpleCookie)

    def log_in(self, password: str) -> None:
        """By the login form. Raises PermissionError when that is refused."""
        self.get(Address("/login/"), is_read=True)
        form = {"username": self.name, "password": password, "csrfmiddlewaretoken": self.cookies["csrftoken"].value}
        self._send("POST", Address("/login/"), urlencode(form).encode())
        if "sessionid" not in self.cookies:
            raise PermissionError(self.name)

    def get(self, address: Address, *, is_read: bool = False) -> tuple[int, str]:
        """The status and, if it is to be read (then it comes uncompressed), the text."""
        return self._send("GET", address, b"", accepts="identity" if is_read else "gzip")

    def links(self, address: Address) -> list[Address]:
        """The product's own addresses that the page links to; none unless it is a page."""
        status, text = self.get(address, is_read=True)
        if status != 200:
            return []
        found = ((kind, urljoin(address.path, unescape(link))) for kind, link in _LINK.findall(text))
        return [Address(link, kind == "hx-get") for kind, link in found if not urlsplit(link).scheme]

    def _send(self, method: str, address: Address, body: bytes, *, accepts: str = "identity") -> tuple[int, str]:
        path, _, query = address.path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "SCRIPT_NAME": "",
            "SERVER_NAME": _HOST,
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_HOST": _HOST,
            "HTTP_ACCEPT_ENCODING": accepts,
            "HTTP_COOKIE": "; ".join(f"{each.key}={each.value}" for each in self.cookies.values()),
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        if address.is_fragment:
            environ |= {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "drawer"}
        answered: list[Any] = []
        answer = _application()(environ, lambda status, headers, error=None: answered.extend([status, headers]))
        content = b"".join(answer)
        answer.close()
        status, headers = answered
        for header, value in headers:
            if header == "Set-Cookie":
                self.cookies.load(value)
        return int(status.split()[0]), content.decode() if accepts == "identity" else ""


@cache
def _application() -> Any:
    # As the web server loads it: with everything that it readies before the first request.
    return import_string(settings.WSGI_APPLICATION)
