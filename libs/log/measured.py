"""MeasuredLog: passes every call on to another log, and records how long appends take and how they fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from libs.events import Envelope
from libs.log.port import AppendFailed, Log, LogError, LogUnavailable, PositionReports, Record
from libs.runtime.telemetry.metrics import Metrics


class MeasuredLog(Log):
    """Meets the port, as *inner* does."""

    def __init__(self, inner: Log, metrics: Metrics) -> None:
        """Measure the calls to *inner* on *metrics*."""
        self.inner = inner
        self._append = inner.append
        self._seconds = metrics.log_append_seconds
        self._failed = metrics.log_append_errors.labels("failed")
        self._unavailable = metrics.log_append_errors.labels("unavailable")
        self._refused = metrics.log_append_errors.labels("refused")

    @property
    def position_reports(self) -> PositionReports | None:
        return self.inner.position_reports

    async def append(self, partition: int, envelopes: Sequence[Envelope], *, timeout_s: float = 10.0) -> int:
        now = asyncio.get_running_loop().time
        began_at = now()
        try:
            position = await self._append(partition, envelopes, timeout_s=timeout_s)
        except AppendFailed:
            self._failed.inc()
            raise
        except LogUnavailable:
            self._unavailable.inc()
            raise
        except (LogError, ValueError):
            self._refused.inc()
            raise
        self._seconds.observe(now() - began_at)
        return position

    async def start(self) -> None:
        await self.inner.start()

    async def stop(self) -> None:
        await self.inner.stop()

    async def partitions(self) -> int:
        return await self.inner.partitions()

    async def identity(self) -> str:
        return await self.inner.identity()

    async def read(self, partition: int, position: int, *, max_records: int = 500, wait_s: float = 0.0) -> list[Record]:
        return await self.inner.read(partition, position, max_records=max_records, wait_s=wait_s)

    async def begin(self, partition: int) -> int:
        return await self.inner.begin(partition)

    async def end(self, partition: int) -> int:
        return await self.inner.end(partition)

    async def trim(self, partition: int, before: int) -> None:
        await self.inner.trim(partition, before)
