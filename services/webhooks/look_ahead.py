"""
Look ahead: which ends of jobs were told already, so that a follower which begins before them does not tell them again.

The outcome of a POST stands some way behind the end of its job. A follower starts from the position saved last, a second old as a
rule; but the first record of all when the tables were lost and are made again, or hours back when they are those of a backup. So
the stretch that is looked at moves on before the follower, up to where the log ended when it began.

Memory: the jobs told within `STRETCH` records.
"""

from typing import Final

from libs.log.port import Log

READ_MAX: Final = 500
STRETCH: Final = (
    50_000  # records between the end of a job and the outcome of its POST: more than the slowest of them takes
)
_TOLD: Final = "webhook.finished"


class LookAhead:
    """Looks ahead of the reader of one partition."""

    def __init__(self, log: Log, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._at = 0
        self._end: int | None = None
        self._told: set[str] = set()

    def take(self, job_id: str) -> bool:
        """Say whether the end of the job, which is just met, was told; it is not met again, so it is forgotten."""
        if job_id not in self._told:
            return False
        self._told.discard(job_id)
        return True

    async def move(self, position: int) -> None:
        """
        Look at the stretch behind *position*, which the follower has reached.

        Raises:
            LogError: the log cannot be read; asked again, it goes on from there.
        """
        if self._end is None:
            self._end = await self._log.end(self._partition)
            self._at = position + 1
        if self._at >= self._end or self._at > position + STRETCH // 2:
            return
        until = min(self._end, position + 1 + STRETCH)
        while self._at < until:
            records = await self._log.read(self._partition, self._at, max_records=READ_MAX)
            if not records:
                break
            self._told.update(record.envelope.key for record in records if record.envelope.type == _TOLD)
            self._at = records[-1].position + 1
