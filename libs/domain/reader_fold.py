"""
ReaderFold: what a reader that decides nothing sees of one partition.

The dispatcher and the webhooks service do not fold states. They follow the claims, as every reader does, and pick the admitted
events of a few types; they skip all other records without decoding them. From the same records this class picks exactly the
decisions that `Ledger` admits.

Invariants
    1. Positions are contiguous: a gap stops the reader.
    2. A decision counts only under the last admitted claim.
    3. A record of an unknown type or version that must be understood stops the reader, before it has moved past it.
    4. A record that cannot be read is counted and skipped.

Source: ARCHITECTURE.md, "Facts and decisions".
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from libs.domain.admission import admits_decision
from libs.domain.ledger import PartitionFold
from libs.events import Claim, Envelope, Event, OwnerClaimed, Unknown, Unreadable, read
from libs.events.codec import KINDS

_VERSIONS: Final = {kind.name: kind.version for kind in KINDS}
_DECISIONS: Final = frozenset(kind.name for kind in KINDS if kind.role == "decision")
_CLAIMED: Final = "owner.claimed"
_NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


class ReaderFold(PartitionFold):
    """A reader of one partition that picks the admitted events of a few types."""

    def __init__(
        self,
        partition: int,
        *,
        wanted: frozenset[str],
        wanted_from: Mapping[str, int] = _NOTHING,
        position: int = -1,
        claim: Claim | None = None,
    ) -> None:
        """
        Go on after *position*, under *claim*.

        Args:
            wanted: the stored names of the events to pick.
            wanted_from: name -> the lowest version to pick; lower ones hold nothing that this reader looks for.
        """
        super().__init__(partition, position=position, claim=claim)
        self.void_count = 0
        self.poison_count = 0
        self._wanted = wanted
        self._wanted_from = wanted_from

    def take(self, position: int, envelope: Envelope) -> Event | None:
        """
        Read the record at *position*; return its event if it is wanted and admitted.

        Raises:
            GapInLog: *position* is not the next one.
            MustUnderstand: the record is of an unknown type that may not be skipped; this reader stays before it.
        """
        self.check_next(position)
        name = envelope.type
        if envelope.version <= _VERSIONS.get(name, 0):
            is_wanted = name in self._wanted and envelope.version >= self._wanted_from.get(name, 0)
            if not is_wanted and name != _CLAIMED:
                self.position = position
                return None
            if name in _DECISIONS and not admits_decision(self.claim, envelope.claim):
                self.position = position
                self.void_count += 1
                return None
        item = read(self.partition, envelope)
        self.check_known(position, item)
        self.position = position
        match item:
            case Unknown():
                return None
            case Unreadable():
                self.poison_count += 1
                return None
            case OwnerClaimed():
                self.void_count += not self.admit_claim(item)
                return None
            case _:
                return item
