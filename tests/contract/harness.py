"""
What the API needs behind it: the memory log, the real fold, and tables in dictionaries, all in one process.

The harness plays the scheduler: it folds the log into its tables, and decides cancellations as an owner would. Attempts are made by
the test (`fire`, `finish`). `hold` stops the fold, so that tables fall behind; `release` lets it go on.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from types import SimpleNamespace
from typing import Any

from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState
from libs.domain.ledger import Ledger
from libs.domain.schedule import ScheduleState
from libs.domain.state_registry import decide
from libs.egress.url_rules import EgressPolicy
from libs.events import (
    Claim,
    Event,
    OwnerClaimed,
    ScheduleTicked,
    Spec,
    Unreadable,
    encode,
    read,
)
from libs.events.ids import partition_of
from libs.log.memory import Faults, MemoryLog
from libs.store.control.accounts import TOKENS_MAX, LastToken, ParentGone, Token
from libs.store.control.idempotency import Reservation
from libs.store.control.signing_secrets import SECRETS_MAX
from libs.store.errors import StoreUnavailable
from libs.store.projection.changes import ExecutionRow, PartitionChanges
from libs.store.projection.progress import ProgressWatch
from libs.store.reads.partition_tables import decode_spec
from services.api.contract.schedules import schedule_answers
from services.api.contract.token_text import new_token, token_hash
from services.api.service import ApiService, Ports
from tests.contract.fake_responses import FakeResponses
from tests.fakes import events
from tests.fakes.control.deliveries import FakeDeliveries
from tests.fakes.control.endpoints import FakeEndpoints
from tests.fakes.control.existing_jobs import ExistingJobs
from tests.fakes.control.recoveries import FakeRecoveries
from tests.fakes.control.searches import SearchedTables
from tests.fakes.control.shifted_clock import ShiftedClock
from tests.fakes.control.stream_facts import FakeStreamTables
from tests.fakes.until import until
from tests.property.calendar.made_zones import ZONES
from tests.simulation.manual_clock import SeededEntropy

PARTITIONS = 3
PEPPER = b"pepper"


class Tables(ExistingJobs, SearchedTables):
    """The ports of the API over dictionaries."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.jobs: dict[str, JobState] = {}
        self.specs: dict[str, Spec] = {}
        self.schedules: dict[str, ScheduleState] = {}
        self.deliveries: dict[str, DeliveryState] = {}
        self.attempts: dict[str, dict[int, ExecutionRow]] = {}
        self.used: dict[tuple[str, date], int] = {}
        self.keys: dict[tuple[str, str], Reservation] = {}
        self.names: dict[tuple[str, str, str], str] = {}
        self.tokens_by_hash: dict[bytes, Token] = {}
        self.secrets: dict[str, list[str]] = {}
        self.is_down, self.token_reads, self.reserved = False, 0, asyncio.Event()

    def _check(self) -> None:
        if self.is_down:
            raise StoreUnavailable("down, says the test")

    async def get_job(self, account: str, job_id: str) -> tuple[JobState, Spec] | None:
        self._check()
        state = self.jobs.get(job_id)
        return None if state is None or state.account != account else (state, self.specs[state.spec_id])

    async def job_status(self, job_id: str) -> JobStatus | None:
        self._check()
        return self.jobs[job_id].status if job_id in self.jobs else None

    async def list_jobs(
        self,
        account: str,
        *,
        statuses: Collection[JobStatus] | None = None,
        schedule_id: str | None = None,
        limit: int,
        before: str | None = None,
    ) -> Sequence[tuple[JobState, Spec]]:
        self._check()
        found = [
            (state, self.specs[state.spec_id])
            for state in sorted(self.jobs.values(), key=lambda state: state.job_id, reverse=True)
            if state.account == account
            and (statuses is None or state.status in statuses)
            and (schedule_id is None or state.schedule_id == schedule_id)
            and (before is None or state.job_id < before)
        ]
        return found[:limit]

    async def executions(self, account: str, job_id: str) -> Sequence[ExecutionRow]:
        self._check()
        return [row for _, row in sorted(self.attempts.get(job_id, {}).items())]

    async def get_schedule(self, account: str, schedule_id: str) -> tuple[ScheduleState, Spec] | None:
        self._check()
        state = self.schedules.get(schedule_id)
        return None if state is None or state.account != account else (state, self.specs[state.spec_id])

    async def list_schedules(
        self, account: str, *, status: str | None = None, now: int = 0, limit: int, before: str | None = None
    ) -> Sequence[tuple[ScheduleState, Spec]]:
        self._check()
        found = [
            (state, self.specs[state.spec_id])
            for state in sorted(self.schedules.values(), key=lambda state: state.schedule_id, reverse=True)
            if state.account == account
            and schedule_answers.has_status(state, status, now)
            and (before is None or state.schedule_id < before)
        ]
        return found[:limit]

    async def usage(self, account: str, day: date) -> int:
        self._check()
        return self.used.get((account, day), 0)

    charged = usage

    async def reserve(self, account: str, key: str, request_hash: bytes, job_id: str, created_at: int) -> Reservation:
        self._check()
        await asyncio.sleep(0)
        self.reserved.set()
        held = self.keys.setdefault((account, key), Reservation(job_id, request_hash, created_at, True))
        return held._replace(is_new=held.job_id == job_id)

    async def reservation(self, account: str, key: str) -> Reservation | None:
        self._check()
        return self.keys[account, key]._replace(is_new=False) if (account, key) in self.keys else None

    async def name_holder(self, account: str, kind: str, name: str, _: str) -> str | None:
        self._check()
        return self.names.get((account, kind, name))

    async def take_name(self, account: str, kind: str, name: str, new_id: str) -> str:
        self._check()
        await asyncio.sleep(0)
        return self.names.setdefault((account, kind, name), new_id)

    async def pass_name_on(self, account: str, kind: str, name: str, old_id: str, new_id: str) -> str:
        self._check()
        if self.names.get((account, kind, name)) == old_id:
            self.names[account, kind, name] = new_id
        return self.names[account, kind, name]

    async def find_tokens(self, token_hashes: Collection[bytes]) -> dict[bytes, Token]:
        self._check()
        self.token_reads += 1
        return {each: self.tokens_by_hash[each] for each in token_hashes if each in self.tokens_by_hash}

    async def add_token(self, token: Token, token_hash: bytes) -> bool:
        self._check()
        parent = next((each for each in self.tokens_by_hash.values() if each.token_id == token.parent), None)
        if token.parent is not None and parent is None:
            raise ParentGone
        if len(await self.tokens(token.account)) >= TOKENS_MAX:
            return False
        self.tokens_by_hash[token_hash] = token
        return True

    async def tokens(self, account: str) -> list[Token]:
        self._check()
        return [token for token in reversed(self.tokens_by_hash.values()) if token.account == account]

    async def revoke(self, account: str, token_id: str, *, keeping: Collection[str] = ()) -> tuple[str, ...]:
        self._check()
        own = [token for token in await self.tokens(account) if token.token_id == token_id]
        revoked = {token.token_id for token in own}
        for token in self.tokens_by_hash.values():  # a parent comes before what it made
            revoked |= {token.token_id} if token.parent in revoked else set()
        kept = {key: token for key, token in self.tokens_by_hash.items() if token.token_id not in revoked}
        now = self.harness.clock.now()
        is_kept = any(
            token.account == account and token.scopes & {*keeping} and (token.expires_at or now + 1) > now
            for token in kept.values()
        )
        if revoked and keeping and not is_kept:
            raise LastToken
        self.tokens_by_hash = kept
        return tuple(revoked)

    async def ensure_account(self, account: str, signing_secret: str) -> None:
        self._check()
        self.secrets.setdefault(account, [signing_secret])

    async def signing_secrets(self, accounts: Iterable[str]) -> dict[str, list[str]]:
        self._check()
        return {account: self.secrets[account] for account in accounts if account in self.secrets}

    async def rotate_signing_secret(self, account: str, secret: str) -> bool:
        self._check()
        if len(self.secrets.get(account, [])) >= SECRETS_MAX:
            return False
        self.secrets[account] = [secret, *self.secrets.get(account, [])]
        return True


