"""
Errors: what a call can raise. Pure.

Every error of the API has a class of its own, by its code (`error_codes.py`). All of them, and everything else that this package
raises on purpose, are `FliqError`; an argument that can never be right is a ValueError or a TypeError, raised before anything is
sent.
"""

from __future__ import annotations


class FliqError(Exception):
    """The call did not do what it was asked to do."""


class NotAnswered(FliqError):
    """
    No answer came, after all retries.

    Args:
        reason: what went wrong last.
        may_have_happened: whether the request may have reached Fliq. If a create with a `key` of your own may have, repeat it
            with that key: no second job is made.
    """

    def __init__(self, reason: str, may_have_happened: bool) -> None:
        super().__init__(reason, may_have_happened)
        self.reason = reason
        self.may_have_happened = may_have_happened

    def __str__(self) -> str:
        return f"no answer from {self.reason}"


class UnexpectedAnswer(FliqError):
    """
    The answer is not Fliq's: a proxy's page, a redirect, or a document of another shape.

    Args:
        reason: what is wrong with it.
        status: its HTTP status.
    """

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason, status)
        self.reason = reason
        self.status = status

    def __str__(self) -> str:
        return f"HTTP {self.status}: {self.reason}"


class ApiError(FliqError):
    """
    Fliq refused the request.

    Args:
        message: for people.
        status: the HTTP status.
        code: stable; each code that this version knows has a class of its own.
        retry_after_s: how long Fliq asks to wait, in seconds; None if it does not say.
    """

    code = ""
    status = 0

    def __init__(self, message: str, status: int, code: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, status, code, retry_after_s)  # all of it, so that the error can be pickled
        self.message = message
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"{self.status} {self.code}: {self.message}"


class BadRequest(ApiError):
    """400: the request itself is wrong; repeating it does not help."""

    status = 400


class Conflict(ApiError):
    """409: the request does not fit the state of things."""

    status = 409


class NotVerified(FliqError):
    """
    A call that a receiver got does not prove that Fliq sent it.

    Args:
        part: what failed: `headers`, `timestamp`, `signature` or `url`.
        reason: the same in words.
    """

    def __init__(self, part: str, reason: str) -> None:
        super().__init__(part, reason)
        self.part = part
        self.reason = reason

    def __str__(self) -> str:
        return self.reason
