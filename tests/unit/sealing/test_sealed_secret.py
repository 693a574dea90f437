"""Signing secrets as tables keep them: what opens them, and what an older build makes of them."""

from __future__ import annotations

import os

import pytest

from libs.egress.signing import is_secret, new_secret
from libs.sealing.data_key import Broken, DataKey
from libs.sealing.sealed_secret import key_of, open_secret, seal_secret

KEY = DataKey("dk_1", b"k" * 32)
SECRET = new_secret(bytes(range(32)))


def test_a_secret_opens_for_its_owner_alone() -> None:
    """Not for another account or endpoint, under another key, or when a character was changed; twice sealed, it looks different."""
    text = seal_secret(SECRET, KEY, owner="acme", entropy=os.urandom)

    assert open_secret(text, KEY, owner="acme") == SECRET
    assert SECRET[6:] not in text
    assert text != seal_secret(SECRET, KEY, owner="acme", entropy=os.urandom)
    changed = text[:-6] + ("A" if text[-6] != "A" else "B") + text[-5:]
    wrong = [
        (text, KEY, "whe_1"),
        (text, DataKey("dk_2", b"k" * 32), "acme"),
        (changed, KEY, "acme"),
        ("sealed:dk_1:", KEY, "acme"),
        ("sealed:dk_1:not base64", KEY, "acme"),
    ]
    for kept, key, owner in wrong:
        with pytest.raises(Broken):
            open_secret(kept, key, owner=owner)


def test_a_sealed_secret_is_told_from_one_in_clear() -> None:
    """It names its key, and a build that knows nothing of it does not take it for a secret to sign with."""
    text = seal_secret(SECRET, KEY, owner="acme", entropy=os.urandom)

    assert (key_of(text), key_of(SECRET)) == ("dk_1", None)
    assert (is_secret(text), is_secret(SECRET)) == (False, True)
