"""What a following service needs of others: narrow ports, met by libs/store and libs/egress, and by fakes in tests."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from libs.egress.outcome import Outcome
from libs.egress.request import OutgoingRequest
from libs.log.port import Log
from libs.runtime.clock import Clock
from libs.runtime.telemetry.tracing import NO_TRACING, Tracing
from libs.sealing.keyring import NO_SEALING, Keyring
from libs.store.leases.lease_table import Lease
from libs.store.reads.partition_tables import StoredSpec


class LeaseHolder(Protocol):
    """What a keeper calls when a lease comes or goes: a following service."""

    async def on_gained(self, lease: Lease) -> None:
        """Serve the partition of *lease* from here on."""

    async def on_lost(self, partition: int) -> None:
        """Stop serving *partition*."""

    def may_release(self, partition: int) -> bool:
        """Take nothing new of *partition*, and say whether its lease may go to another process now."""


class ReadSpecs(Protocol):
    """How specs are read from the tables."""

    async def __call__(self, ids: Sequence[str], *, size_max: int | None) -> Mapping[str, StoredSpec]:
        """Return the specs that exist among *ids*; of those larger than *size_max* bytes only the size."""


class Progress(Protocol):
    """How far the tables are folded."""

    @property
    def forgotten_count(self) -> int:
        """Another number once the tables may be older than they were; see `ProgressWatch`."""

    async def wait(self, partition: int, position: int, timeout_s: float) -> bool:
        """Wait until *partition* is folded up to *position*; return False if that takes longer than *timeout_s*."""


class SigningSecrets(Protocol):
    """The secrets with which calls are signed."""

    async def signing_secrets(self, accounts: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the valid secrets of those of *accounts* that have any, newest first."""


class Egress(Protocol):
    """The way out."""

    async def call(self, request: OutgoingRequest, *, timeout_s: float) -> Outcome:
        """Make one call; an answer and a failure both come back as an outcome."""


class PoisonMeter(Protocol):
    """Counts what a reader cannot read."""

    def poison(self, count: int) -> None:
        """Records were read that cannot be decoded."""


class FollowingPorts(NamedTuple):
    """
    What every following service needs of others.

    Args:
        version: stands in the User-Agent.
        gather_ms: the least time between two reads of a partition: what arrives meanwhile is read together.
        append_gather_ms: the least time between two rounds of appends, to all partitions that have outcomes by then.
        tracing: where the spans of calls go.
        keyring: opens what is sealed, and seals.
    """

    event_log: Log
    progress: Progress
    secrets: SigningSecrets
    egress: Egress
    clock: Clock
    version: str
    gather_ms: int = 0
    append_gather_ms: int = 0
    tracing: Tracing = NO_TRACING
    keyring: Keyring = NO_SEALING
