"""
ReportedPositions: tells the log's own tools, about once a second, how far a role has read.

These positions are for people and autoscalers only. Fliq never reads them back, so if the log does not accept them, this process
only logs one warning.

A note goes with the positions: the name of the database they belong to, and a number that changes every second. By this note a
starting process finds out if another Fliq, with another database, works on the same log. The two would make every call twice.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog

from libs.log.port import LogError
from libs.runtime.clock import Clock
from libs.runtime.lifecycle import StartStop

EVERY_MS: Final = 1_000
AGAIN_EVERY: Final = (
    60  # rounds; then unchanged positions are reported too: a log forgets a group that is silent for days
)

_log = structlog.get_logger("log")

LIVE_MS: Final = 2_500  # a process that works reports at least twice within this time

ReportPositions = Callable[[str, Mapping[int, int], str], Awaitable[None]]
Notes = Callable[[str], Awaitable[Mapping[int, str]]]


class ReportedPositions(StartStop):
    """Reports the positions of one role while it is started."""

    def __init__(
        self,
        group: str,
        positions: Callable[[], Mapping[int, int]],
        report: ReportPositions,
        *,
        writer: str,
        clock: Clock,
    ) -> None:
        """Call *report* for *group*, as *writer*, with what *positions* returns: the last position read, by partition."""
        super().__init__()
        self._group = group
        self._positions = positions
        self._report = report
        self._clock = clock
        self._writer = writer
        self._rounds = 0
        self._reported: dict[int, int] = {}
        self._is_failing = False

    async def on_start(self) -> None:
        self.spawn(self._run(), name=f"shown positions {self._group}")

    async def _run(self) -> None:
        while True:
            await self._clock.beat(EVERY_MS)
            await self.tell()

    async def tell(self) -> None:
        """Report what changed since the last time, at least one position. A failure is logged once until it works again."""
        positions = self._positions()
        self._rounds += 1
        everything = self._rounds % AGAIN_EVERY == 0
        news = {part: at for part, at in positions.items() if everything or self._reported.get(part) != at}
        news = news or dict(list(positions.items())[:1])
        if not news:
            return
        try:
            await self._report(self._group, news, f"{self._writer} {self._rounds}")
        except Exception as error:  # noqa: BLE001 - also a defect: a report for people must not end the process
            if not self._is_failing:
                self._is_failing = True
                trace = not isinstance(error, LogError)
                _log.warning("log_positions_not_shown", group=self._group, reason=str(error), exc_info=trace)
            return
        self._is_failing = False
        self._reported = dict(positions)


async def has_company(groups: Sequence[str], notes: Notes, *, writer: str, clock: Clock) -> bool:
    """
    Return whether others than *writer* report positions of this log at the moment. Takes `LIVE_MS` if others ever did.

    If the log does not answer, return False: this check only finds operators' mistakes, nothing else depends on it.
    """
    try:
        before = await _others(groups, notes, writer)
        if not before:
            return False
        await clock.pause(LIVE_MS)
        after = await _others(groups, notes, writer)
    except LogError as error:
        _log.warning("log_company_not_known", reason=str(error))
        return False
    return any(before.get(place) != note for place, note in after.items())


async def _others(groups: Sequence[str], notes: Notes, writer: str) -> dict[tuple[str, int], str]:
    found = {(group, partition): note for group in groups for partition, note in (await notes(group)).items()}
    return {place: note for place, note in found.items() if note and note.split(" ")[0] != writer}
