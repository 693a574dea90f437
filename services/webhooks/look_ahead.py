"""
Look ahead: finds the jobs whose POST was made already, so that a reader which begins before them does not make it again.

The outcome of a POST follows the end of its job at some distance in the log. A reader starts from the saved position: usually
one second old; the start of the log after the tables were rebuilt; hours old after a restored backup. So the records in front
of the reader are read for outcomes before the reader gets there, `STRETCH` records ahead, up to the end that the log had at the
beginning.

Memory: the ids of the jobs with an outcome within `STRETCH` records.
"""

from typing import Final

from libs.log.port import Log

READ_MAX: Final = 500
STRETCH: Final = (
    50_000  # records between the end of a job and the outcome of its POST: more than the slowest of them takes
)
_OUTCOME: Final = "webhook.finished"


class LookAhead:
    """Looks ahead of the reader of one partition."""

    def __init__(self, log: Log, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._at = 0
        self._end: int | None = None
        self._ended: set[str] = set()

    def take(self, job_id: str) -> bool:
        """Whether the POST of a job, whose end was just read, was made already; the job is then forgotten."""
        if job_id not in self._ended:
            return False
        self._ended.discard(job_id)
        return True

    async def move(self, position: int) -> None:
        """
        Look for outcomes in the records after *position*, which the reader has reached.

        Raises:
            LogError: the log cannot be read; the next call goes on from there.
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
            self._ended.update(record.envelope.key for record in records if record.envelope.type == _OUTCOME)
            self._at = records[-1].position + 1
