"""
Shown positions: how far a role has read, told to the log's own tools about once a second.

For people and autoscalers only. No position is ever read back, so a log that does not take it costs a line in ours, once.

With the positions goes a note: whose they are (the database's name) and a number that changes every second. By that a start finds
out that another Fliq, with another database, works on the same log: two would make every call twice.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

import structlog

from libs.log.port import LogError
from libs.runtime.lifecycle import StartStop

EVERY_MS: Final = 1_000
AGAIN_EVERY: Final = (
    60  # rounds after which even what did not change is told: logs forget groups that are silent for days
)

_log = structlog.get_logger("log")

LIVE_MS: Final = 2_500  # within which somebody who works tells something new, at least twice

ReportPositions = Callable[[str, Mapping[int, int], str], Awaitable[None]]
Notes = Callable[[str], Awaitable[Mapping[int, str]]]


class Clock(Protocol):
    """What waits for the next round (libs/runtime/clock.py)."""

    async def pause(self, ms: int, /) -> None:
        """Return after *ms*."""


class ReportedPositions(StartStop):
    """Tells the positions of one role for as long as it is started."""

    def __init__(
        self,
        group: str,
        positions: Callable[[], Mapping[int, int]],
        show: ReportPositions,
        *,
        writer: str,
        clock: Clock,
    ) -> None:
        """Tell *show*, as *writer* under the name *group*, what *positions* says: the last position read, by partition."""
        super().__init__()
        self._group = group
        self._positions = positions
        self._show = show
        self._clock = clock
        self._writer = writer
        self._rounds = 0
        self._shown: dict[int, int] = {}
        self._is_failing = False

    async def on_start(self) -> None:
        self.spawn(self._run(), name=f"shown positions {self._group}")

    async def _run(self) -> None:
        while True:
            await self._clock.pause(EVERY_MS)
            await self.tell()

    async def tell(self) -> None:
        """Tell what changed since the last time, one position at least; a failure is logged once, until it works again."""
        positions = self._positions()
        self._rounds += 1
        everything = self._rounds % AGAIN_EVERY == 0
        news = {part: at for part, at in positions.items() if everything or self._shown.get(part) != at}
        news = news or dict(list(positions.items())[:1])
        if not news:
            return
        try:
            await self._show(self._group, news, f"{self._writer} {self._rounds}")
        except Exception as error:  # noqa: BLE001 - a defect too: what is for people only must not end what works
            if not self._is_failing:
                self._is_failing = True
                trace = not isinstance(error, LogError)
                _log.warning("log_positions_not_shown", group=self._group, reason=str(error), exc_info=trace)
            return
        self._is_failing = False
        self._shown = dict(positions)


async def has_company(groups: Sequence[str], notes: Notes, *, writer: str, clock: Clock) -> bool:
    """
    Say whether others than *writer* tell positions of this log at the moment; takes `LIVE_MS` where others ever did.

    A log that does not say counts as one without company: nothing rests on this but that a mistake is noticed.
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
