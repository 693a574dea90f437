"""
A database in memory: every table that Fliq keeps, as dictionaries, with the fences, leases and clock that the statements rely on.

Each method is one transaction, made in one step. What it wrote can be taken back from the newest on (`take_back`), as when a server
crashes with commits that it did not wait for, or when a replica that lagged takes over. Nothing random: nonces are numbered.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from libs.domain import job
from libs.domain.endpoints.order import Pending
from libs.domain.job import UNDER_WAY, JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.schedule import ScheduleState
from libs.domain.state_kind import StateKind
from libs.domain.state_registry import State, id_of
from libs.events import Claim, Spec
from libs.store.carried.seals import Key, Sum
from libs.store.control.accounts import Token
from libs.store.control.daily_grants import GrantAsk, share_out
from libs.store.control.idempotency import Reservation
from libs.store.projection.changes import ExecutionRow, Flush
from libs.store.reads.partition_tables import Snapshot, StoredSpec, due_of
from services.api.contract.schedules import schedule_answers
from tests.fakes.control.carried import MemoryCarried
from tests.fakes.control.fan_out_rows import FanOutRows
from tests.fakes.control.lease_statements import ABSENT, LeaseStatements
from tests.fakes.control.schedule_reads import ScheduleReads
from tests.fakes.partition import WebhookReads, pending_about_of

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_spec_of = msgspec.json.Decoder(Spec).decode


class Rows(NamedTuple):
    """What the tables hold of a partition."""

    jobs: dict[str, JobState]
    schedules: dict[str, ScheduleState]
    deliveries: dict[str, DeliveryState]
    specs: dict[str, bytes]
    executions: dict[tuple[str, int], ExecutionRow]
    usage: dict[tuple[str, int], int]


class Commit(NamedTuple):
    """What one transaction overwrote; *is_durable* when its caller was told only after the disk had it."""

    at: int
    is_durable: bool
    undo: list[tuple[dict[Any, Any], Any, Any]]


class Database(LeaseStatements, FanOutRows, WebhookReads, ScheduleReads):
    """The tables. *now* is the database's own clock, in ms."""

    def __init__(self, *, now: Callable[[], int] = lambda: 0) -> None:
        """Start with nothing in any table."""
        super().__init__()
        self.now = now
        self.positions: dict[int, tuple[int, Claim | None]] = {}
        self.jobs: dict[str, JobState] = {}
        self.schedules: dict[str, ScheduleState] = {}
        self.deliveries: dict[str, DeliveryState] = {}
        self._states_of: dict[str, dict[str, Any]] = {
            "job": self.jobs,
            "sched": self.schedules,
            "whd": self.deliveries,
        }
        self.specs_by_id: dict[str, bytes] = {}
        self.execution_rows: dict[tuple[str, int], ExecutionRow] = {}
        self.partition_of: dict[str, int] = {}
        self.usage_by_day: dict[tuple[str, int], int] = {}
        self.usage_of: dict[tuple[int, str, int], int] = {}
        self.keys: dict[tuple[str, str], Reservation] = {}
        self.names: dict[tuple[str, str, str], str] = {}
        self.tokens_by_hash: dict[bytes, Token] = {}
        self.secrets: dict[str, tuple[str, ...]] = {}
        self.grants: dict[tuple[str, int, int], tuple[int, int]] = {}
        self.journal: list[Commit] = []
        self.flush_count = 0
        self._undo: list[tuple[dict[Any, Any], Any, Any]] = []

    def _write(self, table: dict[Any, Any], key: Any, value: Any) -> None:
        self._undo.append((table, key, table.get(key, ABSENT)))
        if value is ABSENT:
            table.pop(key, None)
        else:
            table[key] = value

    def _commit(self, *, is_durable: bool) -> None:
        if self._undo:
            self.journal.append(Commit(self.now(), is_durable, self._undo))
            self._undo = []

    def take_back(self, count: int, *, keep: Collection[int] = ()) -> None:
        """Take the last *count* transactions back, but not what they wrote to the tables whose `id` is in *keep*."""
        for _ in range(count):
            for table, key, old in reversed(self.journal.pop().undo):
                if id(table) in keep:
                    continue
                if old is ABSENT:
                    table.pop(key, None)
                else:
                    table[key] = old

    # --- the fold: owners and flushers ------------------------------------------------------------------------------------

    def progress(self, partition: int) -> tuple[int, Claim | None]:
        return self.positions.get(partition, (-1, None))

    def all_positions(self) -> list[dict[str, int]]:
        return [{"part": partition, "position": position} for partition, (position, _) in self.positions.items()]

    def load(self, partition: int, ids: Iterable[str]) -> list[State]:
        mine = [known for known in ids if self.partition_of.get(known) == partition]
        tables = [(self._states_of[known.partition("_")[0]], known) for known in mine]
        return [table[known] for table, known in tables if known in table]  # what was swept is not there

    def newest_job(self, _partition: int) -> str:
        return max(self.jobs, default="")

    def load_open(self, partition: int) -> list[State]:
        jobs = [job for job in self._jobs(partition) if job.status in UNDER_WAY or job.cancel_requested]
        return [*jobs, *self.open_schedules(partition)]

    def load_due(
        self, kind: StateKind, partition: int, before: int, limit: int, *, since: int = 0, avoid: Sequence[str] = ()
    ) -> list[State]:
        of_kind: Iterable[State] = self.jobs.values() if kind is job.KIND else self.schedules.values()
        found = [
            (rings_at, state)
            for state in of_kind
            if self.partition_of[id_of(state)] == partition
            and (state.is_waiting if isinstance(state, JobState) else state.is_active)
            and not state.held
            and (rings_at := getattr(state, kind.timer)) is not None
            and since <= rings_at < before
            and state.account not in avoid
        ]
        return [state for _, state in sorted(found, key=itemgetter(0))[:limit]]

    def load_backlog(self, partition: int, account: str, before: int, limit: int) -> list[State]:
        found = self.load_due(job.KIND, partition, before, len(self.jobs))
        return [state for state in found if state.account == account][:limit]

    def daily_usage(self, partition: int, since_day: int) -> dict[tuple[str, int], int]:
        return {key: n for key, n in self.rows(partition).usage.items() if key[1] >= since_day}

    def ask(self, asks: Sequence[GrantAsk]) -> list[int | None]:
        """Grant executions of a day, as libs/store/control/daily_grants.py does."""
        charged: dict[tuple[str, int], dict[int, tuple[int, int]]] = {}
        for (part, account, day), count in self.usage_of.items():
            charged.setdefault((account, day), {})[part] = 0, count
        for (account, day, part), (epoch, granted) in self.grants.items():
            of_day = charged.setdefault((account, day), {})
            of_day[part] = epoch, max(granted, of_day.get(part, (0, 0))[1])
        answers = share_out(charged, asks)
        for ask, number in zip(asks, answers, strict=True):
            if number is not None:
                self._write(self.grants, (ask.account, ask.day, ask.partition), (ask.epoch, number))
        self._commit(is_durable=True)
        return answers

    def forget_before(self, day: int) -> None:
        for key in [key for key in self.grants if key[1] < day]:
            self._write(self.grants, key, ABSENT)
        self._commit(is_durable=True)

    def flush(self, flushes: Sequence[Flush]) -> set[int]:
        missed: set[int] = set()
        for flush in flushes:
            position, _ = self.progress(flush.partition)
            if self.nonces.get(flush.partition) != flush.lease_nonce or position != flush.from_position:
                missed.add(flush.partition)
                continue
            self.flush_count += 1
            self._write(self.positions, flush.partition, (flush.to_position, flush.claim))
            if flush.changes.needs > self.needs.get(flush.partition, 0):
                self._write(self.needs, flush.partition, flush.changes.needs)
            self._write_all(flush)
        self._commit(is_durable=False)
        return missed

    def _write_changes(self, flush: Flush) -> None:
        partition, changes = flush.partition, flush.changes
        for state_id, state in changes.states.items():
            self._write(self._states_of[state_id.partition("_")[0]], state_id, state)
            self._write(self.partition_of, state_id, partition)
        for spec_id, spec in changes.specs.items():
            self._write(self.specs_by_id, spec_id, spec)
            self._write(self.partition_of, spec_id, partition)
        for key, row in changes.executions.items():
            self._write(self.execution_rows, key, row)
        for (account, day), count in changes.usage.items():
            self._write(self.usage_by_day, (account, day), self.usage_by_day.get((account, day), 0) + count)
            own = (partition, account, day)
            self._write(self.usage_of, own, self.usage_of.get(own, 0) + count)

    def was_written(self, flush: Flush) -> bool:
        """Whether *flush*, refused by the fence, had been written before."""
        is_there = self.progress(flush.partition)[0] == flush.to_position
        return is_there and self.nonces.get(flush.partition) == flush.lease_nonce

    def running(self, partition: int) -> Snapshot:
        position, claim = self.progress(partition)
        jobs = [job for job in self._jobs(partition) if job.status is JobStatus.RUNNING and not job.held]
        return Snapshot(position, claim, [due_of(job) for job in jobs])

    def pending_about(self, endpoint_id: str, job_id: str) -> list[Pending]:
        return pending_about_of(self.jobs.values(), endpoint_id, job_id)

    def webhook_specs(self, ids: Iterable[str], *, size_max: int | None) -> dict[str, StoredSpec]:
        return self.stored_specs(ids, size_max=size_max)

    def stored_specs(self, ids: Iterable[str], *, size_max: int | None) -> dict[str, StoredSpec]:
        limit = float("inf") if size_max is None else size_max
        found = [(known, self.specs_by_id[known]) for known in ids if known in self.specs_by_id]
        return {known: StoredSpec(len(spec), spec if len(spec) <= limit else None) for known, spec in found}

    def rows(self, partition: int) -> Rows:
        """Return everything of *partition*."""
        return Rows(
            {job.job_id: job for job in self._jobs(partition)},
            {known: each for known, each in self.schedules.items() if self.partition_of[known] == partition},
            {known: each for known, each in self.deliveries.items() if self.partition_of[known] == partition},
            {known: each for known, each in self.specs_by_id.items() if self.partition_of[known] == partition},
            {key: each for key, each in self.execution_rows.items() if self.partition_of[key[0]] == partition},
            {(account, day): each for (part, account, day), each in self.usage_of.items() if part == partition},
        )

    def carried(self, partition: int) -> MemoryCarried:
        """Return what may be carried of *partition*, as it stands."""
        position, claim = self.progress(partition)
        return MemoryCarried(position + 1, claim, self.floors(partition), *self.rows(partition))

    def sealing(self, partition: int, since: int, before: int) -> dict[Key, Sum]:
        """Return the sums of what ended in *partition*."""
        return self.carried(partition).sealing(since, before)

    def _jobs(self, partition: int) -> list[JobState]:
        return [job for job in self.jobs.values() if self.partition_of[job.job_id] == partition]

    # --- the api ----------------------------------------------------------------------------------------------------------

    def get_job(self, account: str, job_id: str) -> tuple[JobState, Spec] | None:
        job = self.jobs.get(job_id)
        return None if job is None or job.account != account else (job, _spec_of(self.specs_by_id[job.spec_id]))

    def job_status(self, job_id: str) -> JobStatus | None:
        return self.jobs[job_id].status if job_id in self.jobs else None

    def list_jobs(
        self,
        account: str,
        *,
        statuses: Collection[JobStatus] | None = None,
        schedule_id: str | None = None,
        limit: int,
        before: str | None = None,
    ) -> list[tuple[JobState, Spec]]:
        found = [
            job_id
            for job_id, job in self.jobs.items()
            if job.account == account
            and (statuses is None or job.status in statuses)
            and (schedule_id is None or job.schedule_id == schedule_id)
            and (before is None or job_id < before)
        ]
        newest = [self.jobs[job_id] for job_id in sorted(found, reverse=True)[:limit]]
        return [(job, self._spec(job)) for job in newest]

    def executions(self, account: str, job_id: str) -> list[ExecutionRow]:
        job = self.jobs.get(job_id)
        if job is None or job.account != account:
            return []
        return [row for key, row in sorted(self.execution_rows.items()) if key[0] == job_id]

    def get_schedule(self, account: str, schedule_id: str) -> tuple[ScheduleState, Spec] | None:
        state = self.schedules.get(schedule_id)
        return None if state is None or state.account != account else (state, self._spec(state))

    def list_schedules(
        self, account: str, *, status: str | None = None, now: int = 0, limit: int, before: str | None = None
    ) -> list[tuple[ScheduleState, Spec]]:
        newest = [
            self.schedules[known] for known in sorted(self.schedules, reverse=True) if before is None or known < before
        ]
        mine = [each for each in newest if each.account == account and schedule_answers.has_status(each, status, now)]
        return [(each, self._spec(each)) for each in mine[:limit]]

    def _spec(self, state: JobState | ScheduleState) -> Spec:
        return _spec_of(self.specs_by_id[state.spec_id])

    def usage(self, account: str, day: date) -> int:
        return self.usage_by_day.get((account, day.toordinal() - _EPOCH_DAY), 0)

    charged = usage

    def reserve(self, account: str, key: str, request_hash: bytes, job_id: str, created_at: int) -> Reservation:
        held = self.keys.get((account, key))
        if held is not None:
            return held._replace(is_new=False)
        made = Reservation(job_id, request_hash, created_at, True)
        self._write(self.keys, (account, key), made)
        self._commit(is_durable=True)
        return made

    def reservation(self, account: str, key: str) -> Reservation | None:
        return self.keys[account, key]._replace(is_new=False) if (account, key) in self.keys else None

    def name_holder(self, account: str, kind: str, name: str, _: str) -> str | None:
        return self.names.get((account, kind, name))

    def take_name(self, account: str, kind: str, name: str, new_id: str) -> str:
        return self.pass_name_on(account, kind, name, None, new_id)

    def pass_name_on(self, account: str, kind: str, name: str, old_id: str | None, new_id: str) -> str:
        if self.names.get((account, kind, name)) == old_id:
            self._write(self.names, (account, kind, name), new_id)
            self._commit(is_durable=True)
        return self.names[account, kind, name]

    def find_tokens(self, token_hashes: Collection[bytes]) -> dict[bytes, Token]:
        return {each: self.tokens_by_hash[each] for each in token_hashes if each in self.tokens_by_hash}

    def signing_secrets(self, accounts: Iterable[str]) -> dict[str, tuple[str, ...]]:
        return {account: self.secrets[account] for account in accounts if account in self.secrets}
