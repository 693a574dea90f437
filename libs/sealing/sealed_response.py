"""Sealed response: what was kept of an answer, bound to its account, its attempt and its key. Pure."""

from collections.abc import Callable

import msgspec

from libs.events import Response
from libs.sealing.data_key import NONCE_BYTES, DataKey

_encode = msgspec.json.Encoder().encode


def seal_response(
    data: bytes, key: DataKey, *, account: str, job_id: str, attempt: int, entropy: Callable[[int], bytes]
) -> Response:
    """Return *data*, what was kept of the answer to *attempt*, sealed; *entropy* returns random bytes."""
    place = _place(key.key_id, account, job_id, attempt)
    return Response(data=key.seal(data, place, entropy(NONCE_BYTES)), key=key.key_id)


def open_response(data: bytes, key: DataKey, *, account: str, job_id: str, attempt: int) -> bytes:
    """
    Return what was sealed.

    Raises:
        Broken: it was sealed for another attempt, or somebody changed it.
    """
    return key.open(data, _place(key.key_id, account, job_id, attempt))


def _place(key_id: str, account: str, job_id: str, attempt: int) -> bytes:
    return _encode((account, job_id[-26:], key_id, "response", attempt))
