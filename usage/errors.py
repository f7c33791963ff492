"""What can go wrong, in words for the sender. `config.api` turns these into `application/problem+json` (spec 10.5)."""

from __future__ import annotations

from typing import Any


class HeadroomError(Exception):
    """A refusal with a stable `code`, a sentence for people, and the HTTP status it means.

    `field` names the input at fault; `extra` holds further members of the answer (such as `lowest_allowed`).
    """

    title = "The request was refused"

    def __init__(self, code: str, detail: str, status: int = 400, *, field: str | None = None, **extra: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status
        self.field = field
        self.extra = extra


class BadRequest(HeadroomError):
    """400: the request itself cannot be read."""

    title = "The request cannot be read"

    def __init__(self, detail: str, *, code: str = "bad_request", status: int = 400, field: str | None = None) -> None:
        super().__init__(code, detail, status, field=field)


class Unauthorized(HeadroomError):
    """401: no API key, or none that is valid now. Says the same in every case."""

    title = "An API key is needed"

    def __init__(self) -> None:
        super().__init__("unauthorized", "Send a valid key as “Authorization: Bearer KEY”.", 401)


class Forbidden(HeadroomError):
    """403: known, but not allowed."""

    title = "Not allowed"

    def __init__(self, detail: str, *, code: str = "forbidden", **extra: Any) -> None:
        super().__init__(code, detail, 403, **extra)


class NotFound(HeadroomError):
    """404: missing and foreign things alike (spec 1.5)."""

    title = "Not found"

    def __init__(self, detail: str = "There is no such thing.", *, code: str = "not_found") -> None:
        super().__init__(code, detail, 404)


class Conflict(HeadroomError):
    """409: contradicts what is stored."""

    title = "This contradicts what is stored"

    def __init__(self, detail: str, *, code: str = "conflict", field: str | None = None, **extra: Any) -> None:
        super().__init__(code, detail, 409, field=field, **extra)


class InvalidInput(HeadroomError):
    """422: readable, but a value is impossible."""

    title = "A value is not possible"

    def __init__(self, detail: str, *, field: str | None = None, code: str = "invalid_input", **extra: Any) -> None:
        super().__init__(code, detail, 422, field=field, **extra)


class BeforeFirstPeriod(InvalidInput):
    """The instant lies before the account's first period (spec 2.5)."""

    def __init__(self, detail: str = "This lies before the account's first billing period.") -> None:
        super().__init__(detail, field="time", code="before_first_period")


class AccountEnded(InvalidInput):
    """The instant lies at or after the account's end (spec 2.5)."""

    def __init__(self, detail: str = "The account has ended before that.") -> None:
        super().__init__(detail, field="time", code="account_ended")
