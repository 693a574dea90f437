"""Golden bytes: what stands in logs today is read for ever, and what is written today is what stands there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from libs.events import Envelope, Unknown, Unreadable, codec, decode, encode, versions
from libs.events.codec import KINDS, kind_of, read
from tests.golden.examples import CLAIM, EXAMPLES, JOB, OLDER_JOB, PARTITION, SCHEDULE

LINES: list[dict[str, Any]] = [
    json.loads(line) for line in Path(__file__).with_name("events_v1.jsonl").read_text().splitlines()
]
GOLDEN: dict[str, Envelope] = {
    line["example"]: Envelope(
        line["type"],
        line["version"],
        line["must_understand"],
        line["claim"],
        line["key"],
        line["value"].encode(),
    )
    for line in LINES
}
FACT = GOLDEN["job.scheduled plain"]
FUTURE = next(kind.version for kind in KINDS if kind.name == FACT.type) + 1


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_golden_record_is_read_as_the_event_it_was(name: str) -> None:
    """Every record that was ever written gives its event, to a reader of its partition."""
    assert decode(GOLDEN[name]) == EXAMPLES[name]
    assert read(PARTITION, GOLDEN[name]) == EXAMPLES[name]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_event_is_written_as_its_golden_bytes(name: str) -> None:
    """Writing an event gives the very bytes, headers and key that stand in logs today."""
    event = EXAMPLES[name]

    assert encode(event, CLAIM if kind_of(event).role == "decision" else None) == GOLDEN[name]


def test_registry_and_golden_records_cover_each_other() -> None:
    """Every stored name has golden bytes, in every version that is written, and every golden record is of a stored name."""
    written = {(kind.name, each) for kind in KINDS for each in range(kind.oldest_written, kind.version + 1)}

    assert {kind.name for kind in KINDS} == {envelope.type for envelope in GOLDEN.values()}
    assert written <= {(each.type, each.version) for each in GOLDEN.values()}
    assert set(EXAMPLES) == set(GOLDEN)
    assert len(LINES) == len(GOLDEN)


def test_every_field_of_every_event_is_in_the_golden_bytes() -> None:
    """No field goes unwatched: each one is set in some example and so stands in some golden value."""
    for kind in KINDS:
        written: set[str] = set()
        for envelope in GOLDEN.values():
            if envelope.type == kind.name:
                written |= set(json.loads(envelope.value))

        assert set(kind.event.__struct_fields__) == written, kind.name  # type: ignore[attr-defined]


def test_a_field_of_a_newer_writer_is_passed_over() -> None:
    """Readers are tolerant: a field that this build does not know changes nothing."""
    newer = FACT._replace(value=FACT.value[:-1] + b',"colour":"blue"}')

    assert read(PARTITION, newer) == EXAMPLES["job.scheduled plain"]


# What a record holds -> what a reader of partition 3 makes of it.
STRANGE: dict[str, tuple[Envelope, Unknown | tuple[str, str]]] = {
    "a type nobody knows, which may be skipped": (
        Envelope("quota.granted", 1, False, None, JOB, b"\x00\xff"),
        Unknown("quota.granted", 1, False),
    ),
    "a type nobody knows, which must be understood": (
        Envelope("quota.granted", 1, True, None, JOB, b"{}"),
        Unknown("quota.granted", 1, True),
    ),
    "a type without a name": (Envelope("", 1, False, None, "", b""), Unknown("", 1, False)),
    "a version from the future": (FACT._replace(version=FUTURE), Unknown("job.scheduled", FUTURE, True)),
    "a version from the future that may be skipped": (
        FACT._replace(version=FUTURE, must_understand=False),
        Unknown("job.scheduled", FUTURE, False),
    ),
    "a version without an upcaster": (FACT._replace(version=0), ("job.scheduled", JOB)),
    "a version below all": (FACT._replace(version=-1), ("job.scheduled", JOB)),
    "no bytes": (FACT._replace(value=b""), ("job.scheduled", JOB)),
    "torn bytes": (FACT._replace(value=FACT.value[:-7]), ("job.scheduled", JOB)),
    "bytes that are not UTF-8": (FACT._replace(value=FACT.value.replace(b"acme", b"\xff\xfe")), ("job.scheduled", JOB)),
    "JSON of another shape": (FACT._replace(value=b"[1, 2]"), ("job.scheduled", JOB)),
    "a nest of brackets": (FACT._replace(value=b"[" * 100_000), ("job.scheduled", JOB)),
    "a field of the wrong type": (
        FACT._replace(value=FACT.value.replace(b'"acme"', b"7")),
        ("job.scheduled", JOB),
    ),
    "an account that is no account": (
        FACT._replace(value=FACT.value.replace(b'"acme"', b'"a b"')),
        ("job.scheduled", JOB),
    ),
    "an instant behind the end of time": (
        FACT._replace(value=FACT.value.replace(b'"fire_at":1800000000123', b'"fire_at":253402300800000')),
        ("job.scheduled", JOB),
    ),
    "a fraction for an instant": (
        FACT._replace(value=FACT.value.replace(b'"fire_at":1800000000123', b'"fire_at":1.5')),
        ("job.scheduled", JOB),
    ),
    "text with a NUL": (
        FACT._replace(value=FACT.value[:-1] + b',"idempotency_key":"a\\u0000b"}'),
        ("job.scheduled", JOB),
    ),
    "a missing field": (FACT._replace(value=FACT.value.replace(b'"account":"acme",', b"")), ("job.scheduled", JOB)),
    "another job's key": (FACT._replace(key=OLDER_JOB), ("job.scheduled", "")),
    "a schedule's key": (FACT._replace(key=SCHEDULE), ("job.scheduled", "")),
    "no key": (FACT._replace(key=""), ("job.scheduled", "")),
    "torn bytes under no key": (FACT._replace(key="", value=b"{"), ("job.scheduled", "")),
    "torn bytes under a key that is no id": (FACT._replace(key="job_nonsense", value=b"{"), ("job.scheduled", "")),
    "torn bytes under an execution's key": (
        FACT._replace(key="exec_" + JOB[4:], value=b"{"),
        ("job.scheduled", ""),
    ),
    "torn bytes under the owner's key": (GOLDEN["owner.claimed"]._replace(value=b"{"), ("owner.claimed", "")),
    "a claim with a short nonce": (
        GOLDEN["owner.claimed"]._replace(value=b'{"epoch":1,"nonce":"x","node":"n","at":0}'),
        ("owner.claimed", ""),
    ),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_cannot_be_read_is_named_and_never_raised(name: str) -> None:
    """A strange record is `Unknown` or `Unreadable`; the key is there only if what it names lives in this partition."""
    envelope, expected = STRANGE[name]

    item = read(PARTITION, envelope)

    if isinstance(expected, Unknown):
        assert item == expected
    else:
        assert isinstance(item, Unreadable)
        assert (item.type, item.key) == expected
        assert item.reason
        assert len(item.reason) <= 200


@pytest.mark.parametrize("name", [name for name in EXAMPLES if kind_of(EXAMPLES[name]).key])
def test_a_record_in_another_partition_stops_nothing_there(name: str) -> None:
    """A record that does not belong here is unreadable, and its key is withheld: what it names is not ours to stop."""
    item = read(PARTITION + 1, GOLDEN[name])

    assert isinstance(item, Unreadable)
    assert item.key == ""


def test_torn_bytes_in_another_partition_stop_nothing_there() -> None:
    """The same holds for bytes that cannot even be decoded."""
    item = read(PARTITION + 1, FACT._replace(value=b"{"))

    assert item == Unreadable("job.scheduled", "", item.reason)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_claim_stands_on_decisions_and_on_nothing_else(name: str) -> None:
    """Writing a decision without a claim, or anything else with one, is refused."""
    event = EXAMPLES[name]
    wrong = None if kind_of(event).role == "decision" else CLAIM

    with pytest.raises(ValueError, match="claim"):
        encode(event, wrong)


def test_an_older_version_is_lifted_step_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of version 1 read by a build at version 3 goes through 1 -> 2 and 2 -> 3."""
    kind = kind_of(EXAMPLES["job.cancel_requested"])
    newer = type(kind)(name=kind.name, event=kind.event, version=3, role=kind.role, key=kind.key)
    monkeypatch.setattr(codec, "_BY_NAME", {**codec._BY_NAME, kind.name: newer})
    monkeypatch.setattr(
        versions,
        "UPCASTERS",
        {
            (kind.name, 1): lambda value: {"job": value["id"], "at": value["at"]},
            (kind.name, 2): lambda value: {"job_id": value["job"], "at": value["at"] * 1000},
        },
    )
    old = Envelope(kind.name, 1, True, None, JOB, json.dumps({"id": JOB, "at": 5}).encode())
    middle = Envelope(kind.name, 2, True, None, JOB, json.dumps({"job": JOB, "at": 5}).encode())
    torn = old._replace(value=b'{"at": 5}')

    assert decode(old) == kind.event(job_id=JOB, at=5_000)
    assert decode(middle) == kind.event(job_id=JOB, at=5_000)
    assert isinstance(decode(torn), Unreadable)
