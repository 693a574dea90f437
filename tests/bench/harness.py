"""Harness: a Fliq to measure, with a sink and a load generator beside it, and what the machine is."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.bench.child import Child
from tests.bench.figures import share
from tests.bench.usage import Meter, rss_mb
from tests.fakes.running.topologies import TOKEN, RunningFliq

_began_s = time.perf_counter()


def say(text: str) -> None:
    """Show progress, with the seconds since the start."""
    sys.stderr.write(f"[{time.perf_counter() - _began_s:5.0f} s] {text}\n")
    sys.stderr.flush()


def elapsed_s() -> float:
    """Return the seconds since the start."""
    return time.perf_counter() - _began_s


def machine() -> list[str]:
    """Return what the figures depend on, a line each."""
    return [
        f"cores {os.cpu_count()}, load average {os.getloadavg()[0]:.2f} at the start, Linux {platform.release()}",
        f"Python {platform.python_version()}, one write of 8 KB made durable takes {_fsync_ms():.2f} ms (median)",
    ]


def _fsync_ms() -> float:
    took_ms = []
    with tempfile.NamedTemporaryFile(dir=tempfile.gettempdir()) as file:
        for _ in range(100):
            began_s = time.perf_counter()
            os.pwrite(file.fileno(), b"x" * 8192, 0)
            os.fdatasync(file.fileno())
            took_ms.append((time.perf_counter() - began_s) * 1000)
    return share(sorted(took_ms), 0.5)


class Harness:
    """A fresh Fliq (`fliq all` on its embedded PostgreSQL, default settings), a sink and a load generator."""

    def __init__(self, **settings: str) -> None:
        self.fliq = RunningFliq(topology="embedded", database_url=None, **settings)
        self.sink = Child("sink")
        self.load = Child("load")
        self.target = ""

    def __enter__(self) -> Self:
        self.fliq.start()
        self.target = f"http://127.0.0.1:{self.sink.ask('listen')['port']}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.load.close()
        self.sink.close()
        if error is not None:
            sys.stderr.write(self.fliq.output() + "\n")
        self.fliq.close()

    @property
    def pid(self) -> int:
        return self.fliq.processes[0].pid

    @property
    def rss_mb(self) -> float:
        return rss_mb(self.pid)

    def meter(self) -> Meter:
        """Start counting CPU time."""
        return Meter(self.pid, load=self.load.pid, sink=self.sink.pid)

    def create(self, **arguments: Any) -> dict[str, Any]:
        """Have the load generator create single jobs (see `load.create`)."""
        return self.load.ask("create", port=self.fliq.port, token=TOKEN, url=self.target, **arguments)

    def fill(self, **arguments: Any) -> dict[str, Any]:
        """Have the load generator create jobs in batches (see `load.fill`)."""
        return self.load.ask("fill", port=self.fliq.port, token=TOKEN, url=self.target, **arguments)

    def wait_arrivals(self, count: int, *, timeout_s: float) -> None:
        """Return when the sink has seen *count* calls, or after *timeout_s*."""
        deadline = time.perf_counter() + timeout_s
        while time.perf_counter() < deadline and self.sink.ask("count")["count"] < count:
            time.sleep(0.05)

    def wait_folded(self) -> float:
        """Wait until the tables hold all that is in the log (a list reads its own writes); return the seconds it took."""
        began_s = time.perf_counter()
        while True:
            try:
                self._get("/v1/jobs?limit=1")
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
            else:
                return time.perf_counter() - began_s

    def wait_finished(self, *, timeout_s: float) -> None:
        """Return when no job is running any more."""
        deadline = time.perf_counter() + timeout_s
        while self._get("/v1/jobs?limit=1&status=running")["jobs"]:
            if time.perf_counter() > deadline:
                raise RuntimeError("jobs did not end in time")
            time.sleep(0.05)

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(self.fliq.url + path, headers={"Authorization": f"Bearer {TOKEN}"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=30) as reply:  # noqa: S310
            return json.loads(reply.read())

    def postgres_version(self) -> str:
        """Return PostgreSQL's version, from its data directory."""
        found = list(Path(self.fliq.settings["FLIQ_DATA_DIR"]).rglob("PG_VERSION"))
        return found[0].read_text().strip() if found else "?"


def now_ms() -> int:
    """Return the instant, ms since 1970."""
    return time.time_ns() // 1_000_000
