"""Envelopes as Kafka records: the bytes that other readers of the topic rely on."""

import pytest

from libs.events import Envelope
from libs.log.kafka.records import RECORD_BYTES, from_kafka, to_kafka

FACT = Envelope("job.scheduled", 1, True, None, "job_1", b"{}")
DECISION = Envelope("attempt.due", 12, False, "7.abc", "job_ä", b"")


def test_the_wire_format() -> None:
    """Type, version, flag and claim are headers t, v, m and c; a fact has no c; key and value are the record's own."""
    assert to_kafka(FACT) == (b"job_1", b"{}", [("t", b"job.scheduled"), ("v", b"1"), ("m", b"1")])
    assert to_kafka(DECISION) == (
        "job_ä".encode(),
        b"",
        [("t", b"attempt.due"), ("v", b"12"), ("m", b"0"), ("c", b"7.abc")],
    )


@pytest.mark.parametrize("envelope", [FACT, DECISION, Envelope("", 0, True, "", "", b"\0\xff")])
def test_there_and_back(envelope: Envelope) -> None:
    """What is read is what was written, an empty claim included."""
    assert from_kafka(*to_kafka(envelope)) == envelope


@pytest.mark.parametrize(
    "headers",
    [[], [("t", None), ("m", b"1")], [("v", b"-1")], [("v", "²".encode()), ("c", b"\xff")]],
)
def test_a_stranger_s_record_is_an_envelope(headers: list[tuple[str, bytes | None]]) -> None:
    """Whatever headers a record has, reading it gives an envelope that nobody has to understand."""
    found = from_kafka(None, None, headers)

    assert (found.type, found.version, found.must_understand, found.key, found.value) == ("", 0, False, "", b"")


def test_the_margin_per_record_is_enough() -> None:
    """RECORD_BYTES covers what Kafka adds to type, claim, key and value: six lengths of up to five bytes, names, version, flag."""
    names, version, flag, attributes, lengths = 4, 5, 1, 1, 5 + 10 + 5 + 5 + 5 + 1 + 8 * 2
    assert names + version + flag + attributes + lengths <= RECORD_BYTES
