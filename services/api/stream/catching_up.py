"""Catching up: reads the log for one stream, up to where the tail keeps its events."""

from __future__ import annotations

from libs.following.partition_reader import Wanted
from libs.log.port import Log
from services.api.http.request_turns import RequestTurns
from services.api.stream.judging import Judging
from services.api.stream.place import Place, ResumedFold
from services.api.stream.recent_events import Placed
from services.api.stream.told_events import RECORDS

READ_MAX = 200  # records: about 2 ms of judging
AT_ONCE = 4  # streams of a process that catch up at the same time; of one account half of them


class CatchingUp:
    """The reads of all streams of this process that are further behind than the tail keeps events."""

    def __init__(self, log: Log, judging: Judging) -> None:
        self._log = log
        self._judging = judging
        self._turns = RequestTurns(AT_ONCE)

    async def step(self, partition: int, place: Place, account: str, until: int) -> tuple[list[Placed], Place]:
        """
        Return the next events of *account* behind *place*, and the place reached, which is not beyond position *until*.

        Raises:
            LogDamaged: the log does not go back to *place* any more.
            ApiError, LogError, StoreUnavailable: that is not possible now.
        """
        async with self._turns.turn(account):
            most = min(READ_MAX, until - place[0])
            records = await self._log.read(partition, place[0] + 1, max_records=most)
            fold = ResumedFold(partition, wanted=RECORDS, place=place)
            wanted = [
                Wanted(position, event, fold.claim)
                for position, _, envelope in records
                if (event := fold.take(position, envelope)) is not None
            ]
            found = await self._judging.told(partition, wanted, fold.position, (account,)) if wanted else []
        return found, (fold.position, fold.claim)
