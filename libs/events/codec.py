"""
Codec: the registry of all stored names, and the only place where events become bytes and bytes become events.

A reader of a record gets one of three things. None of them is an exception:

* an event;
* `Unknown`: this build does not know the type, or not this version of it. The record's header says if it may be skipped
  (`must_understand` is false) or if the reader must stop;
* `Unreadable`: this build knows the type, but the bytes do not hold it. The record counts for nothing, and the one job or
  schedule under whose key it stands stops. The partition goes on.

`encode` writes the lowest version that holds all of an event's fields. An older build therefore goes on reading the events that
use nothing new, and stops at the first one that does.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from libs.events import carried, history, job, owner, schedule, versions, webhook
from libs.events.envelope import Claim, Envelope
from libs.events.fields import forms_of
from libs.events.ids import STATE_IDS, is_id, partition_of
from libs.events.versions import Kind, lowest_version

Event = (
    owner.OwnerClaimed
    | owner.LogBarrier
    | job.JobScheduled
    | job.JobCancelRequested
    | job.JobStopRequested
    | job.JobChangeRequested
    | job.JobChanged
    | job.JobChangeRefused
    | job.JobMergeRequested
    | job.JobMerged
    | job.AttemptDue
    | job.AttemptFinished
    | job.JobRetryScheduled
    | job.JobCancelled
    | job.JobFinished
    | schedule.ScheduleCreated
    | schedule.ScheduleDefined
    | schedule.ScheduleChanged
    | schedule.SchedulePaused
    | schedule.ScheduleResumed
    | schedule.ScheduleDeleted
    | schedule.ScheduleTicked
    | schedule.ScheduleRealigned
    | schedule.ScheduleSpawned
    | schedule.ScheduleRunStopped
    | schedule.ScheduleAutopaused
    | history.HistoryForgotten
    | carried.RowsCarried
    | carried.LogCarried
    | webhook.WebhookFinished
    | webhook.WebhookAttempted
    | webhook.WebhookRedeliverRequested
)


KINDS: Final[tuple[Kind, ...]] = (
    Kind(name="owner.claimed", event=owner.OwnerClaimed, role="control", key=""),
    Kind(name="log.barrier", event=owner.LogBarrier, role="control", key=""),
    Kind(
        name="job.scheduled",
        event=job.JobScheduled,
        version=11,
        added=(
            ("spec_id",),
            ("retry", "success_on", "expires_at"),
            ("spec.webhook_retry",),
            ("schedule_id",),
            ("waiting_key", "singleton_key"),
            ("tick_at", "local_time"),
            ("is_tracked",),
            ("spec.sealed",),
            ("labels",),
            ("spec.capture",),
        ),
        role="fact",
        key="job_id",
    ),
    Kind(name="job.cancel_requested", event=job.JobCancelRequested, role="fact", key="job_id"),
    Kind(name="job.stop_requested", event=job.JobStopRequested, role="fact", key="job_id"),
    Kind(
        name="job.change_requested",
        event=job.JobChangeRequested,
        version=3,
        added=(("spec.sealed",), ("spec.capture",)),
        role="fact",
        key="job_id",
    ),
    Kind(name="job.changed", event=job.JobChanged, role="decision", key="job_id"),
    Kind(name="job.change_refused", event=job.JobChangeRefused, role="decision", key="job_id"),
    Kind(
        name="job.merge_requested",
        event=job.JobMergeRequested,
        version=3,
        added=(("spec.sealed",), ("spec.capture",)),
        role="fact",
        key="job_id",
    ),
    Kind(name="job.merged", event=job.JobMerged, role="decision", key="job_id"),
    Kind(
        name="attempt.due",
        event=job.AttemptDue,
        version=3,
        added=(
            ("retry", "success_on", "too_late_at", "previous_status_code", "max_attempts"),
            ("trigger", "local_time"),
        ),
        role="decision",
        key="job_id",
    ),
    Kind(
        name="attempt.finished",
        event=job.AttemptFinished,
        version=5,
        added=(("error_detail",), ("outcome",), ("resent",), ("response",)),
        role="fact",
        key="job_id",
    ),
    Kind(name="job.retry_scheduled", event=job.JobRetryScheduled, role="decision", key="job_id"),
    Kind(
        name="job.cancelled",
        event=job.JobCancelled,
        version=2,
        added=(("schedule_id",),),
        role="decision",
        key="job_id",
    ),
    Kind(
        name="job.finished",
        event=job.JobFinished,
        version=3,
        added=(("ended_by",), ("schedule_id",)),
        role="decision",
        key="job_id",
    ),
    Kind(
        name="schedule.created",
        event=schedule.ScheduleCreated,
        version=4,
        added=(("spec.webhook_retry",), ("spec.sealed",), ("spec.capture",)),
        role="fact",
        key="schedule_id",
    ),
    Kind(
        name="schedule.defined",
        event=schedule.ScheduleDefined,
        version=10,
        added=(
            ("key",),
            ("policy",),
            ("terms",),
            ("spec.webhook_retry",),
            ("runs",),
            ("spec.sealed",),
            ("labels",),
            ("spec.capture",),
            ("runs.grace_s",),
        ),
        role="fact",
        key="schedule_id",
    ),
    Kind(
        name="schedule.changed",
        event=schedule.ScheduleChanged,
        version=8,
        added=(
            ("policy",),
            ("terms",),
            ("runs",),
            ("spec.sealed",),
            ("labels",),
            ("spec.capture",),
            ("runs.grace_s",),
        ),
        role="fact",
        key="schedule_id",
    ),
    Kind(
        name="schedule.paused",
        event=schedule.SchedulePaused,
        version=2,
        added=(("note", "until", "next_run_at", "next_tick_at", "zone_data", "version"),),
        role="fact",
        key="schedule_id",
    ),
    Kind(
        name="schedule.resumed",
        event=schedule.ScheduleResumed,
        version=2,
        added=(("next_tick_at", "zone_data", "version"),),
        role="fact",
        key="schedule_id",
    ),
    Kind(name="schedule.deleted", event=schedule.ScheduleDeleted, role="fact", key="schedule_id"),
    Kind(
        name="schedule.ticked",
        event=schedule.ScheduleTicked,
        version=5,
        added=(
            ("fire_at", "next_tick_at", "zone_data", "version"),
            ("action", "trigger", "missed"),
            ("local_time",),
            ("reason", "skipped"),
        ),
        role="decision",
        key="schedule_id",
    ),
    Kind(name="schedule.realigned", event=schedule.ScheduleRealigned, role="decision", key="schedule_id"),
    Kind(name="schedule.spawned", event=schedule.ScheduleSpawned, role="decision", key="schedule_id"),
    Kind(name="schedule.run_stopped", event=schedule.ScheduleRunStopped, role="decision", key="schedule_id"),
    Kind(name="schedule.autopaused", event=schedule.ScheduleAutopaused, role="decision", key="schedule_id"),
    Kind(
        name="history.forgotten",
        event=history.HistoryForgotten,
        version=3,
        added=(("closed_before",), ("responses_before",)),
        role="decision",
        key="",
    ),
    Kind(name="rows.carried", event=carried.RowsCarried, role="decision", key=""),
    Kind(
        name="log.carried",
        event=carried.LogCarried,
        version=2,
        added=(("sealed_before",),),
        role="decision",
        key="",
    ),
    Kind(name="webhook.finished", event=webhook.WebhookFinished, role="fact", key="job_id"),
    Kind(name="webhook.attempted", event=webhook.WebhookAttempted, role="fact", key="delivery_id"),
    Kind(name="webhook.redeliver_requested", event=webhook.WebhookRedeliverRequested, role="fact", key="delivery_id"),
)

_BY_CLASS: Final[Mapping[type, Kind]] = {kind.event: kind for kind in KINDS}
_BY_NAME: Final[Mapping[str, Kind]] = {kind.name: kind for kind in KINDS}
_DECODERS: Final[Mapping[str, "msgspec.json.Decoder[Event]"]] = {
    kind.name: msgspec.json.Decoder(kind.event) for kind in KINDS
}
_FORMS: Final = {kind.name: [(field, form.check) for field, form in forms_of(kind.event)] for kind in KINDS}
_ENCODER: Final = msgspec.json.Encoder()
# Copied from: what `Encoder.encode` returns takes up to twice the memory of its length, by which records that are kept are counted.
_BUFFER: Final = bytearray()


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """A record of a type or version that this build does not know."""

    type: str
    version: int
    must_understand: bool


class Unreadable(msgspec.Struct, frozen=True, gc=False):
    """A record of a known type whose bytes do not hold it. *key* is the id of its job or schedule, or empty."""

    type: str
    key: str
    reason: str


def kind_of(event: Event) -> Kind:
    """Return the registry's entry for an event."""
    return _BY_CLASS[type(event)]


