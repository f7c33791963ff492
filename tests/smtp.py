"""A real SMTP server for tests: it keeps what it accepted and can refuse whom a test names."""

import time
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from socket import create_server

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class SmtpSink:
    """`messages`: (recipient, message) in the order of arrival; `refuse[address] = "550 no such user"` refuses one."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, EmailMessage]] = []
        self.refuse: dict[str, str] = {}
        with create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    @property
    def url(self) -> str:
        """The EMAIL_URL under which processes of the product reach this server."""
        return f"smtp://127.0.0.1:{self.port}"

    def to(self, address: str) -> list[EmailMessage]:
        return [message for recipient, message in self.messages if recipient == address]

    def wait_for(self, count: int, *, seconds: float = 10) -> list[tuple[str, EmailMessage]]:
        """Return as soon as `count` messages are there; fail when they do not come in time."""
        deadline = time.monotonic() + seconds
        while len(self.messages) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.messages) >= count, f"{len(self.messages)} of {count} messages arrived within {seconds} s"
        return self.messages

    def start(self) -> None:
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.messages += [(recipient, message) for recipient in envelope.rcpt_tos]
        return "250 OK"
