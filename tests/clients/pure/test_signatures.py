"""`verify`: what a receiver may believe. The signatures are made by the code that signs Fliq's own calls."""

from __future__ import annotations

from typing import Any

import pytest

from fliq_client import NotVerified, verify
from libs.egress.signing import new_secret, signature_headers

NOW = 1_775_034_000
OLD, NEW, OTHER = (new_secret(bytes([number]) * 32) for number in (1, 2, 3))
URL = "https://example.com/hook?a=1"
BODY = b'{"n": 1}'


def signed(*secrets: str, url: str = URL, body: bytes = BODY, at: int = NOW) -> dict[str, str]:
    """Return the headers of a call that Fliq signs with *secrets*."""
    made = signature_headers(secrets, message_id="exec_1", timestamp_s=at, method="POST", url=url, body=body)
    return dict(made)


def check(secret: Any, headers: dict[str, str], body: bytes = BODY, **options: Any) -> Any:
    return verify(secret, headers, body, **({"method": "POST", "url": URL, "now_s": NOW} | options))


def test_a_call_of_fliq_is_verified() -> None:
    """What is proved is its id and when it was sent."""
    found = check(NEW, signed(NEW))
    assert (found.message_id, found.sent_at.timestamp()) == ("exec_1", NOW)


def test_names_of_headers_may_have_any_case() -> None:
    """Frameworks write them as they like."""
    headers = {name.upper(): value for name, value in signed(NEW).items()}
    assert check(NEW, headers, method="post").message_id == "exec_1"


@pytest.mark.parametrize("secret", [OLD, NEW, [OLD], [OTHER, NEW]])
def test_a_secret_may_be_replaced_at_any_time(secret: Any) -> None:
    """While Fliq signs with two secrets, a receiver that knows either is content."""
    assert check(secret, signed(NEW, OLD)).message_id == "exec_1"


def test_a_receiver_may_know_both_secrets() -> None:
    """Before and after the replacement."""
    for secrets in ([OLD], [NEW, OLD], [NEW]):
        assert check([NEW, OLD], signed(*secrets)).message_id == "exec_1"


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("signature", {"secret": OTHER}),
        ("signature", {"body": BODY + b" "}),
        ("signature", {"body": b""}),
        ("url", {"url": "http://example.com/hook?a=1"}),
        ("url", {"url": "https://example.com/other"}),
        ("url", {"method": "PUT"}),
        ("timestamp", {"now_s": NOW + 301}),
        ("timestamp", {"now_s": NOW - 301}),
        ("timestamp", {"now_s": NOW + 11, "tolerance_s": 10}),
    ],
)
def test_the_part_that_fails_is_named(part: str, change: dict[str, Any]) -> None:
    """So that a URL behind a proxy is not taken for a wrong secret."""
    with pytest.raises(NotVerified) as raised:
        check(headers=signed(NEW), **({"secret": NEW} | change))
    assert raised.value.part == part


@pytest.mark.parametrize(
    "name", ["webhook-id", "webhook-timestamp", "webhook-signature", "X-Fliq-Timestamp", "X-Fliq-Signature"]
)
def test_every_header_is_needed(name: str) -> None:
    """A call that lacks one is not believed, and the header is named."""
    headers = {key: value for key, value in signed(NEW).items() if key != name}
    with pytest.raises(NotVerified, match=name.lower()) as raised:
        check(NEW, headers)
    assert raised.value.part == "headers"


@pytest.mark.parametrize("stamp", ["", "x", "-5", "1e9", "٣", "9" * 400, f" {NOW}"])
def test_a_strange_time_is_refused(stamp: str) -> None:
    """It is no exception of another kind."""
    with pytest.raises(NotVerified):
        check(NEW, signed(NEW) | {"webhook-timestamp": stamp})


@pytest.mark.parametrize(
    "signature", ["", "v1", "v1,", "v2,abc", "ü", "v1,ü", ",,,", " ", "v1," * 5000, "v1,\udcff", "v1=\udcff"]
)
def test_a_strange_signature_is_refused(signature: str) -> None:
    """It is no exception of another kind."""
    for name in ("webhook-signature", "X-Fliq-Signature"):
        with pytest.raises(NotVerified):
            check(NEW, signed(NEW) | {name: signature})


@pytest.mark.parametrize("message_id", ["\udcff", "exec_1\n", "x" * 100_000])
def test_a_strange_id_is_refused(message_id: str) -> None:
    """It is no exception of another kind."""
    with pytest.raises(NotVerified):
        check(NEW, signed(NEW) | {"webhook-id": message_id})


def test_the_two_times_must_agree() -> None:
    """Each signature covers its own: an old X-Fliq-Signature cannot stand beside a fresh webhook-signature."""
    old = signed(NEW, at=NOW - 9000)
    mixed = signed(NEW) | {name: old[name] for name in ("X-Fliq-Timestamp", "X-Fliq-Signature")}
    with pytest.raises(NotVerified) as raised:
        check(NEW, mixed)
    assert raised.value.part == "url"


def test_a_body_cannot_move_into_the_url() -> None:
    """Fliq's own scheme alone would let `…/x` with `pay.1` pass as `…/x.pay` with `1`."""
    headers = signed(NEW, url="https://example.com/x", body=b"pay.1")
    with pytest.raises(NotVerified):
        check(NEW, headers, b"1", url="https://example.com/x.pay")


def test_without_a_url_the_body_is_verified() -> None:
    """The Standard Webhooks signature is enough where the public URL is not known."""
    headers = {name: value for name, value in signed(NEW).items() if name.startswith("webhook-")}
    assert verify(NEW, headers, BODY, now_s=NOW).message_id == "exec_1"
    with pytest.raises(NotVerified):
        verify(NEW, headers, BODY + b"x", now_s=NOW)


def test_a_mistake_of_the_receiver_is_no_bad_call() -> None:
    """A secret of another form, no secret, or half of method and URL raises ValueError."""
    for secret in ("", "secret", "whsec_*", []):
        with pytest.raises(ValueError):
            check(secret, signed(NEW))
    with pytest.raises(ValueError, match="both or none"):
        verify(NEW, signed(NEW), BODY, url=URL)