class Harness:
    """Everything but the API."""

    def __init__(self) -> None:
        self.clock = ShiftedClock()
        self.entropy = SeededEntropy(7)
        self.faults = Faults()
        self.log = MemoryLog(partitions=PARTITIONS, faults=self.faults)
        self.tables = Tables(self)
        self.endpoints = FakeEndpoints()
        self.deliveries = FakeDeliveries(
            self.endpoints.table, self.tables.jobs, self.tables.specs, self.tables.attempts, self.tables.deliveries
        )
        self.responses = FakeResponses(self.log, self.tables.jobs, self.tables.attempts)
        self.ledgers = [Ledger(partition) for partition in range(PARTITIONS)]
        self.claims = [Claim(1, f"nonce{partition:04d}") for partition in range(PARTITIONS)]
        self.watches: list[ProgressWatch] = []
        self.replicas: list[ApiService] = []
        self.decides = True
        self._moved = [asyncio.Event() for _ in range(PARTITIONS)]
        self._open = [asyncio.Event() for _ in range(PARTITIONS)]
        self.release()
        self._tasks: list[asyncio.Task[None]] = []
        self._numbers = itertools.count(1)

    async def start(self) -> None:
        await self.log.start()
        for partition, claim in enumerate(self.claims):
            claimed = OwnerClaimed(epoch=claim.epoch, nonce=claim.nonce, node="harness", at=self.clock.now())
            await self.log.append(partition, [encode(claimed)])
            self._tasks.append(asyncio.create_task(self._fold_forever(partition)))

    async def stop(self) -> None:
        for replica in self.replicas:
            await replica.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for watch in self.watches:
            await watch.stop()
        await self.log.stop()

    async def replica(self, **options: Any) -> ApiService:
        """Start one more API on this harness."""
        watch = ProgressWatch(SimpleNamespace(fetch=self._positions))
        self.watches.append(watch)
        tables: Any = self.tables
        ports = Ports(
            log=self.log,
            **dict.fromkeys(("queries", "search", "keys", "names", "accounts", "activity", "leases", "checks"), tables),
            endpoints=self.endpoints,  # type: ignore[arg-type]
            deliveries=self.deliveries,  # type: ignore[arg-type]
            responses=self.responses,  # type: ignore[arg-type]
            recoveries=FakeRecoveries(self.endpoints.table),  # type: ignore[arg-type]
            stream=FakeStreamTables(self.ledgers, self.tables),
            progress=watch,
            clock=self.clock,
            entropy=self.entropy,
            check_url=EgressPolicy.parse("127.0.0.0/8:9000").check_url,
            zones=ZONES,
            pepper=PEPPER,
            cursor_key=b"cursor key",
        )
        service = ApiService(ports, host="127.0.0.1", port=0, **options)
        await service.start()
        self.replicas.append(service)
        return service

    async def no_connections(self, service: ApiService) -> None:
        """Wait until *service* has no connection any more."""
        server = service.server
        assert server is not None
        await until(lambda: server.budget.open_count == 0, within_s=15)

    def token(
        self, account: str = "default", scopes: tuple[str, ...] = ("read", "write"), expires_at: int | None = None
    ) -> str:
        """Return a fresh token of *account*."""
        token = new_token(self.entropy.entropy)
        token_id = f"tok_{next(self._numbers):020d}"
        self.tables.tokens_by_hash[token_hash(PEPPER, token)] = Token(
            token_id, account, "test", frozenset(scopes), token[-4:], self.clock.now(), expires_at
        )
        return token

    def hold(self, *partitions: int) -> None:
        """Stop folding *partitions*, all when none is named."""
        for partition in partitions or range(PARTITIONS):
            self._open[partition].clear()

    def release(self) -> None:
        """Go on folding."""
        for is_open in self._open:
            is_open.set()

    async def decide(self, event: Event) -> None:
        """Append a decision as the owner, and wait until it is folded."""
        partition = partition_of(getattr(event, "job_id", "") or getattr(event, "schedule_id", ""))
        await self._settle(partition, await self.log.append(partition, [encode(event, self.claims[partition])]))

    async def fire(self, job_id: str) -> None:
        """Admit the job's next attempt as due."""
        await self.caught_up()
        state = self.tables.jobs[job_id]
        now = self.clock.now()
        await self.decide(
            events.due(
                job_id,
                now,
                state.attempt + 1,
                account=state.account,
                scheduled_at=state.scheduled_at,
                timeout_ms=state.timeout_ms,
                spec_id=state.spec_id,
                schedule_id=state.schedule_id,
            )
        )

    async def finish(self, job_id: str, *, ok: bool, status_code: int | None = 200, **fields: Any) -> None:
        """End the attempt under way, and decide what follows."""
        state, partition = self.tables.jobs[job_id], partition_of(job_id)
        fields |= {"ok": ok, "duration_ms": 143, "status_code": status_code}
        finished = events.finished(job_id, self.clock.now(), state.attempt, **fields)
        await self._settle(partition, await self.log.append(partition, [encode(finished)]))
        await self.decide(
            decide(self.tables.jobs[job_id], self.clock.now(), jitter=0.5, retry_base_s=30, zones=ZONES.find)
        )

    async def tick(self, schedule_id: str) -> str:
        """Let the schedule spawn its next job; return the job's id."""
        await self.caught_up()
        event = decide(
            self.tables.schedules[schedule_id], self.clock.now(), jitter=0.5, retry_base_s=30, zones=ZONES.find
        )
        assert isinstance(event, ScheduleTicked)
        await self.decide(event)
        return event.job_id

    async def caught_up(self) -> None:
        """Wait until everything in the log is folded."""
        for partition in range(PARTITIONS):
            await self._settle(partition, await self.log.end(partition) - 1)

    async def _settle(self, partition: int, position: int) -> None:
        while self.ledgers[partition].position < position:
            await self._moved[partition].wait()

    async def _positions(self, _: str) -> list[dict[str, int]]:
        return [{"part": ledger.partition, "position": ledger.position} for ledger in self.ledgers]

    async def _fold_forever(self, partition: int) -> None:
        ledger = self.ledgers[partition]
        while True:
            records = await self.log.read(partition, ledger.position + 1, wait_s=10)
            for record in records:
                await self._open[partition].wait()
                self._apply(ledger, record.position, read(partition, record.envelope), record.envelope.claim)
            for watch in self.watches:
                watch.publish(partition, ledger.position)
            self._moved[partition].set()
            self._moved[partition] = asyncio.Event()
            if self.decides:
                await self._answer_cancels(ledger)

    def _apply(self, ledger: Ledger, position: int, item: Any, stamp: str | None) -> None:
        applied = ledger.apply(position, item, stamp)
        tables = self.tables
        if isinstance(item, Unreadable):
            return
        changes = PartitionChanges(ledger.partition)
        changes.add(applied)
        tables.jobs.update(changes.states.of(JobState))
        tables.schedules.update(changes.states.of(ScheduleState))
        tables.deliveries.update(changes.states.of(DeliveryState))
        for spec_id, spec in changes.specs.items():
            tables.specs.setdefault(spec_id, decode_spec(spec))
        for (job_id, attempt), row in changes.executions.items():
            tables.attempts.setdefault(job_id, {})[attempt] = row

    async def _answer_cancels(self, ledger: Ledger) -> None:
        for state in [state for state in ledger.states.of(JobState).values() if state.cancel_requested]:
            event = decide(state, self.clock.now(), jitter=0.5, retry_base_s=30, zones=ZONES.find)
            await self.log.append(ledger.partition, [encode(event, self.claims[ledger.partition])])
