"""
Partition trouble: why a partition is not read at the moment. The kind decides what happens; the text is for people.

    STARTING     the reader has not begun yet
    PASSING      the log or the tables are away; waiting mends it
    HALTED       a gap, or a damaged or unfit log; waiting does not mend it
    NEEDS_NEWER  the next record must be understood, and this build does not know it; a process of a newer build can read on
"""

from enum import Enum, auto
from typing import Final, NamedTuple

from libs.domain.ledger import GapInLog, MustUnderstand
from libs.log.port import AppendFailed, LogDamaged, LogError, LogUnavailable, RecordTooLarge


class TroubleKind(Enum):
    """What kind of trouble it is; see the module."""

    STARTING = auto()
    PASSING = auto()
    HALTED = auto()
    NEEDS_NEWER = auto()


class PartitionTrouble(NamedTuple):
    """One partition's trouble."""

    kind: TroubleKind
    text: str

    @property
    def is_halt(self) -> bool:
        """Whether waiting does not mend it."""
        return self.kind in (TroubleKind.HALTED, TroubleKind.NEEDS_NEWER)


STARTING: Final = PartitionTrouble(TroubleKind.STARTING, "starting")


def trouble_of(error: Exception) -> PartitionTrouble:
    """Return the trouble that *error* means for the partition whose reader met it."""
    return PartitionTrouble(_kind_of(error), f"{type(error).__name__}: {error}")


def _kind_of(error: Exception) -> TroubleKind:
    match error:
        case MustUnderstand():
            return TroubleKind.NEEDS_NEWER
        case GapInLog() | LogDamaged():
            return TroubleKind.HALTED
        case LogUnavailable() | AppendFailed() | RecordTooLarge():
            return TroubleKind.PASSING
        case LogError():  # the log answers, and is not fit for use
            return TroubleKind.HALTED
        case _:
            return TroubleKind.PASSING
