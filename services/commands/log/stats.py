"""Stats: counts the records of a log. Void records are decisions and claims that were not admitted; readers skip them. Pure."""

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
        """Count *partition*, whose log reaches from *begin* to *end*; *is_whole* if counting begins at its first record."""
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
        """Count *record*. If it is not wanted, only note its claim, which the decisions after it are checked against."""
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
    return {
        **_sums(partitions),
        "types": {name: {"records": count, "bytes": sizes[name]} for name, count in types.most_common()},
        "partitions": [
            {"partition": each.partition, "begin": each.begin, "end": each.end, **_sums([each])} for each in partitions
        ],
    }


def _sums(partitions: list[PartitionStats]) -> dict[str, Any]:
    first_at = min((each.first_at for each in partitions if each.first_at is not None), default=None)
    last_at = max((each.last_at for each in partitions if each.last_at is not None), default=None)
    return {
        "records": sum(each.records for each in partitions),
        "bytes": sum(each.bytes for each in partitions),
        "first_at": None if first_at is None else instant(first_at),
        "last_at": None if last_at is None else instant(last_at),
        **{name: sum(each.counts[name] for each in partitions) for name in COUNTS},
    }
