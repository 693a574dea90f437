"""
Link: the network between Fliq's processes and what they stand on, as a process of its own that can be told to misbehave.

    python -m tests.chaos.hurting.link '{"postgres": [20001, "/path/of/a/socket"], "broker-1": [20002, 20003]}'

Each endpoint listens at the first port on loopback and forwards to the second, a port or a socket's path. Orders come as one JSON
object a line on standard input and are answered by `{"done": n}`; when the input ends, so does the process.

    {"n": 1, "pids": {"4711": "scheduler-1"}}     who is who: a connection belongs to the process that opened it
    {"n": 2, "rules": [{"mode": "hold", "who": "scheduler-1", "where": "postgres"}]}      replaces the rules before

    hold         nothing passes, either way; what was sent meanwhile arrives when the rule is gone, as after a partition
    hold_up      the same for what the process sends · hold_down: for what it is sent
    delay        everything takes `ms` longer, give or take a half
    reset        every connection is reset every `ms`
    refuse       every connection is reset, and every new one

`who` and `where` are names; one that is missing means all.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

CONNECT_S: Final = 5.0
_APART_S: Final = 1e-6


def owners_of(own_port: int, peer_ports: Collection[int], names: Mapping[str, str]) -> dict[int, str]:
    """Return who of *names* (by pid) holds the connections from *peer_ports* to *own_port*; those of nobody are left out."""
    sought = {f"0100007F:{peer:04X}": peer for peer in peer_ports}
    own, sockets = f"0100007F:{own_port:04X}", {}
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split(maxsplit=10)
        if fields[2] == own and fields[1] in sought:
            sockets[f"socket:[{fields[9]}]"] = sought[fields[1]]
    found = {}
    for pid, name in names.items():
        try:
            for file in os.scandir(f"/proc/{pid}/fd"):
                peer = sockets.get(os.readlink(file.path))
                if peer is not None:
                    found[peer] = name
        except OSError:
            continue  # it has ended, or closed that file just now
    return found


class Side(asyncio.Protocol):
    """One side of a pair: what it receives goes to the other."""

    def __init__(self, pair: Pair, *, is_up: bool) -> None:
        self.pair = pair
        self.is_up = is_up
        self.transport: asyncio.Transport | None = None
        self.is_lost = False
        self._is_held = False
        self._is_clogged = False
        self._last_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.is_up:
            self.pair.opened()
        elif self.other.is_lost:
            transport.abort()  # the process did not wait for it

    @property
    def other(self) -> Side:
        return self.pair.down if self.is_up else self.pair.up

    def data_received(self, data: bytes) -> None:
        self._after_delay(self.other.write, data)

    def write(self, data: bytes) -> None:
        """Send on what the other side received."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def pause_writing(self) -> None:
        self.other.clog(True)

    def resume_writing(self) -> None:
        self.other.clog(False)

    def clog(self, is_clogged: bool) -> None:
        """Read no more while the other side cannot write."""
        self._is_clogged = is_clogged
        self._read()

    def hold(self, is_held: bool) -> None:
        """Read no more while a rule says so."""
        self._is_held = is_held
        self._read()

    def _read(self) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if self._is_held or self._is_clogged:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._after_delay(self.other.close)
        self.pair.closed()

    def close(self) -> None:
        """Close as the other side did."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Reset."""
        if self.transport is not None:
            self.transport.abort()

    def _after_delay(self, what: Any, *args: Any) -> None:
        loop = asyncio.get_running_loop()
        delay_s = self.pair.delay_s * random.uniform(0.5, 1.5)
        if not delay_s and loop.time() >= self._last_at:
            what(*args)
            return
        # Nothing passes what was sent before it: of two timers for the same instant the loop may call either first.
        self._last_at = max(self._last_at + _APART_S, loop.time() + delay_s)
        loop.call_at(self._last_at, what, *args)


