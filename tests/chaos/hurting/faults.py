"""
Faults: what the nemesis can do, each as a context that hurts when it is entered and heals when it is left.

A fault says what it needs (`takes`): two at once never take the same thing. What it did is undone when it is left, also when the
campaign is cancelled. Those that are `graceful` excuse nothing but lateness: no call may be repeated for them.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tests.chaos.hurting.cluster import Cluster, Member
from tests.chaos.hurting.poison import poison
from tests.kafka.artifacts import Unavailable
from tests.kafka.broker import Broker

REBUILD_S: Final = 50.0  # within the time that a fault has for hurting
Hurt = AbstractAsyncContextManager[str | None]  # in words, what was done, where the name does not say it


@dataclass(frozen=True, kw_only=True)
class Kind:
    """
    One kind of fault.

    Args:
        does: given the cluster, the chance and the name of what it was given, hurts and heals.
        takes: names of which it takes one; empty when it is not possible.
        hold_s: how long it is held, at least and at most.
        weight: how often it is drawn, against the others.
        graceful: excuses only lateness.
    """

    name: str
    does: Callable[[Cluster, random.Random, str], Hurt]
    takes: Callable[[Cluster], list[str]]
    hold_s: tuple[float, float]
    weight: int = 2
    graceful: bool = False


def _members(cluster: Cluster) -> list[str]:
    return [each.name for each in cluster.members]


def _brokers(cluster: Cluster) -> list[str]:
    return [f"broker-{each.node}" for each in cluster.brokers.brokers] if cluster.brokers is not None else []


def _kafka(cluster: Cluster) -> list[str]:
    return ["kafka"] if cluster.brokers is not None else []


def _leader(cluster: Cluster) -> list[str]:
    return ["leader"] if cluster.brokers is not None else []


def _members_on_kafka(cluster: Cluster) -> list[str]:
    return _members(cluster) if cluster.brokers is not None else []


def _three(cluster: Cluster) -> list[str]:
    return _brokers(cluster) if cluster.brokers_count == 3 else []


def _split(cluster: Cluster) -> list[str]:
    return ["membership"] if cluster.topology != "embedded" else []


def _stepping(cluster: Cluster) -> list[str]:
    return _members(cluster) if cluster.clocks.why_not is None else []


def _postgres(_: Cluster) -> list[str]:
    return ["postgres"]


def _tables(_: Cluster) -> list[str]:
    return ["tables"]


def _log(_: Cluster) -> list[str]:
    return ["log"]


def _of(cluster: Cluster, name: str) -> Member:
    return next(each for each in cluster.members if each.name == name)


@asynccontextmanager
async def _kill(cluster: Cluster, _: random.Random, name: str) -> AsyncIterator[str | None]:
    member = _of(cluster, name)
    await asyncio.to_thread(member.kill)
    try:
        yield None
    finally:
        await cluster.spawn(member)


@asynccontextmanager
async def _freeze(cluster: Cluster, _: random.Random, name: str) -> AsyncIterator[str | None]:
    member = _of(cluster, name)
    member.signal(signal.SIGSTOP)
    try:
        yield None
    finally:
        member.signal(signal.SIGCONT)


@asynccontextmanager
async def _term(cluster: Cluster, _: random.Random, name: str) -> AsyncIterator[str | None]:
    member = _of(cluster, name)
    member.signal(signal.SIGTERM)
    try:
        code = await cluster.wait_ended(member)
        if code != 0:
            raise AssertionError(f"{name} was asked to stop and ended with {code}")
        yield None
    finally:
        await cluster.spawn(member)


@asynccontextmanager
async def _rebalance(cluster: Cluster, draw: random.Random, _: str) -> AsyncIterator[str | None]:
    joined = await cluster.join(draw.choice(("scheduler", "dispatcher", "webhooks")))
    try:
        yield joined.name
    finally:
        await cluster.leave(joined)


@asynccontextmanager
async def _step(cluster: Cluster, draw: random.Random, name: str) -> AsyncIterator[str | None]:
    offset_ms = draw.choice((-86_400_000, -30_000, -1_500, -300, 300, 1_500, 30_000, 3_600_000))
    cluster.clocks.set(name, offset_ms)
    try:
        yield f"by {offset_ms} ms"
    finally:
        cluster.clocks.set(name, 0)


def _restart_postgres(how: int) -> Callable[[Cluster, random.Random, str], Hurt]:
    @asynccontextmanager
    async def does(cluster: Cluster, draw: random.Random, _: str) -> AsyncIterator[str | None]:
        await cluster.restart_postgres(how, down_s=draw.choice((0.0, 0.0, 1.0, 5.0)))
        yield None

    return does


@asynccontextmanager
async def _freeze_postgres(cluster: Cluster, _: random.Random, __: str) -> AsyncIterator[str | None]:
    stopped = cluster.postgres_tree()
    for pid in stopped:
        _signal(pid, signal.SIGSTOP)
    try:
        yield None
    finally:
        for pid in stopped:
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # a back end that has ended


async def _brokers_meant(cluster: Cluster, draw: random.Random, name: str) -> list[Broker]:
    """Return the broker *name*; all of `kafka`, of `leader` the one that leads some partition."""
    if name == "leader":
        name = await cluster.leader_of(draw.randrange(cluster.partitions))
    return [cluster.broker_called(each) for each in (_brokers(cluster) if name == "kafka" else [name])]


@asynccontextmanager
async def _kill_brokers(cluster: Cluster, draw: random.Random, name: str) -> AsyncIterator[str | None]:
    assert cluster.brokers is not None
    brokers = await _brokers_meant(cluster, draw, name)
    for broker in brokers:
        await asyncio.to_thread(cluster.brokers.order, broker, "kill")
    try:
        yield None
    finally:
        for broker in brokers:
            cluster.brokers.start_one(broker)
        for broker in brokers:
            try:
                await asyncio.to_thread(cluster.brokers.wait_one, broker)
            except Unavailable:
                await asyncio.to_thread(cluster.brokers.wait_one, broker)  # slow to start; one that ended says so again


@asynccontextmanager
async def _freeze_brokers(cluster: Cluster, draw: random.Random, name: str) -> AsyncIterator[str | None]:
    assert cluster.brokers is not None
    brokers = await _brokers_meant(cluster, draw, name)
    for broker in brokers:
        await asyncio.to_thread(cluster.brokers.order, broker, "stop")
    try:
        yield None
    finally:
        for broker in brokers:
            await asyncio.to_thread(cluster.brokers.order, broker, "go on")


def _link(where: str, *modes: str, one: bool) -> Callable[[Cluster, random.Random, str], Hurt]:
    """Disturb the link to *where* (`brokers` is all of them), for one process or for all."""

    @asynccontextmanager
    async def does(cluster: Cluster, draw: random.Random, name: str) -> AsyncIterator[str | None]:
        mode = draw.choice(modes)
        rule = {"mode": mode, "ms": draw.choice((50, 200, 600)) if mode == "delay" else draw.choice((150, 500))}
        places = _brokers(cluster) if where == "brokers" else [name] if where == "broker" else [where]
        who = {"who": name} if one else {}
        number = await cluster.links.add(*[{**rule, **who, "where": place} for place in places])
        try:
            yield f"{mode} {rule['ms']} ms" if mode in ("delay", "reset") else mode
        finally:
            await cluster.links.remove(number)

    return does


@asynccontextmanager
async def _poison(cluster: Cluster, draw: random.Random, _: str) -> AsyncIterator[str | None]:
    await poison(cluster, draw)
    yield None


@asynccontextmanager
async def _rebuild(cluster: Cluster, draw: random.Random, _: str) -> AsyncIterator[str | None]:
    kill_after_s = draw.choice((None, None, 0.8, 2.0))
    status, _said = await cluster.command("rebuild", kill_after_s=kill_after_s, within_s=REBUILD_S)
    yield "killed half-way" if status < 0 else f"exit {status}"


_HOLDS: Final = ("hold", "hold_up", "hold_down", "refuse")

KINDS: Final = (
    Kind(name="kill", does=_kill, takes=_members, hold_s=(0, 7), weight=8),
    Kind(name="freeze", does=_freeze, takes=_members, hold_s=(0.5, 9), weight=6),
    Kind(name="term", does=_term, takes=_members, hold_s=(0, 1), weight=4, graceful=True),
    Kind(name="rebalance", does=_rebalance, takes=_split, hold_s=(2, 6), weight=3, graceful=True),
    Kind(name="clock step", does=_step, takes=_stepping, hold_s=(1, 8), weight=4, graceful=True),
    Kind(name="poison", does=_poison, takes=_log, hold_s=(0, 0), weight=2, graceful=True),
    Kind(name="rebuild", does=_rebuild, takes=_tables, hold_s=(0, 0), weight=2, graceful=True),
    Kind(name="postgres fast restart", does=_restart_postgres(signal.SIGINT), takes=_postgres, hold_s=(0, 0)),
    Kind(name="postgres immediate restart", does=_restart_postgres(signal.SIGQUIT), takes=_postgres, hold_s=(0, 0)),
    Kind(name="postgres kill", does=_restart_postgres(signal.SIGKILL), takes=_postgres, hold_s=(0, 0), weight=1),
    Kind(name="postgres freeze", does=_freeze_postgres, takes=_postgres, hold_s=(1, 6)),
    Kind(name="postgres cut from all", does=_link("postgres", *_HOLDS, one=False), takes=_postgres, hold_s=(1, 7)),
    Kind(
        name="postgres cut from one", does=_link("postgres", *_HOLDS, one=True), takes=_members, hold_s=(1, 9), weight=4
    ),
    Kind(name="postgres slow", does=_link("postgres", "delay", one=False), takes=_postgres, hold_s=(2, 5), weight=1),
    Kind(name="postgres resets", does=_link("postgres", "reset", one=False), takes=_postgres, hold_s=(1, 4), weight=1),
    Kind(name="broker kill", does=_kill_brokers, takes=_three, hold_s=(0, 6), weight=3),
    Kind(name="leader kill", does=_kill_brokers, takes=_leader, hold_s=(0, 4), weight=3),
    Kind(name="all brokers kill", does=_kill_brokers, takes=_kafka, hold_s=(0, 2), weight=1),
    Kind(name="broker freeze", does=_freeze_brokers, takes=_brokers, hold_s=(1, 8), weight=3),
    Kind(name="all brokers freeze", does=_freeze_brokers, takes=_kafka, hold_s=(1, 6), weight=1),
    Kind(name="broker cut from all", does=_link("broker", *_HOLDS, one=False), takes=_brokers, hold_s=(1, 7)),
    Kind(
        name="kafka cut from one",
        does=_link("brokers", *_HOLDS, one=True),
        takes=_members_on_kafka,
        hold_s=(1, 9),
        weight=4,
    ),
    Kind(name="kafka slow", does=_link("brokers", "delay", one=False), takes=_kafka, hold_s=(2, 5), weight=1),
    Kind(name="kafka resets", does=_link("brokers", "reset", one=False), takes=_kafka, hold_s=(1, 4), weight=1),
)


def clash(one: str, two: str) -> bool:
    """Whether two faults cannot take *one* and *two* at the same time."""
    kafkas = [each for each in (one, two) if each.startswith(("kafka", "leader", "broker"))]
    return one == two or len(kafkas) == 2
