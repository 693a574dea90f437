"""What is sealed, that it opens in its own place alone, and that nothing of it can be read."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events import Spec
from libs.events.retry_policy import RetryPolicy
from libs.sealing.data_key import Broken, DataKey
from libs.sealing.sealed_spec import Unopened, clear_part, open_spec, seal_spec, stored_url

JOB = "job_01mcc5rm3v001h4d2pf28aqkff"
OTHER_JOB = "job_01mcc5rm3v001g000000000000"
KEY = DataKey("dk_1", b"1" * 32)
SPEC = Spec(
    url="https://example.com/charge?token=CANARY-QUERY",
    method="PUT",
    headers={"Authorization": "CANARY-HEADER", "X-Empty": ""},
    body="CANARY-BODY",
    timeout_ms=45_000,
    webhook_url="https://example.com/hook?token=CANARY-WEBHOOK-QUERY",
    webhook_headers={"X-Token": "CANARY-WEBHOOK-HEADER"},
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    webhook_retry=RetryPolicy(max_retries=2),
)


def sealed(spec: Spec = SPEC, *, account: str = "acme", spec_id: str = JOB, key: DataKey = KEY) -> Spec:
    return seal_spec(spec, key, account=account, spec_id=spec_id, entropy=os.urandom)


def opened(spec: Spec, *, account: str = "acme", spec_id: str = JOB, key: DataKey = KEY) -> Spec:
    return open_spec(spec, key, account=account, spec_id=spec_id)


def test_nothing_secret_can_be_read_in_a_sealed_spec() -> None:
    """Scheme, host, path, method and the names of headers stand there; queries, values and the body do not."""
    text = msgspec.json.encode(sealed()).decode()

    assert "CANARY" not in text
    for clear in ("https://example.com/charge", "https://example.com/hook", "Authorization", "X-Token", "PUT"):
        assert clear in text


_TEXT = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)
_HEADERS = st.none() | st.dictionaries(st.text("abcX-", min_size=1, max_size=8), _TEXT, max_size=4)
_URLS = st.sampled_from(["https://h.example/", "https://h.example/p?", "https://h.example/p?a=b?c", "http://h/?q"])


@given(
    st.builds(
        Spec,
        url=_URLS,
        headers=_HEADERS,
        body=st.none() | _TEXT,
        webhook_url=st.none() | _URLS,
        webhook_headers=_HEADERS,
    )
)
def test_what_is_sealed_opens_as_it_was(spec: Spec) -> None:
    """Whatever a caller may give, also if nothing is there, or nothing but a question mark."""
    stored = msgspec.json.decode(msgspec.json.encode(sealed(spec)), type=Spec)

    assert (opened(stored) if stored.sealed else stored) == spec


def test_a_spec_without_secrets_stays_as_it_is() -> None:
    """A plain job writes the bytes that it always wrote."""
    plain = Spec(url="https://example.com/path", webhook_url="https://example.com/hook")

    assert sealed(plain) == plain


def test_a_schedules_spec_opens_under_a_jobs_id() -> None:
    """Specs are kept by the 128 bits of an id: that of a schedule is also that of the job's that share it."""
    stored = sealed(spec_id="sched_" + JOB.removeprefix("job_"))

    assert opened(stored) == SPEC


@pytest.mark.parametrize(
    "elsewhere",
    [{"account": "other"}, {"spec_id": OTHER_JOB}, {"key": DataKey("dk_1", b"2" * 32)}],
    ids=["account", "job", "key"],
)
def test_it_opens_in_no_other_place(elsewhere: dict[str, Any]) -> None:
    """Neither for another account, nor in another job, nor under another key."""
    with pytest.raises(Broken):
        opened(sealed(), **elsewhere)


@pytest.mark.parametrize("part", ["fields", "body"])
def test_parts_cannot_be_swapped_between_jobs(part: str) -> None:
    """A part of another job's spec, of the same account and key, does not open."""
    own, other = sealed(), sealed(spec_id=OTHER_JOB)
    assert own.sealed is not None
    mixed = msgspec.structs.replace(own.sealed, **{part: getattr(other.sealed, part)})

    with pytest.raises(Broken):
        opened(msgspec.structs.replace(own, sealed=mixed))


def test_body_and_fields_cannot_be_swapped() -> None:
    """Each part knows which one it is."""
    own = sealed()
    assert own.sealed is not None
    turned = msgspec.structs.replace(own.sealed, fields=own.sealed.body, body=own.sealed.fields)

    with pytest.raises(Broken):
        opened(msgspec.structs.replace(own, sealed=turned))


@pytest.mark.parametrize(
    "change",
    [
        {"method": "GET"},
        {"headers": {"Authorization": "", "X-Other": ""}},
        {"webhook_url": "https://evil.example/hook"},
        {"webhook_headers": None},
    ],
    ids=lambda change: next(iter(change)),
)
def test_secrets_are_not_sent_anywhere_else(change: dict[str, Any]) -> None:
    """Somebody who can write to the tables cannot send a job's secrets to a host of his own."""
    with pytest.raises(Broken):
        opened(msgspec.structs.replace(sealed(), **change))

    own = sealed()
    assert own.sealed is not None
    moved = msgspec.structs.replace(own.sealed, url="https://evil.example/")
    with pytest.raises(Broken):
        opened(msgspec.structs.replace(own, sealed=moved))


def test_a_flipped_bit_is_found() -> None:
    """In every byte of what is sealed."""
    own = sealed(Spec(url="https://example.com/", body="x"))
    assert own.sealed is not None
    assert own.sealed.body is not None
    for at in range(len(own.sealed.body)):
        body = bytearray(own.sealed.body)
        body[at] ^= 1
        with pytest.raises(Broken):
            opened(msgspec.structs.replace(own, sealed=msgspec.structs.replace(own.sealed, body=bytes(body))))


def test_two_seals_of_one_spec_differ() -> None:
    """A nonce is never used twice, so equal bodies do not show."""
    assert sealed().sealed != sealed().sealed


def test_a_body_that_was_left_out_stays_left_out() -> None:
    """Lists read specs without bodies, and the fields open all the same."""
    own = sealed()
    assert own.sealed is not None
    cut = msgspec.structs.replace(own, sealed=msgspec.structs.replace(own.sealed, body=None))

    assert opened(cut) == msgspec.structs.replace(SPEC, body=None)


@pytest.mark.parametrize("spec", [SPEC, sealed()], ids=["open", "sealed"])
def test_what_stands_in_clear(spec: Spec) -> None:
    """It is the same of a spec and of its sealed form, and holds no secret."""
    clear = clear_part(spec)

    assert clear.url == stored_url(msgspec.json.encode(sealed())) == "https://example.com/charge"
    assert "CANARY" not in msgspec.json.encode(clear).decode()
    assert clear.sealed is None


def test_the_url_of_a_stored_spec_that_is_not_sealed() -> None:
    """It is the whole one: nothing of it is kept apart."""
    assert stored_url(msgspec.json.encode(SPEC)) == SPEC.url


def test_what_could_not_be_opened_is_not_sealed_again() -> None:
    """Else it would be sent with blanks."""
    with pytest.raises(Unopened):
        sealed(msgspec.structs.replace(sealed(), url="https://example.com/charge"))


def test_an_older_build_cannot_read_a_sealed_spec() -> None:
    """It requires the URL, which is not where it was: it calls nothing rather than send ciphertext."""
    assert "url" not in msgspec.json.decode(msgspec.json.encode(sealed()))
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"method":"POST"}', type=Spec)
