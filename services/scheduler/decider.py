"""
Decider: decides for one partition. It does no I/O: records and states go in, decisions come out.

Theory of operation

    claim      the decider's right to decide; it decides only after it has read its own claim back, admitted
    ledger     the fold of the partition, of the jobs and schedules that are due soon, under way or just changed
    unread     decisions made and not yet read back, at most one per job or schedule; accounts share how many there may be
               (sharing/unread_decisions.py)
    permits    executions that may still be decided today, for accounts with a daily limit
    stale      schedules whose next run was computed with older zone data: whether it is another instant now is still to be seen
    backlog    accounts with so many due jobs waiting for a slot or a permit that the rest of their jobs stays in the tables
    horizon    states whose next decision is owed before this instant are in memory; the rest lies in the tables
    new jobs   those of which the tables need not be asked whether they hold them (new_jobs.py)

    read a record -> fold it -> what is owed now? -> decide -> (append) -> read it back -> fold it -> ...

Invariants
    1. A decision is made only while `is_deciding`, and never while one for the same job is unread.
    2. State changes only by records read back, the decider's own included.
    3. Every waiting job whose owed instant is before the horizon is in the wheel, unread, urgent, or waits for a slot
       or for others of its account to be read back; or its account is in the backlog.
    4. A state leaves memory only when the tables hold it (`evict`), and never while rows are loaded (the caller sees to that).
    5. No job that the tables hold, or that was folded here, is in `new_jobs`.

Two deciders of one partition may run at the same time: admission makes the decisions of all but one void.

Source: ARCHITECTURE.md, "Facts and decisions"; modelled in tests/simulation.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from itertools import islice
from typing import Final

import msgspec

from libs.domain.calendar.recorded_rule import ZoneLookup, only_utc, zone_data_of
from libs.domain.instants import day_of
from libs.domain.job import UNDER_WAY, JobState, JobStatus
from libs.domain.ledger import Applied, Ledger, Verdict
from libs.domain.schedule import ScheduleState
from libs.domain.schedules.realign import has_older_zone_data, realigned
from libs.domain.state_kind import AT_ONCE
from libs.domain.state_registry import State, decide, id_of, owed_at
from libs.events import AttemptDue, Claim, Event, OwnerClaimed, Unknown, Unreadable
from libs.events.codec import kind_of
from libs.events.ids import HIGHEST_JOB_ID
from services.scheduler.daily.daily_permits import DailyPermits, PermitAsk
from services.scheduler.new_jobs import NewJobs
from services.scheduler.sharing.concurrency import Concurrency
from services.scheduler.sharing.unread_decisions import UnreadDecisions
from services.scheduler.timer_wheel import TimerWheel

EXAMINED_MAX: Final = 2_000  # states examined in one go, most of which may only be queued for a slot
STALE_MAX: Final = 10  # next runs looked for again in one go: one costs 0.4 ms at most
QUEUES_MAX: Final = 10_000  # due jobs waiting in memory; beyond, an account that has `QUEUE_LEAST` adds no more
QUEUE_LEAST: Final = (
    2_000  # due jobs that every account may have waiting in memory: what one concurrency limit takes at once
)
REFUSED_LEAST: Final = 10  # the same for an account whose day is used up: it may wait for hours


class Decider:
    """Decides for the owner of one partition."""

    def __init__(
        self,
        ledger: Ledger,
        claim: Claim,
        *,
        lead_ms: int,
        retry_base_s: float,
        concurrency: int,
        horizon_at: int,
        gather_ms: int = 1,
        zones: ZoneLookup = only_utc,
        permits: DailyPermits | None = None,
    ) -> None:
        """
        Start deciding on *ledger*, which stands at the tables' position, under *claim*, which is not yet read back.

        Args:
            lead_ms: how early a due event or a tick is written ahead of its instant.
            retry_base_s: delay before the first retry, in seconds.
            concurrency: attempts of this partition that may be under way at once.
            horizon_at: states owed before this instant are kept in memory.
            gather_ms: timers ring at multiples of so many ms, so that they ring together; at most half of the lead.
            zones: the time zones that rules of schedules may name.
            permits: of accounts with a daily limit; none has one if it is None.
        """
        self.ledger = ledger
        self.claim = claim
        self.is_deciding = False
        self.superseded = False
        self.horizon_at = horizon_at
        self.concurrency = Concurrency(concurrency)
        self.permits = permits or DailyPermits()
        self.backlog: set[str] = set()
        self.new_jobs = NewJobs(HIGHEST_JOB_ID)  # the caller knows better what the tables hold
        self.asked: list[Event] = []  # decisions about the partition, which the caller wants made
        self._stamp = str(claim)
        self._lead_ms = lead_ms
        self._gather_ms = max(1, min(gather_ms, lead_ms // 2))
        self._retry_base_s = retry_base_s
        self._zones = zones
        self.not_understood: list[str] = []  # states that this build cannot decide for; the caller empties it
        self._stale: dict[str, None] = {}
        self._wheel: TimerWheel[str] = TimerWheel()
        self._unread = UnreadDecisions()
        self._urgent: dict[str, None] = {}
        self._touched: dict[str, None] = {}  # in order, so that a run can be repeated exactly
        self._again = False

    @property
    def zone_data(self) -> str:
        """The version of the zone data by which it decides."""
        return zone_data_of(self._zones)

    @property
    def timer_count(self) -> int:
        """How many timers wait in memory."""
        return len(self._wheel)

    @property
    def state_count(self) -> int:
        """How many jobs and schedules are in memory."""
        return len(self.ledger.states)

    @property
    def overlay_count(self) -> int:
        """How many decisions are made and not yet read back."""
        return len(self._unread)

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return the *ids* whose states may be in the tables alone: they must be loaded before their records are applied."""
        states, new_jobs = self.ledger.states, self.new_jobs
        return [
            known for known in ids if known not in states and (not known.startswith("job_") or known not in new_jobs)
        ]

    def load(self, states: Iterable[State]) -> None:
        """Take states from the tables. A state that is in memory already is newer, and stays."""
        for state in states:
            owner_id = id_of(state)
            if owner_id not in self.ledger.states:
                self.ledger.states[owner_id] = state
                self._arm(owner_id, state)

    def apply(self, position: int, item: Event | Unknown | Unreadable, stamp: str | None) -> Applied:
        """Fold the record at *position*; raises as `Ledger.apply` does."""
        applied = self.ledger.apply(position, item, stamp)
        if isinstance(item, OwnerClaimed):
            self._on_claim(item, applied)
            return applied
        if stamp == self._stamp:
            self._read_back(item, applied)
        elif isinstance(item, AttemptDue) and applied.changed:
            self.permits.count(item.account, day_of(max(item.at, item.not_before)))
        for owner_id, state in applied.changed.items():
            self._arm(owner_id, state, is_new=owner_id == applied.new_id)
            if isinstance(state, JobState):
                self.new_jobs.note(owner_id)
            elif isinstance(state, ScheduleState) and has_older_zone_data(state, self._zones):
                self._stale[owner_id] = None  # a process with older zone data wrote it
        return applied

    def look_at_zone_data(self, schedules: Sequence[ScheduleState]) -> None:
        """Take *schedules* from the tables; those that run at another instant by newer zone data are realigned."""
        self.load(schedules)
        self._stale.update((each.schedule_id, None) for each in schedules)

    def decide(self, now: int, jitter: Callable[[], float], *, early_ms: int = 0) -> list[Event]:
        """
        Return the decisions that are owed at *now*, as many as may be unread; each is until it is read back.

        Args:
            early_ms: write due events and ticks this much earlier still; used while the partition is handed over.
        """
        if not self.is_deciding or self.superseded:
            return []
        decisions, self.asked = self.asked, []
        lead_ms = self._lead_ms + early_ms
        due, _ = self._wheel.advance(now - now % self._gather_ms + early_ms)
        for owner_id in due:
            self._urgent[owner_id] = None
        decisions += self._realigned(now)
        for owner_id in list(islice(self._urgent, EXAMINED_MAX)):
            del self._urgent[owner_id]
            state = self.ledger.states.get(owner_id)
            if state is None or owner_id in self._unread:
                continue
            at = owed_at(state, lead_ms=lead_ms)
            if at is None:
                continue
            if at > now:
                self._arm(owner_id, state)
            elif isinstance(state, JobState) and state.is_waiting and not state.cancel_requested:
                self._queue(owner_id, state.account)
            else:
                self._unread.wait(owner_id, state.account)
        while True:
            ready = self._unread.next_ready() or self.concurrency.next_ready(
                lambda job_id, account: self._unread.has_room(account) and self._has_permit(job_id, account, now)
            )
            if ready is None:
                break
            state = self.ledger.states.get(ready)
            at = None if state is None or ready in self._unread else owed_at(state, lead_ms=lead_ms)
            if state is None or at is None:
                continue
            if at > now:  # the clock was set back while it waited
                self._arm(ready, state)
                continue
            if (decided := self._commit(ready, state, now, jitter())) is not None:
                decisions.append(decided)
        self._again = False
        return decisions

    def _realigned(self, now: int) -> list[Event]:
        found: list[Event] = []
        for owner_id in list(islice(self._stale, STALE_MAX)):
            del self._stale[owner_id]
            state = self.ledger.states.get(owner_id)
            if not isinstance(state, ScheduleState) or owner_id in self._unread:
                continue  # what is on its way was decided with the data of this process
            decision = realigned(state, now, self._zones)
            if decision is not None:
                self._unread.take(owner_id, state.account)
                found.append(decision)
        return found

    def recall(self, account: str) -> None:
        """
        Take *account* out of the backlog. The caller loads what the tables hold of it before the horizon.

        States that are still in memory are queued again here, since `load` passes them over.
        """
        self.backlog.discard(account)
        self.extend(self.horizon_at)

    def asks(self, now: int, *, also_refused: bool) -> list[PermitAsk]:
        """Return what to ask for of accounts' days (see `DailyPermits.asks`)."""
        return self.permits.asks(now, self.concurrency.waiting_of, also_refused=also_refused)

    def needs_recall(self) -> list[str]:
        """Return the accounts of the backlog that have room for more of their due jobs."""
        return [
            account
            for account in sorted(self.backlog)
            if self.concurrency.waiting_of(account) <= QUEUE_LEAST // 2 and account not in self.permits.refused
        ]

    def granted(self, ask: PermitAsk, number: int) -> None:
        """Take what was granted of an account's day; of an account that is refused only a few due jobs stay in memory."""
        self.permits.granted(ask, number)
        if ask.account in self.permits.refused:
            shed = self.concurrency.shed(ask.account, keep=REFUSED_LEAST)
            if shed:
                self.backlog.add(ask.account)
                self._touched.update(dict.fromkeys(shed))

    def next_decision_at(self) -> int | None:
        """Return the instant at which `decide` should be called next; `AT_ONCE` for now, None if there is nothing to wait for."""
        if not self.is_deciding or self.superseded:
            return None
        if self._urgent or self._stale or self._again:
            return AT_ONCE
        at = self._wheel.next_at()
        return None if at is None else at + -at % self._gather_ms

    def extend(self, horizon_at: int) -> None:
        """
        Move the horizon on to *horizon_at*. The caller loads what the tables hold before it.

        States that are still in memory, and were beyond the old horizon, get their timers here, since `load` passes them over.
        """
        self.horizon_at = horizon_at
        for owner_id in list(self._touched):
            state = self.ledger.states.get(owner_id)
            if state is not None:
                self._arm(owner_id, state)

    def shrink(self, horizon_at: int) -> None:
        """Move the horizon back: timers at or after *horizon_at* are dropped, their states are in the tables."""
        self.horizon_at = horizon_at
        self._touched.update(dict.fromkeys(self._wheel.evict_after(horizon_at - 1)))

    def evict(self, unsaved: Container[str]) -> None:
        """Drop the states that need not be in memory; those in *unsaved* are not in the tables yet and stay."""
        kept: dict[str, None] = {}
        for owner_id in self._touched:
            state = self.ledger.states.get(owner_id)
            # A schedule that waits for a grace may be owed something beyond the horizon, and the tables do not find it by that.
            if owner_id in unsaved or (isinstance(state, ScheduleState) and state.owes_now and not state.held):
                kept[owner_id] = None
            elif not self._needed(owner_id):
                self.ledger.states.pop(owner_id, None)
        self._touched = kept

    def _on_claim(self, item: OwnerClaimed, applied: Applied) -> None:
        ours = item.nonce == self.claim.nonce
        admitted = applied.verdict is Verdict.APPLIED
        if ours and admitted:
            self.is_deciding = True
            for owner_id, state in self.ledger.states.items():
                self._arm(owner_id, state)
        elif ours or (admitted and (self.is_deciding or item.epoch >= self.claim.epoch)):
            self.is_deciding = False
            self.superseded = True

    def _read_back(self, item: Event | Unknown | Unreadable, applied: Applied) -> None:
        """One of our own decisions came back: it is pending no longer, whatever it did."""
        if isinstance(item, Unknown | Unreadable):
            return
        kind = kind_of(item)
        if kind.role != "decision" or not kind.key:  # what belongs to the partition is about no state
            return
        owner_id: str = getattr(item, kind.key)
        if owner_id not in self._unread:
            return
        if self._unread.read_back(owner_id) or self.concurrency.waiting_count:
            self._again = True
        state = self.ledger.states.get(owner_id)
        if state is not None and owner_id not in applied.changed:  # else it is armed with what changed
            self._arm(owner_id, state)

    def _arm(self, owner_id: str, state: State, *, is_new: bool = False) -> None:
        """Bring wheel, urgent list and concurrency in line with *state*; if it *is_new*, it is in none of them."""
        self._touched[owner_id] = None
        if not is_new:
            if isinstance(state, JobState):
                # A held job may never end: it must not keep concurrency from the others.
                if state.status == JobStatus.RUNNING and not state.held:
                    self.concurrency.take(owner_id, state.account)
                elif owner_id not in self._unread and self.concurrency.give_back(owner_id):
                    self._again = True
            self.concurrency.withdraw(owner_id)
            self._unread.withdraw(owner_id)
            if owner_id in self._unread:
                return
        at = owed_at(state, lead_ms=self._lead_ms)
        if at == AT_ONCE:
            self._wheel.cancel(owner_id)
            self._urgent[owner_id] = None
            return
        self._urgent.pop(owner_id, None)
        if at is not None and at < self.horizon_at:
            self._wheel.schedule(owner_id, at)
        else:
            self._wheel.cancel(owner_id)

    def _commit(self, owner_id: str, state: State, now: int, jitter: float) -> Event | None:
        decision = decide(state, now, jitter=jitter, retry_base_s=self._retry_base_s, zones=self._zones)
        if decision is None:
            self.not_understood.append(owner_id)
            return None
        self._unread.take(owner_id, state.account)
        if isinstance(decision, AttemptDue):
            account = decision.account
            self.concurrency.take(owner_id, account)
            self.permits.count(account, day_of(max(now, decision.not_before)))
            if self.permits.was_delayed(account, is_last=not self._has_more(account)):
                # The wait was the limit's: it must not look as if Fliq was late.
                decision = msgspec.structs.replace(decision, not_before=max(now, decision.not_before))
        return decision

    def _has_permit(self, job_id: str, account: str, now: int) -> bool:
        state = self.ledger.states.get(job_id)
        if not isinstance(state, JobState) or not state.is_waiting:
            return True  # it is passed over
        return self.permits.may_decide(account, day_of(max(now, state.fire_at)))

    def _has_more(self, account: str) -> bool:
        return account in self.backlog or self.concurrency.waiting_of(account) > 0

    def _queue(self, job_id: str, account: str) -> None:
        """Let a due job wait for a slot, or leave it in the tables: the due jobs of one account must not fill the memory."""
        concurrency = self.concurrency
        is_full = concurrency.waiting_count >= QUEUES_MAX and concurrency.waiting_of(account) >= QUEUE_LEAST
        if is_full or (account in self.permits.refused and concurrency.waiting_of(account) >= REFUSED_LEAST):
            self.backlog.add(account)
            self._touched[job_id] = None
        else:
            concurrency.wait(job_id, account)

    def _needed(self, owner_id: str) -> bool:
        if (
            owner_id in self._unread
            or owner_id in self._stale
            or owner_id in self._wheel
            or owner_id in self._urgent
            or owner_id in self.concurrency
            or self._unread.has_waiting(owner_id)
        ):
            return True
        state = self.ledger.states.get(owner_id)
        return isinstance(state, JobState) and not state.held and state.status in UNDER_WAY
