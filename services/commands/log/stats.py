"""Stats: what a log holds, counted. Void is what every reader drops: decisions and claims that were not admitted. Pure."""

from collections import Counter
from typing import Any

from libs.domain.admission import admits_claim, admits_decision
from libs.events import Claim, OwnerClaimed, Unknown, Unreadable, read
from libs.events.codec import kind_of
from libs.log.port import Record
from services.commands.log.lines import instant


class PartitionStats:
    """The records of one partition, given in order."""

    def __init__(self, partition: int, *, begin: int, end: int, is_whole: bool) -> None:
        """Count *partition*, whose log reaches from *begin* to *end*; *is_whole* when counting begins at its first record."""
        self.partition = partition
        self.begin = begin
        self.end = end
        self.records = 0
        self.bytes = 0
        self.first_at: int | None = None
        self.last_at: int | None = None
        self.types: Counter[str] = Counter()
        self.type_bytes: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()
        self._claim: Claim | None = None
        self._knows_claim = is_whole

    def add(self, record: Record, *, is_wanted: bool) -> None:
        """Take *record* in; one that is not wanted only says who decides from here on."""
        envelope = record.envelope
        if not is_wanted and envelope.type != "owner.claimed":
            return
        word = self._judge(record)
        if not is_wanted:
            return
        self.records += 1
        self.bytes += len(envelope.value)
        self.first_at = record.at if self.first_at is None else min(self.first_at, record.at)
        self.last_at = record.at if self.last_at is None else max(self.last_at, record.at)
        self.types[envelope.type] += 1
        self.type_bytes[envelope.type] += len(envelope.value)
        if word:
            self.counts[word] += 1

    def _judge(self, record: Record) -> str:
        item = read(self.partition, record.envelope)
        if isinstance(item, Unknown):
            return "unknown"
        if isinstance(item, Unreadable):
            return "unreadable"
        if isinstance(item, OwnerClaimed):
            if not admits_claim(self._claim, item):
                return "void_claims"
            self._claim, self._knows_claim = Claim(item.epoch, item.nonce), True
            return "claims"
        if kind_of(item).role != "decision" or admits_decision(self._claim, record.envelope.claim):
            return ""
        return "void_decisions" if self._knows_claim else "undetermined_decisions"


COUNTS = ("claims", "void_claims", "void_decisions", "undetermined_decisions", "unreadable", "unknown")


def facts(partitions: list[PartitionStats]) -> dict[str, Any]:
    """Return the counts of *partitions* as JSON has them, and their sums."""
    types: Counter[str] = sum((each.types for each in partitions), Counter())
    sizes: Counter[str] = sum((each.type_bytes for each in partitions), Counter())
    counts: Counter[str] = sum((each.counts for each in partitions), Counter())
    return {
        "records": sum(each.records for each in partitions),
        "bytes": sum(each.bytes for each in partitions),
        "first_at": _instant(min((each.first_at for each in partitions if each.first_at is not None), default=None)),
        "last_at": _instant(max((each.last_at for each in partitions if each.last_at is not None), default=None)),
        **{name: counts[name] for name in COUNTS},
        "types": {name: {"records": count, "bytes": sizes[name]} for name, count in types.most_common()},
        "partitions": [
            {
                "partition": each.partition,
                "begin": each.begin,
                "end": each.end,
                "records": each.records,
                "bytes": each.bytes,
                "first_at": _instant(each.first_at),
                "last_at": _instant(each.last_at),
                **{name: each.counts[name] for name in COUNTS},
            }
            for each in partitions
        ],
    }


def _instant(at: int | None) -> str | None:
    return None if at is None else instant(at)
