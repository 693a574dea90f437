"""Children: the sink, the link and the stepped clocks, as the campaign talks to them."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from tests.fakes.running.sink import Arrival
from tests.fakes.running.topologies import ROOT

START_S: Final = 20.0
ORDER_S: Final = 10.0
STOP_S: Final = 5.0
LINE_BYTES: Final = 1 << 20
BUILD_S: Final = 60.0


class Child:
    """A Python module that runs beside us, speaks in lines of JSON, and ends when its standard input does."""

    def __init__(self, module: str, *args: str) -> None:
        self._command = [sys.executable, "-m", module, *args]
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> dict[str, Any]:
        """Start it and return the first thing it says."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for the campaign, which ends this in its turn
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(START_S):
            first = json.loads(await self._process.stdout.readline())
        self._reader = asyncio.create_task(self._read())
        return first  # type: ignore[no-any-return]

    async def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        if self._reader is not None:
            await asyncio.gather(self._reader, return_exceptions=True)

    async def write(self, said: Any) -> None:
        """Send it a line."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(said).encode() + b"\n")
        await self._process.stdin.drain()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.told(json.loads(line))

    def told(self, said: Any) -> None:
        """Take what it said."""
        raise NotImplementedError


class Targets(Child):
    """
    The sink, seen from here: `arrivals` as tests/fakes/running/sink.py has them, with the headers that matter.

    Args:
        module: what runs, if it is not the sink (slow_receiver.py).
    """

    def __init__(self, module: str = "tests.chaos.targets", *args: str) -> None:
        super().__init__(module, *args)
        self.arrivals: list[Arrival] = []
        self.on_arrival: Callable[[Arrival], None] = lambda _: None
        self.url = ""

    async def __aenter__(self) -> Self:
        self.url = f"http://127.0.0.1:{(await self.start())['port']}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def told(self, said: Any) -> None:
        at, path, headers, body = said
        arrival = Arrival(
            at=at, method="POST", path=path, query="", headers=headers, raw_headers=(), body=body.encode()
        )
        self.arrivals.append(arrival)
        self.on_arrival(arrival)


class Links(Child):
    """The network between processes and endpoints, and the rules that hold on it."""

    def __init__(self, endpoints: dict[str, tuple[int, int | str]]) -> None:
        super().__init__("tests.chaos.hurting.link", json.dumps(endpoints))
        self.endpoints = endpoints
        self._numbers = itertools.count(1)
        self._rules: dict[int, list[dict[str, Any]]] = {}
        self._answers: dict[int, asyncio.Future[None]] = {}

    async def know(self, pids: dict[int, str]) -> None:
        """Tell who is who."""
        await self._order({"pids": {str(pid): name for pid, name in pids.items()}})

    async def add(self, *rules: dict[str, Any]) -> int:
        """Put *rules* into force; returns what `remove` wants."""
        number = next(self._numbers)
        self._rules[number] = list(rules)
        await self._order({"rules": [rule for each in self._rules.values() for rule in each]})
        return number

    async def remove(self, number: int) -> None:
        """Take rules out of force."""
        del self._rules[number]
        await self._order({"rules": [rule for each in self._rules.values() for rule in each]})

    async def _order(self, order: dict[str, Any]) -> None:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(ORDER_S):
            await self.write({"n": number, **order})
            await answer

    def told(self, said: Any) -> None:
        self._answers.pop(said["done"]).set_result(None)


class Clocks:
    """A wall clock of its own for each process, which can be stepped; `why_not` says why there are none."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._library = directory / "step_clock.so"
        self.why_not: str | None = "not built"

    async def build(self) -> None:
        """Build the library that is preloaded."""
        compiler = shutil.which("cc")
        if compiler is None or not sys.platform.startswith("linux"):
            self.why_not = "there is no C compiler" if compiler is None else "this is not Linux"
            return
        source = Path(__file__).with_name("step_clock.c")
        built = await asyncio.create_subprocess_exec(
            compiler, "-shared", "-fPIC", "-O2", "-o", str(self._library), str(source), "-ldl",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(BUILD_S):
            said, _ = await built.communicate()
        self.why_not = None if built.returncode == 0 else f"it does not build: {said.decode()[-300:]}"

    def environment(self, name: str) -> dict[str, str]:
        """What process *name* is to be started with."""
        if self.why_not is not None:
            return {}
        self.set(name, 0)
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._file(name))}

    def set(self, name: str, offset_ms: int) -> None:
        """Set the wall clock of *name* so far from the machine's; it is at once."""
        with self._file(name).open("r+b" if self._file(name).exists() else "wb") as file:
            file.write(struct.pack("=q", offset_ms))

    def _file(self, name: str) -> Path:
        return self._directory / f"{name}.clock"
