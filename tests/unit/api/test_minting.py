"""Where new jobs live."""

from __future__ import annotations

from collections import Counter

from libs.events.ids import instant_of, is_id, partition_of
from services.api.state.minting import TURN_MS, Mint
from tests.simulation.manual_clock import SeededEntropy


def test_turns() -> None:
    """Within a turn everything goes to one partition; over many turns every partition gets its share."""
    mint = Mint(SeededEntropy(3), partition_count=4)
    start = 1_700_000_000_000 // TURN_MS * TURN_MS

    assert len({mint.partition(start + ms) for ms in range(TURN_MS)}) == 1
    shares = Counter(mint.partition(start + ms) for ms in range(4_000))
    assert set(shares.values()) == {1_000}


def test_ids() -> None:
    """Ids carry instant and partition, and each is greater than the one before, also beyond one draw of entropy."""
    mint = Mint(SeededEntropy(3), partition_count=4)
    ids = [mint.job_id(1_700_000_000_000, 3) for _ in range(1500)]

    assert len(set(ids)) == 1500
    assert ids == sorted(ids)
    assert {(is_id(i, "job"), partition_of(i), instant_of(i)) for i in ids} == {(True, 3, 1_700_000_000_000)}
    assert is_id(mint.schedule_id(1_700_000_000_000, 3), "sched")