class Pair:
    """One connection of a process, and ours to the endpoint on its behalf."""

    def __init__(self, link: Link, where: str) -> None:
        self.link = link
        self.where = where
        self.who: str | None = None  # not looked up; it takes some milliseconds
        self.peer_port = 0
        self.delay_s = 0.0
        self.up = Side(self, is_up=True)  # the process
        self.down = Side(self, is_up=False)  # the endpoint
        self._connecting: asyncio.Task[None] | None = None

    def opened(self) -> None:
        """Connect; nothing is read before that."""
        assert self.up.transport is not None
        self.up.transport.pause_reading()
        self.peer_port = self.up.transport.get_extra_info("peername")[1]
        self.link.pairs.add(self)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop, target = asyncio.get_running_loop(), self.link.targets[self.where]
        try:
            async with asyncio.timeout(CONNECT_S):
                if isinstance(target, str):
                    await loop.create_unix_connection(lambda: self.down, target)
                else:
                    await loop.create_connection(lambda: self.down, "127.0.0.1", target)
        except (OSError, TimeoutError):
            self.up.abort()  # there is nobody: the process is told so, as it would be without us
            return
        self.link.identify()
        self.obey()

    def obey(self) -> None:
        """Do what the rules say of this connection."""
        rules = [each for each in self.link.rules if self._is_meant(each)]
        modes = {each["mode"] for each in rules}
        if "refuse" in modes:
            self.abort()
            return
        self.delay_s = max((each["ms"] / 1000 for each in rules if each["mode"] == "delay"), default=0.0)
        self.up.hold(bool(modes & {"hold", "hold_up"}) or self.down.transport is None)
        self.down.hold(bool(modes & {"hold", "hold_down"}))

    def _is_meant(self, rule: dict[str, Any]) -> bool:
        return rule.get("who", self.who) == self.who and rule.get("where", self.where) == self.where

    def resets_every_s(self) -> float | None:
        """How often the rules want this connection reset."""
        return next(
            (each["ms"] / 1000 for each in self.link.rules if each["mode"] == "reset" and self._is_meant(each)), None
        )

    def abort(self) -> None:
        """Reset both sides."""
        self.up.abort()
        self.down.abort()

    def closed(self) -> None:
        """Forget it."""
        self.link.pairs.discard(self)


class Link:
    """All endpoints."""

    def __init__(self, endpoints: dict[str, list[Any]]) -> None:
        self.endpoints = endpoints
        self.targets = {name: target for name, (_, target) in endpoints.items()}
        self.names: dict[str, str] = {}
        self.rules: list[dict[str, Any]] = []
        self.pairs: set[Pair] = set()
        self._resets: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Listen, and obey until standard input ends."""
        loop = asyncio.get_running_loop()
        for name, (port, _) in self.endpoints.items():
            await loop.create_server(lambda name=name: Pair(self, name).up, "127.0.0.1", port, backlog=1024)  # type: ignore[misc]
        reader = asyncio.StreamReader(limit=1 << 20)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        print(json.dumps({"done": 0}), flush=True)
        while line := await reader.readline():
            order = json.loads(line)
            self.names = order.get("pids", self.names)
            if "rules" in order:
                self._change(order["rules"])
            print(json.dumps({"done": order["n"]}), flush=True)

    def identify(self) -> None:
        """Find out whose the connections are, where a rule asks for that."""
        for where in self.endpoints:
            if not any("who" in rule and rule.get("where", where) == where for rule in self.rules):
                continue
            unknown = {pair.peer_port: pair for pair in self.pairs if pair.where == where and pair.who is None}
            if unknown:
                owners = owners_of(self.endpoints[where][0], unknown, self.names)
                for port, pair in unknown.items():
                    pair.who = owners.get(port, "?")

    def _change(self, rules: list[dict[str, Any]]) -> None:
        self.rules = rules
        self.identify()
        for pair in list(self.pairs):
            pair.obey()
        for reset in self._resets:
            reset.cancel()
        self._resets = {asyncio.create_task(self._reset(each)) for each in rules if each["mode"] == "reset"}

    async def _reset(self, rule: dict[str, Any]) -> None:
        while True:
            for pair in [each for each in self.pairs if each.resets_every_s() is not None]:
                pair.abort()
            await asyncio.sleep(rule["ms"] / 1000)


if __name__ == "__main__":
    asyncio.run(Link(json.loads(sys.argv[1])).serve())
