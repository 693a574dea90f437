"""Fan-outs: the readers of all partitions that this process serves, their directory, and the positions that are saved."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

import structlog

from libs.following.partition_reader import ReaderContext
from libs.following.partition_trouble import PartitionTrouble
from libs.following.ports import Progress
from services.webhooks.fan_out.announcer import Announcer
from services.webhooks.fan_out.directory import EndpointDirectory
from services.webhooks.fan_out.ports import DeliveryMeter, FanOutPorts
from services.webhooks.fan_out.reader import FanOutReader
from services.webhooks.fan_out.recoverer import Recoverer

SAVE_EVERY_MS: Final = 1_000
LAST_SAVE_S: Final = 1.0  # for the position of a partition that was lost

_log = structlog.get_logger("webhooks")


class FanOuts:
    """One reader for each partition."""

    def __init__(self, context: ReaderContext, ports: FanOutPorts, progress: Progress, *, meter: DeliveryMeter) -> None:
        """Serve no partition before `gained`."""
        self._meter = meter
        self._context = context
        self._ports = ports
        self._progress = progress
        self._clock = context.clock
        self._directory = EndpointDirectory(ports.endpoints, context.clock)
        self._announcer = Announcer(self._directory, ports.endpoints, context.event_log, context.clock, ports.keyring)
        self._readers: dict[int, tuple[FanOutReader, asyncio.Task[None]]] = {}

    def loops(self) -> dict[str, Coroutine[Any, Any, None]]:
        """Return what runs from the start of the service to its stop, by name."""
        loops = {
            "endpoints": self._directory.run(),
            "disabled endpoints": self._announcer.run(),
            "fan-out positions": self._save_forever(),
        }
        recovery = self._ports.recovery
        if recovery is not None:
            recoverer = Recoverer(
                self._directory,
                recovery,
                self._context.event_log,
                self._clock,
                self._ports.keyring,
                serves=self._readers.__contains__,
            )
            loops["recoveries"] = recoverer.run()
        return loops

    def ready(self) -> str | None:
        """Return None if all is well, else what is not."""
        for partition, (reader, _) in sorted(self._readers.items()):
            if reader.trouble is not None:
                return f"fan-out of partition {partition}: {reader.trouble.text}"
        return None

    def trouble_of(self, partition: int) -> PartitionTrouble | None:
        """Return why the events of *partition* are not fanned out."""
        found = self._readers.get(partition)
        return None if found is None else found[0].trouble

    def gained(self, partition: int) -> None:
        """Fan the events of *partition* out from here on."""
        reader = FanOutReader(
            partition,
            self._context,
            directory=self._directory,
            positions=self._ports.positions,
            tables=self._ports.jobs,
            progress=self._progress,
            keyring=self._ports.keyring,
            meter=self._meter,
        )
        self._readers[partition] = (reader, asyncio.create_task(reader.run(), name=f"fan-out of partition {partition}"))

    def pause(self, partition: int) -> None:
        """Read *partition* no more."""
        found = self._readers.get(partition)
        if found is not None:
            found[1].cancel()

    async def lost(self, partition: int) -> None:
        """Read *partition* no more, and save how far it was read, so that the next holder repeats little."""
        found = self._readers.pop(partition, None)
        if found is None:
            return
        reader, reading = found
        reading.cancel()
        await asyncio.wait([reading])
        await reader.stop()
        # The wait is short: the tables may be the reason why the lease was lost.
        try:
            async with asyncio.timeout(LAST_SAVE_S):
                await self._save(reader)
        except TimeoutError:
            _log.warning("fan_out_not_saved", partition=partition, reason="no answer in time")

    async def _save_forever(self) -> None:
        """Save the positions each second."""
        while True:
            await self._clock.beat(SAVE_EVERY_MS)
            for reader, _ in list(self._readers.values()):
                await self._save(reader)

    @staticmethod
    async def _save(reader: FanOutReader) -> None:
        try:
            await reader.save()
        except Exception as error:  # noqa: BLE001 - saved a second later; until then a crash repeats a little more
            _log.warning("fan_out_not_saved", partition=reader.partition, reason=str(error))
