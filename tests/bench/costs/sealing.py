"""
Measure what sealing costs a create: processor time of the API for one job with two headers and a body of 1 kB, with and without.

    python -m tests.bench.costs.sealing [jobs]

Two Fliqs of separate processes on one server, one with a master key and one without, in turns; nothing else should run. Only the
processor time of the two `fliq api` counts, so another load on the machine changes the ratio little.
"""

import asyncio
import os
import sys
import timeit
from collections.abc import Iterator
from statistics import median

import aiohttp

from libs.events import Spec
from libs.sealing.data_key import DataKey
from libs.sealing.sealed_spec import open_spec, seal_spec
from tests.fakes.running.client import TOKEN
from tests.fakes.running.postgres import Databases, fresh_server
from tests.fakes.running.processes import RunningFliq

ROUNDS = 5
CONNECTIONS = 8
JOB = "job_01mcc5rm3v001h4d2pf28aqkff"
HEADERS = {"Authorization": "Bearer 0123456789abcdef0123456789abcdef", "Content-Type": "application/json"}
REQUEST = {
    "url": "https://example.com/invoices?tenant=17",
    "headers": HEADERS,
    "body": '{"customer": 17, "lines": "' + "x" * 1_000 + '"}',
    "scheduled_at": "2100-01-01T00:00:00Z",
}


def cpu_s(pid: int) -> float:
    """Return the processor time that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def create(fliq: RunningFliq, count: int) -> float:
    """Create *count* jobs and return the processor time of the API for one, in microseconds."""
    (api,) = fliq.of("api")
    numbers = iter(range(count))
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {TOKEN}"}) as session:

        async def some() -> None:
            for _ in numbers:
                async with session.post(f"{fliq.url}/v1/jobs", json=REQUEST) as reply:
                    assert reply.status == 201, await reply.text()

        began_s = cpu_s(api.pid)
        await asyncio.gather(*[some() for _ in range(CONNECTIONS)])
        return (cpu_s(api.pid) - began_s) / count * 1e6


def parts() -> str:
    """Return what sealing and opening cost by themselves."""
    key = DataKey("dk_0123456789abcdef", bytes(32))
    spec = Spec(url=REQUEST["url"], headers=HEADERS, body=REQUEST["body"])  # type: ignore[arg-type]
    sealed = seal_spec(spec, key, account="a", spec_id=JOB, entropy=os.urandom)
    times = 20_000
    seal_us, open_us = (
        min(timeit.repeat(each, number=times, repeat=3)) / times * 1e6
        for each in (
            lambda: seal_spec(spec, key, account="a", spec_id=JOB, entropy=os.urandom),
            lambda: open_spec(sealed, key, account="a", spec_id=JOB),
        )
    )
    return f"to seal {seal_us:.1f} µs, to open {open_us:.1f} µs"


def measure(rounds: int, count: int) -> Iterator[str]:
    """processor time of the API for a create with two headers and a body of 1 kB, sealed and in clear, in turns"""
    yield parts()
    with fresh_server() as dsn:
        databases = Databases(dsn)
        sealed = RunningFliq(topology="split", database_url=databases.create())
        clear = RunningFliq(topology="split", database_url=databases.create(), FLIQ_MASTER_KEY_FILE="")
        with sealed, clear:
            for each in (clear, sealed):
                asyncio.run(create(each, count // 8))  # warm
            found = [(asyncio.run(create(clear, count)), asyncio.run(create(sealed, count))) for _ in range(rounds)]
    without, with_it = (median(each[place] for each in found) for place in (0, 1))
    ratio = sum(each[1] for each in found) / sum(
        each[0] for each in found
    )  # of one round the clock's ticks would tell too little
    yield f"in clear {without:.0f} µs, sealed {with_it:.0f} µs: ratio {ratio:.2f}"


def main() -> None:
    for line in measure(ROUNDS, int(sys.argv[1]) if len(sys.argv) > 1 else 4_000):
        print(line)


if __name__ == "__main__":
    main()
