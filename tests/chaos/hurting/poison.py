"""Poison: records that no Fliq would write, put into the log past it. Each is stepped over, or holds its own job and no other."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from typing import Final

from libs.events import Envelope, JobScheduled, Spec, encode
from libs.events.ids import new_job_id
from libs.log.port import LogUnavailable
from tests.chaos.hurting.cluster import Cluster
from tests.fakes.until import until

EACH: Final = 2
WITHIN_S: Final = 30.0  # longer than a log stays away after any one fault


def _poisons(job_id: str, now: int) -> Iterator[Envelope]:
    never = Spec(url="http://127.0.0.1:9/never")
    good = encode(JobScheduled(job_id=job_id, account="default", at=now, fire_at=now + 86_400_000, spec=never))
    yield good._replace(value=b"\xff\x00\xfe not JSON")
    yield good._replace(value=b'{"job_id": ')
    yield good._replace(value=b"[]")
    yield good._replace(version=99, must_understand=False)  # one that must be understood halts its readers, by design
    yield good._replace(type="job.unheard_of", must_understand=False)
    yield good._replace(type="attempt.due", claim=None, value=b"{}")
    yield good._replace(type="attempt.due", claim="999999999.nobody", value=b"{}")
    yield good._replace(type="attempt.finished", value=json.dumps({"job_id": job_id, "attempt": -1}).encode())
    yield good._replace(type="owner.claimed", claim=None, key="owner", value=b'{"epoch": -5}')


async def poison(cluster: Cluster, draw: random.Random) -> None:
    """Append some of each kind, each about a job of nobody's, to partitions drawn by chance; wait for a log that is hurt."""

    async def is_in() -> bool:
        try:
            await _append(cluster, draw)
        except LogUnavailable:
            # Another fault is made at the same time. Some may have landed, and come twice, which is no less a poison.
            return False
        return True

    await until(is_in, within_s=WITHIN_S, every_s=0.5, saying=lambda: "the log stays away")


async def _append(cluster: Cluster, draw: random.Random) -> None:
    now = time.time_ns() // 1_000_000
    async with cluster.log() as log:
        for _ in range(EACH):
            partition = draw.randrange(cluster.partitions)
            for envelope in _poisons(new_job_id(now, partition, os.urandom(8)), now):
                await log.append(partition, [envelope])