def encode(event: Event, claim: Claim | None = None) -> Envelope:
    """
    Return the envelope for *event*, in the lowest version that holds its fields.

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
    version = lowest_version(kind, event) if kind.added else kind.version
    _ENCODER.encode_into(event, _BUFFER)
    return Envelope(kind.name, version, True, str(claim) if claim is not None else None, key, bytes(_BUFFER))


def decode(envelope: Envelope) -> Event | Unknown | Unreadable:
    """Return what *envelope* holds. Never raises for what stands in a log."""
    name = envelope.type
    decoder = _DECODERS.get(name)
    if decoder is None:
        return Unknown(name, envelope.version, envelope.must_understand)
    kind = _BY_NAME[name]
    if envelope.version > kind.version:
        return Unknown(name, envelope.version, envelope.must_understand)
    try:
        if envelope.version == kind.version or envelope.version >= kind.oldest_written:
            return _checked(name, decoder.decode(envelope.value))
        value = msgspec.json.decode(envelope.value, type=dict)
        lifted = versions.upcast(name, envelope.version, kind.oldest_written, value, versions.UPCASTERS)
        return _checked(name, msgspec.convert(lifted, kind.event))
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError, RecursionError) as error:
        return Unreadable(name, envelope.key, str(error)[:200])


def _checked(name: str, event: Event) -> Event:
    for field, check in _FORMS[name]:
        text = getattr(event, field)
        if text is not None:
            try:
                check(text)
            except ValueError as error:
                raise ValueError(f"{error} - at `$.{field}`") from None
    return event


def read(partition: int, envelope: Envelope) -> Event | Unknown | Unreadable:
    """
    Return what *envelope* holds as seen by a reader of *partition*.

    The record must also belong to the partition: its id must name this partition and equal the record's key. A record that does
    not belong here is `Unreadable` with an empty key, so that it stops no job or schedule of another partition.
    """
    item = decode(envelope)
    kind = _BY_CLASS.get(type(item))
    if kind is None:
        if isinstance(item, Unreadable) and not _belongs_to(partition, item.key):
            return Unreadable(item.type, "", item.reason)
        return item
    if kind.key and (getattr(item, kind.key) != envelope.key or partition_of(envelope.key) != partition):
        return Unreadable(
            kind.name, "", "the record stands in another partition, or under another key, than its id says"
        )
    return item


def _belongs_to(partition: int, key: str) -> bool:
    return any(is_id(key, kind) for kind in STATE_IDS) and partition_of(key) == partition
