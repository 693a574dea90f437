"""
Children: the other processes of a measurement, each with its own interpreter, asked for one thing after another.

A child reads a line of JSON, does what it says, and answers with a line of JSON. Sinks and load generators are children, so that
what they use of the machine can be told from what Fliq uses.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvloop

ROOT = Path(__file__).resolve().parents[2]
Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Child:
    """A child process of this measurement: `python -m tests.bench.<module>`."""

    def __init__(self, module: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._process.pid

    def begin(self, what: str, **arguments: Any) -> None:
        """Ask for *what*; `end` takes the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, Any]:
        """Wait for the answer to `begin`."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a child process ended with {self._process.wait(5)}")
        answer: dict[str, Any] = json.loads(line)
        if "failed" in answer:
            raise RuntimeError(answer["failed"])
        return answer

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Ask for *what* and wait for the answer."""
        self.begin(what, **arguments)
        return self.end()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve(answer: Answer) -> None:
    """Be a child: answer every line of standard input until it ends."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            try:
                reply = await answer(json.loads(line))
            except Exception as error:
                reply = {"failed": f"{type(error).__name__}: {error}"}
            sys.stdout.write(json.dumps(reply) + "\n")
            sys.stdout.flush()

    uvloop.run(run())
