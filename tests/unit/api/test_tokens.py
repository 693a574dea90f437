"""Tokens as text: shape, checksum, hash."""

from __future__ import annotations

import string
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.contract.token_text import PREFIX, checksum, is_well_formed, new_token, token_hash
from tests.fakes.running.topologies import make_token
from tests.simulation.manual_clock import SeededEntropy

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase


def test_new_tokens() -> None:
    """A fresh token has the contract's shape and a right checksum; no two are alike."""
    entropy = SeededEntropy(1).entropy
    tokens = [new_token(entropy) for _ in range(200)]

    assert len(set(tokens)) == 200
    for token in tokens:
        assert token.startswith(PREFIX)
        assert len(token) == len(PREFIX) + 36
        assert is_well_formed(token)
    assert set("".join(token[len(PREFIX) : -6] for token in tokens)) == set(BASE62)


def test_checksum_is_the_contracts() -> None:
    """The checksum is the CRC32 of the 30 characters as a number in base 62, left-padded with `0`."""
    for secret in ("0" * 30, "defaultaccount0000000000000001", "Zz9" * 10):
        digits = checksum(secret)
        value = 0
        for digit in digits:
            value = value * 62 + (BASE62.index(digit))
        assert value == zlib.crc32(secret.encode())
        assert len(digits) == 6


@pytest.mark.parametrize("secret", ["defaultaccount0000000000000001", "otheraccount000000000000000002"])
def test_tokens_made_elsewhere(secret: str) -> None:
    """A token made by another implementation of the contract is well-formed here."""
    assert is_well_formed(make_token(secret))


@given(st.data())
def test_a_changed_character_is_noticed(data: st.DataObject) -> None:
    """A token with one character changed is refused without a look at the tables."""
    token = new_token(SeededEntropy(2).entropy)
    place = data.draw(st.integers(len(PREFIX), len(token) - 1))
    letter = data.draw(st.sampled_from([letter for letter in BASE62 if letter != token[place]]))

    assert not is_well_formed(token[:place] + letter + token[place + 1 :])


@pytest.mark.parametrize(
    "text", ["", "fliq_sk_", "x" * 44, "fliq_sk_" + "é" * 36, "fliq_sk_" + "a" * 1_000_000, "fliq_sk_" + "\x00" * 36]
)
def test_junk(text: str) -> None:
    """What does not look like a token is none."""
    assert not is_well_formed(text)


def test_hash_is_keyed() -> None:
    """What stands in the tables depends on the installation's secret."""
    assert len(token_hash(b"a", "token")) == 32
    assert token_hash(b"a", "token") != token_hash(b"b", "token")
