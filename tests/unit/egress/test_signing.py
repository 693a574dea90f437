"""Signatures: the published one by hand, the standard one by the standard's own library."""

from __future__ import annotations

import hashlib
import hmac
import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime

import pytest
import standardwebhooks

from libs.egress.signing import KEY_BYTES_MAX, KEY_BYTES_MIN, is_secret, new_secret, signature_headers

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = new_secret(bytes(range(32)))
BODY = b'{"amount": 5}'


def headers(*secrets: str, timestamp_s: int = 1_775_034_000, body: bytes = BODY) -> dict[str, str]:
    """Sign one call."""
    pairs = signature_headers(
        secrets,
        message_id="exec_01hx",
        timestamp_s=timestamp_s,
        method="POST",
        url="https://h.example/x",
        body=body,
    )
    assert len(pairs) == len(dict(pairs)) == 5
    return dict(pairs)


def test_published_signature() -> None:
    """X-Fliq-Signature is the HMAC-SHA256 of `timestamp.METHOD.url.body` in hexadecimal."""
    key = b64decode(SECRET.removeprefix("whsec_"))
    expected = hmac.new(key, b"1775034000.POST.https://h.example/x." + BODY, hashlib.sha256).hexdigest()

    sent = headers(SECRET)

    assert sent["X-Fliq-Timestamp"] == sent["webhook-timestamp"] == "1775034000"
    assert sent["X-Fliq-Signature"] == f"v1={expected}"
    assert sent["webhook-id"] == "exec_01hx"


def test_golden() -> None:
    """The signature of a fixed call never changes."""
    sent = headers(SECRET)

    assert sent["X-Fliq-Signature"] == "v1=78e18e827fd0b1a2915c90c79b1b0ea7093849165028d91f412db27471db8dc2"
    assert sent["webhook-signature"] == "v1,IQRbuHikiNe8u4J/sKs9Cxl8jssRHaQnMm1IezwZdII="


def now_s() -> int:
    """The present, which the standard's library insists on."""
    return int(datetime.now(UTC).timestamp())


@pytest.mark.parametrize("secret", [SECRET, OTHER])
def test_standard_library_verifies(secret: str) -> None:
    """The standardwebhooks library accepts our headers, with either secret of a rotation, and returns the body."""
    sent = headers(SECRET, OTHER, timestamp_s=now_s())

    assert standardwebhooks.Webhook(secret).verify(BODY, sent) == json.loads(BODY)


def test_standard_library_refuses() -> None:
    """X5: a changed body and an old timestamp fail verification."""
    sent = headers(SECRET, timestamp_s=now_s())
    old = headers(SECRET, timestamp_s=now_s() - 3600)

    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(BODY.replace(b"5", b"6"), sent)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(BODY, old)


def test_two_secrets_sign_both_ways() -> None:
    """During a rotation both signatures are there: joined by a comma in ours, by a space in the standard's."""
    both, first, second = headers(SECRET, OTHER), headers(SECRET), headers(OTHER)

    assert both["X-Fliq-Signature"] == f"{first['X-Fliq-Signature']},{second['X-Fliq-Signature']}"
    assert both["webhook-signature"] == f"{first['webhook-signature']} {second['webhook-signature']}"


def test_body_may_be_any_bytes() -> None:
    """An empty body and one that is no text are signed as they are."""
    assert headers(SECRET, body=b"") != headers(SECRET, body=b"\xff\x00")


def test_new_secret() -> None:
    """A secret is `whsec_` and the base64 of its entropy, and is recognised as one."""
    assert new_secret(bytes(24)) == "whsec_" + "A" * 32
    assert is_secret(SECRET)
    assert is_secret(OTHER)


@pytest.mark.parametrize("size", [0, 23, 65])
def test_entropy_of_the_wrong_size(size: int) -> None:
    """Less than 24 or more than 64 bytes make no secret."""
    with pytest.raises(ValueError):
        new_secret(bytes(size))


@pytest.mark.parametrize(
    "text", ["", "whsec_", "whsec_AAAA", "sk_" + "A" * 32, "whsec_" + "!" * 32, "whsec_é" + "A" * 32]
)
def test_not_a_secret(text: str) -> None:
    """Text of another shape is no secret and signs nothing."""
    assert not is_secret(text)
    with pytest.raises(ValueError):
        headers(text)


def test_no_secret() -> None:
    """A call is never sent unsigned by accident."""
    with pytest.raises(ValueError):
        headers()


@pytest.mark.parametrize("length", range(KEY_BYTES_MIN, KEY_BYTES_MAX + 1))
def test_a_signature_is_an_hmac_for_keys_of_every_length(length: int) -> None:
    """Both signatures are what the standard library makes of key and message, each time."""
    key = bytes(range(100, 100 + length))
    for body in (BODY, b"", BODY * 1_000):
        sent = headers(new_secret(key), body=body)

        ours = hmac.digest(key, b"1775034000.POST.https://h.example/x." + body, "sha256")
        theirs = hmac.digest(key, b"exec_01hx.1775034000." + body, "sha256")
        assert sent["X-Fliq-Signature"] == f"v1={ours.hex()}"
        assert sent["webhook-signature"] == f"v1,{b64encode(theirs).decode()}"
