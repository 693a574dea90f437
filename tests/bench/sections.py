"""Sections: what is measured. Each takes its parts, says what it found in a few lines, and leaves Fliq idle behind it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from tests.bench.child import Child
from tests.bench.figures import median, medians, range_of
from tests.bench.harness import Harness, now_ms, say
from tests.fakes.running.topologies import TOKEN

CONNECTIONS = 32


class Size(NamedTuple):
    """How much is measured."""

    rounds: int
    create_s: float
    batch_jobs: int
    herd: int
    rates: tuple[int, ...]
    rate_s: int
    lives: int
    pending: tuple[int, ...]
    pending_soon: tuple[int, ...]


FULL = Size(
    rounds=3, create_s=4, batch_jobs=20_000, herd=5_000, rates=(200, 500, 1_000), rate_s=20, lives=6_000,
    pending=(100_000, 1_000_000), pending_soon=(100_000,),
)  # fmt: skip
QUICK = Size(
    rounds=1,
    create_s=3,
    batch_jobs=20_000,
    herd=5_000,
    rates=(500,),
    rate_s=8,
    lives=2_000,
    pending=(20_000,),
    pending_soon=(20_000,),
)


def creates(harness: Harness, size: Size) -> Iterator[str]:
    """POST /v1/jobs at 32 connections against a bare aiohttp handler with the same validation, in turns."""
    ours: list[dict[str, float]] = []
    bare: list[dict[str, float]] = []
    with Child("bare") as server:
        port = server.ask("serve")["port"]
        for each in range(size.rounds):
            say(f"single creates, round {each + 1} of {size.rounds}")
            arguments = {"connections": CONNECTIONS, "seconds": size.create_s, "ahead_ms": 0, "url": harness.target}
            bare.append(harness.load.ask("create", port=port, token=TOKEN, **arguments))
            arguments.pop("url")
            meter = harness.meter()
            ours.append(harness.create(**arguments))
            shares = meter.shares()
            behind_s = harness.wait_folded()
    for name, runs in (("fliq", ours), ("bare aiohttp", bare)):
        typical = medians(runs)
        yield (
            f"{name:14} {typical['per_s']:8,.0f} creates/s ({range_of(run['per_s'] for run in runs)})"
            f"   p50 {typical['p50']:6.2f} ms   p99 {typical['p99']:6.2f} ms"
        )
    ratio = median(one["per_s"] / other["per_s"] for one, other in zip(ours, bare, strict=True))
    yield f"fliq / bare    {ratio:8.2f}   CPU of one core: {shares}   tables behind by {behind_s:.2f} s at the end"


def batches(harness: Harness, size: Size) -> Iterator[str]:
    """POST /v1/jobs/batch, 100 jobs each, at 8 connections."""
    runs = []
    for each in range(size.rounds):
        say(f"batches of 100, round {each + 1} of {size.rounds}")
        meter = harness.meter()
        far = now_ms() + 40 * 86_400_000
        runs.append(harness.fill(connections=8, batch=100, count=size.batch_jobs, from_ms=far, over_ms=86_400_000))
        shares = meter.shares()
        behind_s = harness.wait_folded()
    typical = medians(runs)
    yield f"fliq           {typical['per_s']:8,.0f} jobs/s ({range_of(run['per_s'] for run in runs)})"
    yield f"CPU of one core: {shares}   tables behind by {behind_s:.2f} s at the end"


def herd(harness: Harness, size: Size) -> Iterator[str]:
    """Jobs that are all due at the same millisecond, against a bare aiohttp client with as many calls at once (50 per host)."""
    ours, bare = [], []
    with Child("bare") as client:
        for each in range(size.rounds):
            say(f"a herd of {size.herd:,}, round {each + 1} of {size.rounds}")
            harness.sink.ask("clear")
            bare.append(client.ask("call", url=harness.target, count=size.herd, concurrency=50))
            harness.sink.ask("clear")
            at_ms = now_ms() + 4_000
            harness.fill(connections=4, batch=500, count=size.herd, from_ms=at_ms, over_ms=0)
            harness.wait_folded()
            time.sleep(max(0.0, (at_ms - now_ms()) / 1000 - 0.2))
            meter = harness.meter()
            harness.wait_arrivals(size.herd, timeout_s=30)
            shares = meter.shares()
            ours.append(complete(harness, size.herd))
            harness.wait_finished(timeout_s=30)
    typical = medians(ours)
    calls = median(run["per_s"] for run in bare)
    yield (
        f"fliq           {typical['calls_per_s']:8,.0f} calls/s ({range_of(run['calls_per_s'] for run in ours)})"
        f"   lateness p50 {typical['p50']:,.0f} ms   p99 {typical['p99']:,.0f} ms   max {typical['max']:,.0f} ms"
    )
    yield f"bare aiohttp   {calls:8,.0f} calls/s ({range_of(run['per_s'] for run in bare)})"
    yield f"fliq / bare    {typical['calls_per_s'] / calls:8.2f}   CPU of one core: {shares}"


def lateness(harness: Harness, size: Size) -> Iterator[str]:
    """Jobs created beforehand, evenly spread: when the call arrives minus when it was asked for."""
    for rate in size.rates:
        say(f"lateness at {rate}/s for {size.rate_s} s")
        harness.sink.ask("clear")
        count = rate * size.rate_s
        from_ms = now_ms() + 2_500 + count // 10
        harness.fill(connections=4, batch=500, count=count, from_ms=from_ms, over_ms=size.rate_s * 1000)
        harness.wait_folded()
        time.sleep(max(0.0, (from_ms - now_ms()) / 1000))
        meter = harness.meter()
        time.sleep(size.rate_s)
        shares = meter.shares()
        harness.wait_arrivals(count, timeout_s=15)
        found = complete(harness, count)
        yield (
            f"{rate:5,}/s   p50 {found['p50']:6.2f} ms   p99 {found['p99']:6.2f} ms   max {found['max']:6.1f} ms   "
            f"early {found['early']}   CPU of one core: {shares}"
        )
        harness.wait_finished(timeout_s=30)


def lives(harness: Harness, size: Size) -> Iterator[str]:
    """CPU seconds per 1,000 whole lives: created one by one, called, finished."""
    say(f"{size.lives:,} whole lives")
    harness.sink.ask("clear")
    meter = harness.meter()
    harness.create(connections=CONNECTIONS, seconds=60, ahead_ms=1_000, count=size.lives)
    harness.wait_arrivals(size.lives, timeout_s=60)
    harness.wait_finished(timeout_s=60)
    used = {name: seconds * 1000 / size.lives for name, seconds in meter.used_s().items()}
    complete(harness, size.lives)
    yield (
        f"fliq {used['fliq']:.2f} s   postgres {used['postgres']:.2f} s   "
        f"(load {used['load']:.2f} s   sink {used['sink']:.2f} s)"
    )


def memory(size: Size, *, far: bool) -> Iterator[str]:
    """Resident memory of Fliq's own process with jobs waiting: far away, or within the next hour."""
    with Harness() as harness:
        time.sleep(1)
        yield f"{0:9,} pending              {harness.rss_mb:6.0f} MB"
        held = 0
        for pending in size.pending if far else size.pending_soon:
            say(f"memory with {pending:,} pending jobs, {'in the next weeks' if far else 'within the next hour'}")
            from_ms, over_ms = (3 * 86_400_000, 20 * 86_400_000) if far else (300_000, 3_300_000)
            made = harness.fill(
                connections=8, batch=500, count=pending - held, from_ms=now_ms() + from_ms, over_ms=over_ms
            )
            behind_s = harness.wait_folded()
            peak = harness.rss_mb
            held = pending
            time.sleep(2)
            where = "weeks ahead" if far else "within an hour"
            yield (
                f"{pending:9,} {where:14}       {harness.rss_mb:6.0f} MB   just after creation {peak:.0f} MB, at"
                f" {made['per_s']:,.0f} jobs/s, tables behind by {behind_s:.1f} s"
            )
        say("the same after a restart")
        harness.fliq.stop()
        harness.fliq.start()
        time.sleep(2)
        yield f"{held:9,} after a restart       {harness.rss_mb:6.0f} MB"


def complete(harness: Harness, count: int) -> dict[str, float]:
    """Return the sink's report, having made sure that it is of every job, once each, and none early."""
    found = harness.sink.ask("report")
    if found["count"] != count or found["distinct"] != count or found["early"]:
        raise RuntimeError(f"of {count} calls came {found}")
    return found
