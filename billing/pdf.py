"""Pages to PDF in a child process: no network, no files, no settings and no database behind the door, limited memory
and time (spec 5.9).

Owns: the conversation with the child, its limits, PDF/A-3a, the attached e-invoice.
Does not own: what stands on the page (templates/documents), the XML (billing.einvoice), storing.

    with Renderer() as renderer:
        pdf = renderer.render(Page(html=…, css=…, created_at=…))

The same page always gives the same bytes. The child is this file, run by itself; it stays warm for a batch.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import IO, Any, Final, Self

MEMORY: Final = 1024 * 1024 * 1024  # address space of the child; a page of text needs a third of it
SECONDS: Final = 60  # of CPU, and somewhat more by the clock, for one document
RECYCLE_AFTER: Final = 200  # documents of one child, because fonts and caches grow
LARGEST: Final = 64 * 1024 * 1024
XML_NAME: Final = "factur-x.xml"


class RenderingFailed(Exception):
    """The page could not be made into a PDF: too large, too slow, or the renderer stumbled. Trying again may help."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is rendered. `created_at` is an ISO instant (UTC), the PDF's date; `xml` is attached as Factur-X."""

    html: str
    css: str
    created_at: str
    identifier: str
    xml: str = ""


@dataclass(frozen=True, slots=True)
class Pdf:
    """`blocked` are addresses that the page asked for and did not get."""

    content: bytes
    pages: int
    blocked: tuple[str, ...] = ()


class Renderer:
    """A warm child for several documents. Not for use by several threads."""

    def __init__(self, *, seconds: int = SECONDS, memory: int = MEMORY) -> None:
        self._seconds = seconds
        self._memory = memory
        self._child: subprocess.Popen[bytes] | None = None
        self._rendered = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def render(self, page: Page) -> Pdf:
        """The page as PDF/A-3a. Raises RenderingFailed; the next call then begins with a new child."""
        if self._child is not None and self._rendered >= RECYCLE_AFTER:
            self.close()
        child = self._child or self._start()
        deadline = time.monotonic() + self._seconds * 1.5 + 5
        try:
            _send(child.stdin, json.dumps(asdict(page)).encode(), deadline)
            head = json.loads(_receive(child.stdout, deadline))
            if "error" in head:
                raise RenderingFailed(head["error"])
            content = _receive(child.stdout, deadline)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            reason = "took too long" if isinstance(error, TimeoutError) else self._how_it_ended()
            self.close()
            raise RenderingFailed(f"The renderer {reason}.") from error
        self._rendered += 1
        return Pdf(content=content, pages=head["pages"], blocked=tuple(head["blocked"]))

    def close(self) -> None:
        """End the child; the next `render` starts another one."""
        child, self._child, self._rendered = self._child, None, 0
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        # -I: no environment, no user's site-packages, and the folder of this file is not searched for modules.
        command = [sys.executable, "-I", "-W", "ignore", __file__, str(self._memory), str(self._seconds)]
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8", "HOME": "/nonexistent"},
            cwd="/",
            start_new_session=True,
            bufsize=0,
        )
        self._rendered = 0
        return self._child

    def _how_it_ended(self) -> str:
        child = self._child
        if child is None:
            return "was not there"
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = child.wait(timeout=1)
            if code in (-signal.SIGXCPU, -signal.SIGKILL):
                return "took too long"
            return f"ended ({code})"
        return "spoke out of turn"


