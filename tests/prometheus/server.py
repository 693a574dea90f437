"""A real Prometheus on loopback, with the configuration of deploy/prometheus, in a directory of its own."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from tests.fakes.running.processes import ROOT, RunningFliq, free_port
from tests.fakes.until import until
from tests.prometheus.source import Binaries

FOLDER = ROOT / "deploy" / "prometheus"


class Prometheus:
    """
    One Prometheus.

    Args:
        interval_s: how often it scrapes and evaluates; None leaves that as it is shipped.
    """

    def __init__(self, binaries: Binaries, fliq: RunningFliq, *, interval_s: int | None = None) -> None:
        self.port = free_port()
        self._binaries = binaries
        self._directory = Path(tempfile.mkdtemp(prefix="fliq-prometheus-"))
        for file in FOLDER.glob("*.yaml"):
            shutil.copy(file, self._directory)
        if interval_s is not None:
            config = yaml.safe_load((self._directory / "prometheus.yaml").read_text())
            every = f"{interval_s}s"
            config["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), every)
            (self._directory / "prometheus.yaml").write_text(yaml.safe_dump(config))
        targets = [
            {"labels": {"job": f"fliq-{process.role}"}, "targets": [f"127.0.0.1:{process.admin_port}"]}
            for process in fliq.processes
        ]
        (self._directory / "targets.yaml").write_text(yaml.safe_dump(targets))
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10))
        with (self._directory / "output").open("wb") as output:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - forking takes a moment, in a test
                [
                    self._binaries.prometheus,
                    f"--config.file={self._directory / 'prometheus.yaml'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    f"--storage.tsdb.path={self._directory / 'data'}",
                    "--log.level=warn",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        await until(self._is_ready, within_s=30, every_s=0.05, saying=(self._directory / "output").read_text)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
        if self._process is not None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, 10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                await asyncio.to_thread(self._process.wait, 10)
        shutil.rmtree(self._directory, ignore_errors=True)

    async def get(self, path: str, **parameters: str) -> Any:
        """Ask the HTTP API; returns `data`, and fails with what it says when that is an error."""
        assert self._session is not None
        async with self._session.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", params=parameters) as answer:
            body = json.loads(await answer.read())
        assert body["status"] == "success", (parameters, body)
        return body["data"]

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query."""
        found: list[dict[str, Any]] = (await self.get("query", query=expression))["result"]
        return found

    async def value(self, expression: str) -> float | None:
        """Return the one number that *expression* gives, None where it gives none."""
        found = await self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    async def firing(self) -> set[str]:
        """Return the names of the alerts that fire."""
        return {sample["metric"]["alertname"] for sample in await self.query('ALERTS{alertstate="firing"}')}

    async def _is_ready(self) -> bool:
        assert self._session is not None
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "output").read_text()
        try:
            async with self._session.get(f"http://127.0.0.1:{self.port}/-/ready") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False
