"""
The scheduler's loop: leases come, owners run; leases go, owners stop; the flusher saves what they fold.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import structlog

from libs.runtime.crashpoint import crash_at
from libs.store.leases.keeper_port import Keeper
from libs.store.leases.lease_table import Lease
from services.scheduler.daily.grant_asker import GrantAsker
from services.scheduler.flusher import Flusher
from services.scheduler.metrics import Reason
from services.scheduler.partition_owner import PartitionOwner, Resigned

HAND_OFF_TIMEOUT_S: Final = 3.0
HAND_BACK_TIMEOUT_S: Final = 1.0  # no lease is renewed meanwhile
HALT_S: Final = 30.0  # a partition that this build cannot read is left to others for this long
HALT_SHOWN_S: Final = 5.0
RESIGNED_S: Final = 0.5  # before a partition that was given up is taken again

_log = structlog.get_logger("scheduler")


class SchedulerService:
    """Owns as many partitions as the keeper gets leases for."""

    def __init__(
        self,
        *,
        make_owner: Callable[[Lease, Callable[[], None], Callable[[], None]], PartitionOwner],
        make_flusher: Callable[[dict[int, PartitionOwner]], Flusher],
        make_asker: Callable[[dict[int, PartitionOwner]], GrantAsker],
        make_keeper: Callable[["SchedulerService"], Keeper],
        resigned: Callable[[Reason], None],
    ) -> None:
        """
        Prepare the service.

        Args:
            make_owner: builds the owner for a lease, given what wakes the flusher and what wakes the asker.
            make_flusher: builds the flusher over the owners.
            make_asker: builds what asks for executions of accounts with a daily limit, for all owners.
            make_keeper: makes the keeper of this service's leases, which calls its `on_gained`, `on_lost` and `hand_off`.
            resigned: called with the reason whenever an owner gives up (metrics).
        """
        self._make_owner = make_owner
        self._owners: dict[int, PartitionOwner] = {}
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._flusher = make_flusher(self._owners)
        self.asker = make_asker(self._owners)
        self._flushing: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._resigned = resigned
        self._stopping = False
        self._halted: dict[int, str] = {}
        self._pauses: dict[int, float] = {}  # after defects
        self.keeper = make_keeper(self)

    @property
    def owners(self) -> dict[int, PartitionOwner]:
        """The owners by partition."""
        return self._owners

    def decides(self, partition: int) -> bool:
        """Whether decisions for *partition* are made here."""
        owner = self._owners.get(partition)
        return owner is not None and owner.deciding.is_set()

    def positions(self) -> dict[int, int]:
        """Return the last position folded, by partition."""
        return {partition: owner.position for partition, owner in self._owners.items()}

    def halted_count(self) -> int:
        """Return how many partitions this build cannot read on."""
        return len(self._halted)

    def ready(self) -> str | None:
        """
        Return None when every owned partition has an owner that decides, and its folds are saved, else the reason why not.

        If this build does not understand a record, its partition counts as this process's trouble for a while. After the pause, a
        process of another build may have taken it.
        """
        if self._flusher.failing_since is not None:
            return "the tables cannot be written"
        for partition, reason in sorted(self._halted.items()):
            owner = self._owners.get(partition)
            if owner is None or not owner.deciding.is_set():
                return f"partition {partition}: {reason}"
        if not self._owners:
            return None if self.keeper.is_spare else "no partition is owned yet"
        waiting = [partition for partition, owner in self._owners.items() if not owner.deciding.is_set()]
        return f"partitions {waiting} are being taken over" if waiting else None

    async def start(self) -> None:
        """Start owning partitions."""
        self._flushing = asyncio.create_task(self._flusher.run(), name="scheduler flusher")
        self._asking = asyncio.create_task(self.asker.run(), name="scheduler grant asker")
        await self.keeper.start()

    async def stop(self) -> None:
        """Hand every partition over: write the due events and ticks of the next 1.5 s early, save, give the leases back."""
        if self._flushing is None or self._asking is None or self._stopping:
            return
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HAND_OFF_TIMEOUT_S):
                deciding = [owner for owner in self._owners.values() if owner.deciding.is_set()]
                await asyncio.gather(*[owner.hand_off() for owner in deciding], return_exceptions=True)
        crash_at("scheduler.after_hand_off")
        for partition in list(self._runs):
            await self.on_lost(partition)
        await self.keeper.stop()
        self._flushing.cancel()
        self._asking.cancel()
        await asyncio.gather(self._flushing, self._asking, return_exceptions=True)

    async def hand_off(self, partition: int) -> None:
        """Prepare a partition that goes to another process: write the due events and ticks of the next 1.5 s, save the folds."""
        owner = self._owners.get(partition)
        if owner is not None and owner.deciding.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HAND_BACK_TIMEOUT_S):
                    await owner.hand_off()

    async def on_gained(self, lease: Lease) -> None:
        """Take over the partition of a lease that was just acquired."""
        await self.on_lost(lease.partition)
        owner = self._make_owner(lease, self._flusher.wake, self.asker.wake)
        self._owners[lease.partition] = owner
        self._runs[lease.partition] = asyncio.create_task(
            self._run(owner), name=f"scheduler partition {lease.partition}"
        )

    async def on_lost(self, partition: int) -> None:
        """Stop owning *partition* at once; its next owner reads again what is not saved."""
        self._owners.pop(partition, None)
        run = self._runs.pop(partition, None)
        if run is not None and run is not asyncio.current_task():
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)

    def _note_halt(self, partition: int, reason: str) -> None:
        self._halted[partition] = reason
        # A little longer than the pause: if the partition is taken again and halts again, it must not look healthy in between.
        asyncio.get_running_loop().call_later(HALT_S + HALT_SHOWN_S, self._forget_halt, partition, reason)

    def _forget_halt(self, partition: int, reason: str) -> None:
        if self._halted.get(partition) is reason:
            del self._halted[partition]

    async def _run(self, owner: PartitionOwner) -> None:
        pause_s = RESIGNED_S
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            await owner.run()
        except Resigned as why:
            _log.warning("resigned", partition=owner.partition, reason=str(why))
            if why.reason is Reason.HALTED:
                pause_s = HALT_S
                self._note_halt(owner.partition, str(why))
            self._resigned(why.reason)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - after any defect the partition must not stay without an owner: it is taken again
            _log.exception("owner_failed", partition=owner.partition)
            self._resigned(Reason.FAILED)
            # Every take-over writes a claim: an owner that fails at the same record again and again must not fill the log.
            before_s = (
                RESIGNED_S if loop.time() > began_at + 2 * HALT_S else self._pauses.get(owner.partition, RESIGNED_S)
            )
            pause_s = self._pauses[owner.partition] = min(before_s * 2, HALT_S)
        if self._owners.get(owner.partition) is owner:
            del self._owners[owner.partition]
            self._runs.pop(owner.partition, None)
            if not self._stopping:
                await self.keeper.give_up(owner.partition, pause_s=pause_s)