def _send(pipe: IO[bytes] | None, message: bytes, deadline: float) -> None:
    assert pipe is not None  # noqa: S101 - opened with PIPE
    os.set_blocking(pipe.fileno(), False)
    rest = memoryview(len(message).to_bytes(8, "big") + message)
    while rest:
        _, ready, _ = select.select([], [pipe], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        rest = rest[os.write(pipe.fileno(), rest[:65536]) :]


def _receive(pipe: IO[bytes] | None, deadline: float) -> bytes:
    size = int.from_bytes(_read(pipe, 8, deadline), "big")
    if size > LARGEST:
        raise ValueError("larger than any document")
    return _read(pipe, size, deadline)


def _read(pipe: IO[bytes] | None, size: int, deadline: float) -> bytes:
    assert pipe is not None  # noqa: S101 - opened with PIPE
    parts = []
    while size:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        part = os.read(pipe.fileno(), min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


# --- From here on: the child. It imports nothing of ours. ---

# Factur-X properties with the description of their schema that PDF/A demands.
_XMP: Final = b"""<rdf:Description rdf:about="" xmlns:fx="urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#">
<fx:DocumentType>INVOICE</fx:DocumentType><fx:DocumentFileName>factur-x.xml</fx:DocumentFileName>
<fx:Version>1.0</fx:Version><fx:ConformanceLevel>EN 16931</fx:ConformanceLevel></rdf:Description>
<rdf:Description rdf:about="" xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/"
 xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#" xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#">
<pdfaExtension:schemas><rdf:Bag><rdf:li rdf:parseType="Resource">
<pdfaSchema:schema>Factur-X PDFA Extension Schema</pdfaSchema:schema>
<pdfaSchema:namespaceURI>urn:factur-x:pdfa:CrossIndustryDocument:invoice:1p0#</pdfaSchema:namespaceURI>
<pdfaSchema:prefix>fx</pdfaSchema:prefix><pdfaSchema:property><rdf:Seq>%s</rdf:Seq></pdfaSchema:property>
</rdf:li></rdf:Bag></pdfaExtension:schemas></rdf:Description>""" % b"".join(
    b'<rdf:li rdf:parseType="Resource"><pdfaProperty:name>%s</pdfaProperty:name>'
    b"<pdfaProperty:valueType>Text</pdfaProperty:valueType><pdfaProperty:category>external</pdfaProperty:category>"
    b"<pdfaProperty:description>%s</pdfaProperty:description></rdf:li>" % (name, said)
    for name, said in (
        (b"DocumentFileName", b"name of the embedded XML invoice file"),
        (b"DocumentType", b"INVOICE"),
        (b"Version", b"version of the Factur-X XML schema"),
        (b"ConformanceLevel", b"conformance level of the embedded Factur-X data"),
    )
)


def _serve(memory: int, seconds: int) -> None:
    import resource

    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints must not get between the messages
    _leave_the_network()
    import weasyprint

    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    fonts = weasyprint.text.fonts.FontConfiguration()
    sheets: dict[str, Any] = {}  # every page of a batch comes with the same one
    while True:
        request = sys.stdin.buffer.read(8)
        if len(request) < 8:
            return
        page = json.loads(sys.stdin.buffer.read(int.from_bytes(request, "big")))
        used = int(time.process_time()) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, resource.RLIM_INFINITY))
        try:
            head, content = _render(page, fonts, sheets)
        except Exception as error:
            head, content = {"error": f"{type(error).__name__}: {error}"[:500]}, b""
        said = json.dumps(head).encode()
        for message in (said, content) if content else (said,):
            out.write(len(message).to_bytes(8, "big"))
            rest = memoryview(message)
            while rest:
                rest = rest[out.write(rest) :]


def _leave_the_network() -> None:
    """Into a network of its own, without any way out, where the machine allows it; addresses are refused anyway."""
    with contextlib.suppress(OSError, AttributeError):
        os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)


def _render(page: dict[str, Any], fonts: Any, sheets: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    from datetime import datetime
    from hashlib import sha256
    from urllib.parse import unquote_to_bytes

    import weasyprint
    from weasyprint.urls import URLFetcher, URLFetcherResponse

    blocked: list[str] = []

    class OnlyOwnPictures(URLFetcher):  # type: ignore[misc, unused-ignore]
        """Gives the page the chart that stands inside of it, and nothing from anywhere else."""

        def fetch(self, url: str, headers: Any = None) -> Any:
            kind, _, data = url.partition(",")
            if kind != "data:image/svg+xml;base64" or len(data) > 2_000_000:
                blocked.append(url[:200])
                raise ValueError("addresses are not followed")
            from base64 import b64decode

            return URLFetcherResponse(url, b64decode(unquote_to_bytes(data)), {"Content-Type": "image/svg+xml"})

    fetcher = OnlyOwnPictures()
    created_at = datetime.fromisoformat(page["created_at"])
    sheet = sheets.get(page["css"])
    if sheet is None:
        sheet = sheets[page["css"]] = weasyprint.CSS(string=page["css"], url_fetcher=fetcher, font_config=fonts)
    html = weasyprint.HTML(string=page["html"], url_fetcher=fetcher, base_url=None)
    document = html.render(stylesheets=[sheet], font_config=fonts, pdf_variant="pdf/a-3a")
    document.metadata.created = document.metadata.modified = created_at.isoformat(timespec="seconds")
    document.metadata.attachments = []
    attachments = []
    if page["xml"]:
        attachments.append(
            weasyprint.Attachment(
                string=page["xml"],
                name=XML_NAME,
                description="Factur-X invoice",
                created=created_at,
                modified=created_at,
                relationship="Data",
                url_fetcher=fetcher,
            )
        )
        described = document.metadata.generate_rdf_metadata
        document.metadata.generate_rdf_metadata = lambda *args: described(*args).replace(
            b"</rdf:RDF>", _XMP + b"</rdf:RDF>"
        )
    content = document.write_pdf(
        pdf_variant="pdf/a-3a",
        attachments=attachments,
        pdf_identifier=sha256(page["identifier"].encode()).digest()[:16],
        srgb=True,
    )
    return {"pages": len(document.pages), "blocked": blocked}, content


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
