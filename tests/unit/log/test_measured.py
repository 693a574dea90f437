"""What a measured log says of appends that fail."""

from __future__ import annotations

import pytest

from libs.events import LogBarrier, encode
from libs.log import measured
from libs.log.measured import MeasuredLog
from libs.log.memory import Faults, MemoryLog
from libs.log.port import LogError
from libs.runtime.telemetry.metrics import Metrics

RECORD = encode(LogBarrier(at=1, min_version=1))


async def test_case_22_a_log_that_takes_no_records_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two failed appends in a row are a reason, until one succeeds or nobody has tried for a while; reads do not matter."""
    faults = Faults()
    log = MeasuredLog(MemoryLog(partitions=1, faults=faults), Metrics(version="test"))
    await log.start()
    await log.append(0, [RECORD])
    assert log.append_trouble() is None

    faults.appends_unavailable = True
    for _ in range(2):
        assert log.append_trouble() is None
        with pytest.raises(LogError):
            await log.append(0, [RECORD])
    assert "takes no records" in (log.append_trouble() or "")

    faults.appends_unavailable = False
    await log.append(0, [RECORD])
    assert log.append_trouble() is None

    faults.appends_unavailable = True
    for _ in range(2):
        with pytest.raises(LogError):
            await log.append(0, [RECORD])
    monkeypatch.setattr(measured, "TROUBLE_S", -1.0)
    assert log.append_trouble() is None
