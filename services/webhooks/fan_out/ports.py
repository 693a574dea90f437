"""What fan-out needs of others: met by libs/store, and by fakes in tests."""

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from libs.events import Claim
from libs.sealing.keyring import NO_SEALING, Keyring
from libs.store.reads.fan_out_tables import JobAttempt, ToldJob, ToldSchedule
from services.webhooks.fan_out.announcer import DisabledEndpoints
from services.webhooks.fan_out.directory import StoredEndpoints
from services.webhooks.fan_out.recoverer import RecoveryPorts


class JobTables(Protocol):
    """What is read of jobs and schedules."""

    async def jobs_of(
        self, partition: int, wanted: Sequence[JobAttempt], *, with_urls: bool, answers: Sequence[JobAttempt] = ()
    ) -> tuple[int, Mapping[JobAttempt, ToldJob]]:
        """
        Return the jobs that exist, each with the attempt that is asked for, and as of which position of the tables.

        What was kept of answers is read of those in *answers*.
        """

    async def schedules_of(self, partition: int, ids: Collection[str]) -> tuple[int, Mapping[str, ToldSchedule]]:
        """Return those of the schedules that exist, and as of which position of the tables."""


class EndpointTables(StoredEndpoints, DisabledEndpoints, Protocol):
    """What is read and written of endpoints."""


class FanOutPositions(Protocol):
    """How far the events of each partition are fanned out."""

    async def progress(self, partition: int) -> tuple[int, Claim | None]:
        """Return the position of the tables, and the claim admitted there."""

    async def fanned_out(self, partition: int) -> tuple[int, Claim | None]:
        """Return the position that was saved last, and the claim admitted there; -1 and None if there is none."""

    async def save_fan_out(self, partition: int, position: int, claim: Claim | None) -> None:
        """Save a position; one that is not behind what is saved already changes nothing."""


class DeliveryMeter(Protocol):
    """What is measured."""

    def delivery_exhausted(self, told_by: Literal["endpoint"]) -> None:
        """The last try of a delivery failed."""


class FanOutPorts(NamedTuple):
    """What fan-out needs of the tables."""

    endpoints: EndpointTables
    jobs: JobTables
    positions: FanOutPositions
    recovery: RecoveryPorts | None = None  # None: nobody recovers
    keyring: Keyring = NO_SEALING
