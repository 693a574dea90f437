"""
Judging: from admitted records to the events that streams tell.

If a record does not say whose job it is about, the tables are asked, once they are folded so far. What is known of a job is
remembered. So the tables are asked for few jobs: most records come soon after one that says it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from libs.events import Event, ScheduleTicked
from libs.following.partition_reader import Wanted
from libs.following.ports import Progress
from libs.runtime.clock import Clock
from libs.store.errors import StoreUnavailable
from libs.store.reads.partition_tables import TablePosition
from libs.store.reads.stream_tables import StreamFacts
from services.api.stream.recent_events import Placed
from services.api.stream.told_events import Facts, account_of, facts_in, subject_of, told

REMEMBERED_MAX: Final = 50_000  # jobs; about 300 bytes each
WAIT_S: Final = 5.0
WENT_BACK_MS: Final = 100
NOBODYS: Final = Facts("")  # of a job that is forgotten, or never was

T = TypeVar("T")


class Tables(Protocol):
    """What the stream reads of the tables."""

    async def positions(self) -> Mapping[int, TablePosition]:
        """Return how far the tables are, by partition."""

    async def facts_of(self, partition: int, ids: Collection[str]) -> tuple[int, Mapping[str, StreamFacts]]:
        """Return what is known of *ids*, and the position as of which."""


class Judging:
    """Whose events are told, and what is known of their jobs."""

    def __init__(self, tables: Tables, progress: Progress, clock: Clock, new_id: Callable[[str], str]) -> None:
        self._tables = tables
        self._progress = progress
        self._clock = clock
        self._new_id = new_id
        self._known: dict[str, Facts] = {}  # of jobs; without labels of those that nobody listened to
        self._accounts: dict[str, str] = {}  # of jobs that nobody listens to: whose they are

    def forget(self) -> None:
        """Forget what is known."""
        self._known.clear()
        self._accounts.clear()

    async def told(
        self, partition: int, wanted: Sequence[Wanted], position: int, accounts: Collection[str]
    ) -> list[Placed]:
        """
        Return the events of *accounts* among *wanted*, the admitted records of *partition* up to *position*.

        Raises:
            StoreUnavailable: the tables must be asked, and do not answer, or are not folded so far.
        """
        events = [(each, subject) for each in wanted if (subject := subject_of(each.event)) is not None]
        missing = {subject for each, subject in events if self._must_ask(each.event, subject, accounts)}
        looked_up = await self._looked_up(partition, missing, position) if missing else {}
        found: list[Placed] = []
        for (at, event, claim), subject in events:
            stored = looked_up.get(subject)
            if isinstance(event, ScheduleTicked) and (stored is None or stored.changed_at < at):
                continue  # void: the schedule was paused or changed before it
            facts = self._known.get(subject) or facts_in(event) or (None if stored is None else _facts(stored))
            if facts is not None and facts.account in accounts:
                found += [Placed((at, claim), each) for each in told(event, facts, self._new_id)]
        return found

    def _must_ask(self, event: Event, subject: str, accounts: Collection[str]) -> bool:
        """Whether the tables must be asked; what *event* says of its job is remembered."""
        facts = facts_in(event)
        account = account_of(event) if facts is None else facts.account
        if not subject.startswith("job_"):
            return facts is None and (account is None or account in accounts)
        if facts is not None and account in accounts:
            _put(self._known, subject, facts)
        elif account is not None and account not in accounts:
            _put(self._accounts, subject, account)
        if facts is not None or subject in self._known:
            return False
        account = account or self._accounts.get(subject)
        return account is None or account in accounts

    async def _looked_up(self, partition: int, ids: Collection[str], position: int) -> Mapping[str, StreamFacts]:
        if not await self._progress.wait(partition, position, WAIT_S):
            raise StoreUnavailable("the tables are behind the log")
        folded, found = await self._tables.facts_of(partition, ids)
        if folded < position:
            await self._clock.pause(WENT_BACK_MS)
            raise StoreUnavailable("the tables went back")  # they lost flushes, which are made again
        for subject in ids:
            if subject.startswith("job_"):  # those of schedules change
                stored = found.get(subject)
                _put(self._known, subject, NOBODYS if stored is None else _facts(stored))
        return found


def _facts(stored: StreamFacts) -> Facts:
    return Facts(stored.account, stored.schedule_id, stored.labels)


def _put(known: dict[str, T], name: str, value: T) -> None:
    if len(known) >= REMEMBERED_MAX:
        del known[next(iter(known))]  # the oldest
    known[name] = value
