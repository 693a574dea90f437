"""
Protocol: which builds may work on tables that were made from a record.

A reader that meets a record which it does not know stops there. But once a newer build has folded the record into the tables, an
older one would begin behind it: it would load rows whose newer parts it does not read, and decide without them. So the tables note
for each partition the highest *protocol* of its records, and only builds that know it take the partition's leases.

    protocol 0    the kinds and versions of the first builds, whose effect on the tables every build reads
    protocol n    what came with it; the newest is what `KINDS` (codec.py) holds

A partition with plain jobs and schedules stays at 0. When a release is made, its versions are added to `KNOWN_BY`; kinds and
versions that come later have the next number.
"""

from collections.abc import Mapping
from typing import Final

from libs.events.codec import KINDS
from libs.events.envelope import Envelope

# By protocol: stored name -> the newest version that its builds know. What is not here came with the newest protocol.
KNOWN_BY: Final[tuple[Mapping[str, int], ...]] = (
    {
        "owner.claimed": 1,
        "log.barrier": 1,
        "job.scheduled": 1,
        "job.cancel_requested": 1,
        "attempt.due": 1,
        "attempt.finished": 2,  # why an answer could not be read: shown, but nothing is decided by it
        "job.retry_scheduled": 1,
        "job.cancelled": 1,
        "job.finished": 1,
        "schedule.created": 1,
        "schedule.paused": 1,
        "schedule.resumed": 1,
        "schedule.deleted": 1,
        "schedule.ticked": 1,
        "webhook.finished": 1,
    },
)
PROTOCOL: Final = len(KNOWN_BY)  # of this build

# Found once for every name and version that this build knows: the fold asks for each record.
_PROTOCOLS: Final[Mapping[tuple[str, int], int]] = {
    (kind.name, version): next(
        (number for number, known in enumerate(KNOWN_BY) if version <= known.get(kind.name, 0)), PROTOCOL
    )
    for kind in KINDS
    for version in range(1, kind.version + 1)
}


def protocol_of(envelope: Envelope) -> int:
    """
    Return the protocol that a build must know to work on tables into which the record was folded.

    It is 0 for a record that this build does not know: a fold that goes on after such a record has skipped it.
    """
    return _PROTOCOLS.get(envelope[:2], 0)
