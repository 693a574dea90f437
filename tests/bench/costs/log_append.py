"""
How fast the log takes records: latency of single appends, throughput of batches, CPU time of this process per record.

    python -m tests.bench.costs.log_append [--dsn postgresql://...] [--log postgres|memory] [--seconds 2] [--profile]

Without a DSN an embedded PostgreSQL with fsync on is started in a temporary directory. Nothing gates on the figures.
"""

import argparse
import asyncio
import cProfile
import pstats
import resource
import time

import uvloop

from libs.events import Envelope
from libs.log.memory import MemoryLog
from libs.log.port import Log
from libs.log.postgres import PostgresLog
from tests.fakes.running.postgres import fresh_server

RECORD_BYTES = 600
PARTITIONS = 4


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(log: Log, *, callers: int, batch: int, seconds: float, readers: bool = False) -> str:
    """Let *callers* append *batch* records at a time, each in turn, for *seconds*; return a line of figures."""
    envelopes = [
        Envelope("job.scheduled", 1, True, None, f"job_{number:026d}", (b"%010d" % number) * (RECORD_BYTES // 10))
        for number in range(batch)
    ]
    latencies_s: list[float] = []
    ends_at = time.perf_counter() + seconds

    async def call(number: int) -> None:
        partition = number % PARTITIONS
        while (began_at := time.perf_counter()) < ends_at:
            await log.append(partition, envelopes)
            latencies_s.append(time.perf_counter() - began_at)

    read_count = 0

    async def tail(partition: int) -> None:
        nonlocal read_count
        position = await log.end(partition)
        while time.perf_counter() < ends_at:
            records = await log.read(partition, position, wait_s=0.1)
            position += len(records)
            read_count += len(records)

    began_at, cpu_before = time.perf_counter(), cpu_s()
    tails = [tail(partition) for partition in range(PARTITIONS)] if readers else []
    await asyncio.gather(*(call(number) for number in range(callers)), *tails)
    took_s, cpu = time.perf_counter() - began_at, cpu_s() - cpu_before
    latencies_s.sort()
    records = len(latencies_s) * batch
    p50, p99 = (latencies_s[int(len(latencies_s) * share)] * 1000 for share in (0.5, 0.99))
    return (
        f"{callers:4d} callers x {batch:4d}{' + readers' if readers else '':10s}  {records / took_s:9,.0f} records/s  "
        f"append p50 {p50:7.2f} ms  p99 {p99:7.2f} ms  client CPU {cpu / records * 1e6:6.1f} us/record"
        + (f"  read {read_count:,}" if readers else "")
    )


async def run(log: Log, seconds: float) -> None:
    await log.start()
    try:
        await measure(log, callers=8, batch=1, seconds=0.3)  # warm
        for callers in (1, 8, 32, 128, 512):
            print(await measure(log, callers=callers, batch=1, seconds=seconds), flush=True)
        print(await measure(log, callers=32, batch=1, seconds=seconds, readers=True), flush=True)
        for callers in (1, 8, 32):
            print(await measure(log, callers=callers, batch=100, seconds=seconds), flush=True)
        await end_latency(log)
    finally:
        await log.stop()


async def end_latency(log: Log) -> None:
    took_s = []
    for _ in range(300):
        began_at = time.perf_counter()
        await log.end(0)
        took_s.append(time.perf_counter() - began_at)
    took_s.sort()
    print(f"end(): p50 {took_s[150] * 1000:.2f} ms  p99 {took_s[297] * 1000:.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--dsn")
    parser.add_argument("--log", choices=("postgres", "memory"), default="postgres")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    profile = cProfile.Profile()

    def go(log: Log) -> None:
        if options.profile:
            profile.enable()
        uvloop.run(run(log, options.seconds))
        if options.profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)

    if options.log == "memory":
        go(MemoryLog(partitions=PARTITIONS))
    elif options.dsn:
        go(PostgresLog(options.dsn, partitions=PARTITIONS))
    else:
        with fresh_server() as dsn:
            go(PostgresLog(dsn, partitions=PARTITIONS))


if __name__ == "__main__":
    main()
