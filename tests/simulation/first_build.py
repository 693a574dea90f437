"""
A build of the first contract: what it reads of the log, and of the rows of newer builds. The rest of it is played by this build,
which decides for a plain job or schedule as that one did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
import pytest

from libs.domain import reader_fold
from libs.domain.job import JobState
from libs.domain.reader_fold import ReaderFold
from libs.domain.schedule import ScheduleState
from libs.events import AttemptDue, Envelope, Event, Unknown, Unreadable, read
from libs.events.codec import KINDS
from libs.events.protocol import KNOWN_BY
from libs.store.projection.changes import Flush
from libs.store.reads.partition_tables import Snapshot
from services.scheduler import partition_owner
from tests.fakes.database import Database

PROTOCOL: Final = 0
VERSIONS: Final = KNOWN_BY[PROTOCOL]

_NEWER_OF_A_DUE: Final = {
    name: next(field.default for field in msgspec.structs.fields(AttemptDue) if field.name == name)
    for kind in KINDS
    if kind.event is AttemptDue
    for name in sum(kind.added, ())
}


def read_as_first(partition: int, envelope: Envelope) -> Event | Unknown | Unreadable:
    """Read a record as the build of the first contract does."""
    if envelope.version > VERSIONS.get(envelope.type, 0):
        return Unknown(envelope.type, envelope.version, envelope.must_understand)
    return read(partition, envelope)


@contextmanager
def reading(is_first: Callable[[], bool]) -> Iterator[None]:
    """Have owners and dispatchers read the log as that build does whenever *is_first* says so."""
    take = ReaderFold.take

    def of_whoever_reads(partition: int, envelope: Envelope) -> Event | Unknown | Unreadable:
        return (read_as_first if is_first() else read)(partition, envelope)

    def taken(self: ReaderFold, position: int, envelope: Envelope) -> Event | None:
        if is_first():
            self.check_next(position)
            self.check_known(position, read_as_first(self.partition, envelope))
        return take(self, position, envelope)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition_owner, "read", of_whoever_reads)
        patch.setattr(reader_fold.ReaderFold, "take", taken)
        yield


def asked(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Return *work*, a method of the tables, as that build asks for it: it knows no column `more`, and no zones."""
    match name:
        case "load" | "load_open" | "load_due" | "load_backlog":
            return lambda *args, **options: [seen_by_first(state) for state in work(*args, **options)]
        case "load_zoned":
            return lambda *_, **__: []
        case "running":
            return lambda partition: _without_policies(work(partition))
        case _:
            return work


def seen_by_first(state: Any) -> Any:
    """Return what that build reads of a row."""
    if isinstance(state, JobState | ScheduleState) and state.more is not None:
        return msgspec.structs.replace(state, more=None)
    return state


def _without_policies(found: Snapshot) -> Snapshot:
    return found._replace(running=[msgspec.structs.replace(due, **_NEWER_OF_A_DUE) for due in found.running])


def keep_what_it_does_not_know(flush: Flush, database: Database) -> None:
    """Keep in *flush*, which that build writes, what stands in columns that it does not know."""
    states = flush.changes.states
    stored = {**database.jobs, **database.schedules}
    for state_id, state in states.items():
        row = stored.get(state_id)
        if isinstance(state, JobState | ScheduleState) and isinstance(row, JobState | ScheduleState):
            states[state_id] = msgspec.structs.replace(state, more=row.more)


class Tables:
    """The tables of *database* as that build asks for them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getattr__(self, name: str) -> Any:
        return asked(name, getattr(self._database, name))
