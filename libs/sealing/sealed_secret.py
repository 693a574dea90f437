"""
Sealed secret: a signing secret as its table keeps it, bound to its owner and its key. Pure.

    whsec_...                in clear, from before there were keys
    sealed:<key>:<base64>    sealed; a build that knows nothing of it refuses to sign with such a text
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Final

import msgspec

from libs.sealing.data_key import NONCE_BYTES, Broken, DataKey

_MARK: Final = "sealed"
_encode: Final = msgspec.json.Encoder().encode


def seal_secret(secret: str, key: DataKey, *, owner: str, entropy: Callable[[int], bytes]) -> str:
    """Return the text that is kept of *secret* of *owner*, an account or a webhook endpoint; *entropy* returns random bytes."""
    sealed = key.seal(secret.encode(), _place(key.key_id, owner), entropy(NONCE_BYTES))
    return f"{_MARK}:{key.key_id}:{b64encode(sealed).decode()}"


def open_secret(text: str, key: DataKey, *, owner: str) -> str:
    """
    Return what `seal_secret` sealed.

    Raises:
        Broken: it was sealed for another owner, or somebody changed it.
    """
    try:
        sealed = b64decode(text.rpartition(":")[2], validate=True)
    except binascii.Error:
        raise Broken("not base64") from None
    return key.open(sealed, _place(key.key_id, owner)).decode()


def key_of(text: str) -> str | None:
    """Return the id of the key that sealed *text*; None if it stands in clear."""
    mark, _, rest = text.partition(":")
    return rest.partition(":")[0] if mark == _MARK else None


def _place(key_id: str, owner: str) -> bytes:
    return _encode((owner, key_id, "signing secret"))
