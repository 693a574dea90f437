"""Protocols: which records older builds may fold and which rows they may load."""

from __future__ import annotations

import pytest

from libs.events import Envelope
from libs.events.codec import KINDS
from libs.events.protocol import KNOWN_BY, PROTOCOL, protocol_of
from libs.store.projection.changes import PartitionChanges


def record(name: str, version: int) -> Envelope:
    """Return a record of this kind and version."""
    return Envelope(name, version, True, None, "owner", b"{}")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name in KNOWN_BY[0]], ids=lambda kind: kind.name)
def test_the_first_form_of_a_kind_of_the_first_contract_needs_nothing(kind: object) -> None:
    """Plain jobs and schedules keep their partitions at protocol 0."""
    assert protocol_of(record(kind.name, kind.oldest_written)) == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "version"),
    [
        *[(kind.name, kind.version) for kind in KINDS if kind.name not in KNOWN_BY[0]],
        *[(kind.name, kind.version) for kind in KINDS if kind.version > KNOWN_BY[0].get(kind.name, 9)],
    ],
)
def test_every_other_kind_and_version_needs_a_build_that_knows_it(name: str, version: int) -> None:
    """Nothing that came later can slip through: what no release has is of the newest protocol."""
    assert 1 <= protocol_of(record(name, version)) <= PROTOCOL


@pytest.mark.parametrize("each", [record("job.teleported", 1), record("job.scheduled", 99)])
def test_a_record_that_was_skipped_needs_nothing(each: Envelope) -> None:
    """It may be skipped, or this build would not have come so far."""
    assert protocol_of(each) == 0


def test_changes_need_the_highest_of_their_records() -> None:
    """One newer record among plain ones is enough."""
    changes = PartitionChanges(0)
    for each in (record("job.scheduled", 1), record("job.scheduled", 3), record("job.finished", 1)):
        changes.note(each)

    assert changes.needs == 1


def test_every_release_knows_what_the_one_before_it_knew() -> None:
    """Numbers of releases are never given to other versions: this table only grows at its end."""
    for older, newer in zip(KNOWN_BY, [*KNOWN_BY[1:], {kind.name: kind.version for kind in KINDS}], strict=True):
        assert all(version <= newer[name] for name, version in older.items())
    assert KNOWN_BY[0]["job.scheduled"] == KNOWN_BY[0]["schedule.ticked"] == 1
