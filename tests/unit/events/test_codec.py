"""The codec: what an encoded event takes."""

from __future__ import annotations

import tracemalloc

from libs.events import encode
from libs.events.ids import new_job_id
from tests.fakes.events import asked


def test_a_value_takes_the_memory_that_it_is_counted_for() -> None:
    """Queues and recent records are bounded by the length of the values; what is held must not be half as much again."""
    event = asked(new_job_id(1_700_000_000_000, 0, b"12345678"), 1_700_000_000_000)
    encode(event)
    tracemalloc.start()
    try:
        values = [encode(event).value for _ in range(1_000)]
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / len(values) < len(values[0]) + 64
