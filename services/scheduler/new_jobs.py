"""
New jobs: of which jobs it is certain that the tables do not hold them. Pure.

Ids grow with the time at which they are made, but requests that are under way together reach the log in any order: a batch that is
appended in pieces has ids below those of a batch that came later and was shorter. So the ids that came since the start are noted.

    floor   the tables may hold any job whose id is not above it
    noted   the ids above the floor that were folded. If they are too many, the lower half is dropped, and the floor rises to it

    invariant   a job whose id is above the floor and not noted is in no table, and was not folded
    cost        O(1) per job, amortised; `NOTED_MAX` ids of about 80 bytes
"""

from typing import Final

# Jobs of the seconds that an append of a batch may wait for room. With 2,000, jobs that five accounts made as fast as they could
# came below the floor: their owner asked the tables for them, 0.2 s for every 50 records, before it folded on.
NOTED_MAX: Final = 10_000


class NewJobs:
    """The ids of one partition's jobs."""

    def __init__(self, floor: str) -> None:
        """Begin with tables in which no job has an id above *floor*."""
        self._floor = floor
        self._noted: set[str] = set()

    def __contains__(self, job_id: str) -> bool:
        """Whether *job_id* is certainly new."""
        return job_id > self._floor and job_id not in self._noted

    def note(self, job_id: str) -> None:
        """Note that *job_id* was folded."""
        if job_id > self._floor:
            self._noted.add(job_id)
            if len(self._noted) > NOTED_MAX:
                ordered = sorted(self._noted)
                self._floor = ordered[NOTED_MAX // 2]
                self._noted = set(ordered[NOTED_MAX // 2 + 1 :])
