"""
Codec: the closed registry of stored names, and the only place where events become bytes and back.

What a reader finds is one of three things, and none of them raises:

* an event;
* `Unknown`: a type, or a version of a type, that this build does not know. Its writer said in the header whether it may be
  skipped (`must_understand` false) or whether the reader must stop;
* `Unreadable`: a known type whose bytes are torn or alien. It is void, and it stops the one job or schedule named by its key,
  never the partition.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from libs.events import job, owner, schedule, upcasters, webhook
from libs.events.envelope import Claim, Envelope
from libs.events.ids import is_id, partition_of

Event = (
    owner.OwnerClaimed
    | owner.LogBarrier
    | job.JobScheduled
    | job.JobCancelRequested
    | job.AttemptDue
    | job.AttemptFinished
    | job.JobRetryScheduled
    | job.JobCancelled
    | job.JobFinished
    | schedule.ScheduleCreated
    | schedule.SchedulePaused
    | schedule.ScheduleResumed
    | schedule.ScheduleDeleted
    | schedule.ScheduleTicked
    | webhook.WebhookFinished
)


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """
    One stored name.

    Args:
        name: the string in the log; never changes.
        event: the class it is read into.
        version: the schema version written today.
        role: `control`, `fact` (anyone may append) or `decision` (only the owner, under its claim).
        key: the field that holds the record's key; empty for control records.
    """

    name: str
    event: type
    version: int = 1
    role: str
    key: str


KINDS: Final[tuple[Kind, ...]] = (
    Kind(name="owner.claimed", event=owner.OwnerClaimed, role="control", key=""),
    Kind(name="log.barrier", event=owner.LogBarrier, role="control", key=""),
    Kind(name="job.scheduled", event=job.JobScheduled, role="fact", key="job_id"),
    Kind(name="job.cancel_requested", event=job.JobCancelRequested, role="fact", key="job_id"),
    Kind(name="attempt.due", event=job.AttemptDue, role="decision", key="job_id"),
    Kind(name="attempt.finished", event=job.AttemptFinished, role="fact", key="job_id"),
    Kind(name="job.retry_scheduled", event=job.JobRetryScheduled, role="decision", key="job_id"),
    Kind(name="job.cancelled", event=job.JobCancelled, role="decision", key="job_id"),
    Kind(name="job.finished", event=job.JobFinished, role="decision", key="job_id"),
    Kind(name="schedule.created", event=schedule.ScheduleCreated, role="fact", key="schedule_id"),
    Kind(name="schedule.paused", event=schedule.SchedulePaused, role="fact", key="schedule_id"),
    Kind(name="schedule.resumed", event=schedule.ScheduleResumed, role="fact", key="schedule_id"),
    Kind(name="schedule.deleted", event=schedule.ScheduleDeleted, role="fact", key="schedule_id"),
    Kind(name="schedule.ticked", event=schedule.ScheduleTicked, role="decision", key="schedule_id"),
    Kind(name="webhook.finished", event=webhook.WebhookFinished, role="fact", key="job_id"),
)

_BY_CLASS: Final[Mapping[type, Kind]] = {kind.event: kind for kind in KINDS}
_BY_NAME: Final[Mapping[str, Kind]] = {kind.name: kind for kind in KINDS}
_DECODERS: Final[Mapping[str, "msgspec.json.Decoder[Event]"]] = {
    kind.name: msgspec.json.Decoder(kind.event) for kind in KINDS
}
_ENCODER: Final = msgspec.json.Encoder()


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """A record of a type or version that this build does not know."""

    type: str
    version: int
    must_understand: bool


class Unreadable(msgspec.Struct, frozen=True, gc=False):
    """A record of a known type whose bytes do not hold it. *key* is the job or schedule id it stands under, or empty."""

    type: str
    key: str
    reason: str


def kind_of(event: Event) -> Kind:
    """Return the registry's entry for an event."""
    return _BY_CLASS[type(event)]


def encode(event: Event, claim: Claim | None = None) -> Envelope:
    """
    Return the envelope for *event*.

    Args:
        event: any event of the registry.
        claim: the writer's claim; required for decisions and refused for everything else.

    Raises:
        ValueError: a decision without a claim, or a claim on something that is not a decision.
    """
    kind = _BY_CLASS[type(event)]
    if (claim is not None) != (kind.role == "decision"):
        raise ValueError(f"{kind.name} is a {kind.role}: a claim belongs on decisions, and on nothing else")
    key = getattr(event, kind.key) if kind.key else owner.CONTROL_KEY
    return Envelope(
        kind.name, kind.version, True, str(claim) if claim is not None else None, key, _ENCODER.encode(event)
    )


def decode(envelope: Envelope) -> Event | Unknown | Unreadable:
    """Return what *envelope* holds. Never raises for what stands in a log."""
    name = envelope.type
    decoder = _DECODERS.get(name)
    if decoder is None:
        return Unknown(name, envelope.version, envelope.must_understand)
    current = _BY_NAME[name].version
    if envelope.version > current:
        return Unknown(name, envelope.version, envelope.must_understand)
    try:
        if envelope.version == current:
            return decoder.decode(envelope.value)
        value = msgspec.json.decode(envelope.value, type=dict)
        lifted = upcasters.upcast(name, envelope.version, current, value, upcasters.UPCASTERS)
        return msgspec.convert(lifted, _BY_NAME[name].event)
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError) as error:
        return Unreadable(name, envelope.key, str(error)[:200])


def read(partition: int, envelope: Envelope) -> Event | Unknown | Unreadable:
    """
    Return what *envelope* holds as seen by a reader of *partition*.

    Besides decoding, the record must be at home: its id must carry this partition and equal its key. A record that
    is not at home is `Unreadable` with an empty key, since whatever it names is not ours to stop.
    """
    item = decode(envelope)
    kind = _BY_CLASS.get(type(item))
    if kind is None:
        if isinstance(item, Unreadable) and not _at_home(partition, item.key):
            return Unreadable(item.type, "", item.reason)
        return item
    if kind.key and (getattr(item, kind.key) != envelope.key or partition_of(envelope.key) != partition):
        return Unreadable(
            kind.name, "", "the record stands in another partition, or under another key, than its id says"
        )
    return item


def _at_home(partition: int, key: str) -> bool:
    return (is_id(key, "job") or is_id(key, "sched")) and partition_of(key) == partition
