"""
API error: what the API refuses, in the contract's one shape `{"error": {"code", "message"}}`. `error_codes.py` lists the codes.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NoReturn

RETRY_AFTER_S: Final = 1  # what 503 answers ask for: outages of one part heal within seconds
_ALIKE: Final = 4  # letters with which two names of fields begin, if one may be meant by the other
_NO_HEADERS: Final[Mapping[str, str]] = {}


class ApiError(Exception):
    """
    A refusal.

    Args:
        status: the HTTP status.
        code: one of `error_codes.CODES`.
        message: one sentence for a person; never holds a secret.
        headers: response headers besides the usual.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] = _NO_HEADERS) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


def bad(code: str, message: str) -> ApiError:
    """Return the 400 for *code*."""
    return ApiError(400, code, message)


def refuse(code: str, message: str) -> NoReturn:
    """Raise the 400 for *code*."""
    raise ApiError(400, code, message)


def refuse_unknown(name: str, known: Iterable[str], within: str = "") -> NoReturn:
    """
    Raise the 400 for the field *name*, which a request does not have; the message names a field of *known* that is like it.

    A field is like it if both begin with the same four letters, or if one name contains the other. Nothing that costs more is
    compared, so that a batch of a thousand such requests costs no more than a thousand good ones.
    """
    shown, low = name[:40], name[:40].lower()
    meant = next(
        (
            each
            for each in known
            if each[:_ALIKE] == low[:_ALIKE] or (len(low) >= _ALIKE and (low in each or each in low))
        ),
        None,
    )
    hint = f"; did you mean {within + meant!r}?" if meant else "; docs/api.md lists the fields"
    raise ApiError(400, "unknown_field", f"unknown field {within + shown!r}{hint}")


def not_found(what: str) -> ApiError:
    """Return the 404 for a *what* that is missing or another account's: the two look alike."""
    return ApiError(404, "not_found", f"{what} not found")


def unavailable(message: str = "temporarily unavailable, try again") -> ApiError:
    """Return the 503 for a part of Fliq that does not answer in time."""
    return ApiError(503, "unavailable", message, {"Retry-After": str(RETRY_AFTER_S)})


def outcome_unknown(message: str) -> ApiError:
    """Return the 503 for a request that may have taken effect; repeating it is safe."""
    return ApiError(503, "outcome_unknown", message, {"Retry-After": str(RETRY_AFTER_S)})
