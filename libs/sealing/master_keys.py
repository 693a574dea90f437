"""
Master keys: what wraps the data keys. Pure.

The text of a master key file has one key a line, 32 bytes in base64; empty lines and lines that begin with `#` say nothing. The
first key wraps. The others only unwrap: a master key is replaced by a new first line, and the old line goes when every data key is
wrapped anew.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Final, NamedTuple

from libs.sealing.data_key import KEY_BYTES, DataKey

_WRAPPING: Final = b"fliq data key "


class WrappedKey(NamedTuple):
    """
    A data key as the tables keep it.

    Args:
        master_id: which master key wraps it.
        wrapped: None if it was deleted: what it sealed can never be opened again.
    """

    key_id: str
    account: str
    master_id: str
    wrapped: bytes | None


class WrongMasterKeys(ValueError):
    """The text of a master key file is not one; the message says why, and shows nothing of it."""


class UnknownMasterKey(Exception):
    """A data key is wrapped by a master key that the file does not have."""


class MasterKeys:
    """
    The keys of one file.

    Attributes:
        master_id: names the key that wraps.
        ids: names all of them.
    """

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        """Wrap with the first of *secrets*, unwrap with all."""
        self._by_id = {_id_of(secret): DataKey(_id_of(secret), secret) for secret in secrets}
        self._secrets = secrets
        self.ids = tuple(self._by_id)
        self.master_id = self.ids[0]

    @classmethod
    def parse(cls, text: str) -> MasterKeys:
        """Return the keys that *text* holds; raises `WrongMasterKeys`."""
        lines = [line.strip() for line in text.splitlines()]
        secrets = tuple(_secret(line) for line in lines if line and not line.startswith("#"))
        if not secrets:
            raise WrongMasterKeys("it holds no key")
        return cls(secrets)

    def text(self) -> str:
        """Return the text of a file with these keys."""
        return "".join(f"{b64encode(secret).decode()}\n" for secret in self._secrets)

    def after(self, secret: bytes) -> MasterKeys:
        """Return these keys behind a new first one."""
        return MasterKeys((secret, *self._secrets))

    def first_alone(self) -> MasterKeys:
        """Return the key that wraps, without the others."""
        return MasterKeys(self._secrets[:1])

    def wrap(self, key_id: str, account: str, secret: bytes, nonce: bytes) -> WrappedKey:
        """Return a data key of *account*, wrapped by the first key."""
        wrapped = self._by_id[self.master_id].seal(secret, _place(key_id, account), nonce)
        return WrappedKey(key_id, account, self.master_id, wrapped)

    def unwrap(self, key: WrappedKey) -> bytes:
        """
        Return the secret of a data key that was not deleted.

        Raises:
            UnknownMasterKey: these are not the keys that wrapped it.
            Broken: its row was changed.
        """
        master = self._by_id.get(key.master_id)
        if master is None:
            raise UnknownMasterKey(key.master_id)
        return master.open(key.wrapped or b"", _place(key.key_id, key.account))


def _place(key_id: str, account: str) -> bytes:
    return _WRAPPING + key_id.encode() + b" " + account.encode()


def _id_of(secret: bytes) -> str:
    return sha256(b"fliq master key " + secret).hexdigest()[:16]


def _secret(line: str) -> bytes:
    try:
        secret = b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise WrongMasterKeys("a line is not base64") from None
    if len(secret) != KEY_BYTES:
        raise WrongMasterKeys(f"a key has {len(secret)} bytes, not {KEY_BYTES}")
    return secret
