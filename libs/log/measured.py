"""
A log that is measured: every call goes on to another one. How long appends take, and how they fail, goes to the metrics, and
to whoever asks whether the log takes records at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from libs.events import Envelope
from libs.log.port import AppendFailed, Log, LogError, LogUnavailable, PositionReports, Record
from libs.runtime.telemetry.metrics import Metrics

FAILURES_MIN: Final = 2  # one failed append may be one partition whose leader moves
TROUBLE_S: Final = 10.0


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
        self._failures = 0  # since the last append that succeeded
        self._failed_at = 0.0
        self._reason = ""

    @property
    def position_reports(self) -> PositionReports | None:
        return self.inner.position_reports

    async def append(self, partition: int, envelopes: Sequence[Envelope], *, timeout_s: float = 10.0) -> int:
        now = asyncio.get_running_loop().time
        began_at = now()
        try:
            position = await self._append(partition, envelopes, timeout_s=timeout_s)
        except AppendFailed as error:
            self._failed.inc()
            self._note_failure(error, now())
            raise
        except LogUnavailable as error:
            self._unavailable.inc()
            self._note_failure(error, now())
            raise
        except (LogError, ValueError):
            self._refused.inc()
            raise
        self._seconds.observe(now() - began_at)
        self._failures = 0
        return position

    def append_trouble(self) -> str | None:
        """
        Return why nothing can be written, None if that is not known.

        Several appends in a row have failed, the last of them a moment ago: a full disk is seen here first, because reads go on.
        A process that nobody asks to write any more is given the benefit of the doubt after `TROUBLE_S`.
        """
        if self._failures < FAILURES_MIN or asyncio.get_running_loop().time() - self._failed_at > TROUBLE_S:
            return None
        return f"the log takes no records: {self._reason}"

    def _note_failure(self, error: LogError, now_s: float) -> None:
        self._failures += 1
        self._failed_at = now_s
        self._reason = str(error)[:200] or type(error).__name__

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
