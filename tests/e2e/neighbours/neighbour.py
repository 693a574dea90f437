"""Neighbour: an innocent account beside hostile ones. It makes jobs and reads them at a steady rate, and says how it fared."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from tests.chaos.hurting.children import Child
from tests.fakes.pages import ROOT
from tests.fakes.running.client import Client, in_seconds, instant_ms, make_token
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Sink

PERIOD_S: Final = 0.1
AHEAD_S: Final = 1.5
CALLED_S: Final = 30.0
LIMITS: Final = {"all": "single/fliq.yaml"} | {
    role: f"cluster/{role}.yaml" for role in ("api", "scheduler", "dispatcher", "webhooks")
}


def token_of(name: str) -> str:
    """Return the token of account *name*."""
    return make_token(name.rjust(30, "0"))


@dataclass
class Neighbour:
    """What the innocent account *name* asked for, and how long it took; a request that was not taken is in `failed`."""

    url: str
    sink: Sink
    due_at: dict[str, float] = field(default_factory=dict)
    took_ms: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    async def live(self, seconds: float, newcomers: list[str]) -> None:
        """Live for so long; each of *newcomers*, tokens that Fliq has not seen since its start, asks once."""
        ends_at, fresh = time.monotonic() + seconds, list(newcomers)
        every_s = seconds / (len(fresh) + 1)
        next_at = time.monotonic() + every_s
        async with Client(self.url, token_of("innocent")) as client, asyncio.TaskGroup() as group:
            number = 0
            while time.monotonic() < ends_at:
                group.create_task(self._one(client, number))
                if fresh and time.monotonic() >= next_at:
                    group.create_task(self._ask(client, "GET", "/v1/jobs", 200, token=fresh.pop()))
                    next_at += every_s
                number += 1
                await asyncio.sleep(PERIOD_S)

    async def _one(self, client: Client, number: int) -> None:
        """Make a job and read it; every other request comes over a connection of its own."""
        job = {"url": f"{self.sink.url}/ok/{number}", "scheduled_at": in_seconds(AHEAD_S)}
        made = await self._ask(client, "POST", "/v1/jobs", 201, job, is_last=number % 2 == 0)
        if made is not None:
            self.due_at[made["id"]] = instant_ms(made["scheduled_at"])
            await self._ask(client, "GET", f"/v1/jobs/{made['id']}", 200, is_last=number % 2 == 1)

    async def _ask(
        self,
        client: Client,
        method: str,
        path: str,
        expected: int,
        body: Any = None,
        *,
        token: str = "",
        is_last: bool = True,
    ) -> Any:
        headers = ({"Connection": "close"} if is_last else {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        begun = time.monotonic()
        try:
            status, answer, _ = await client.call(method, path, body, headers=headers)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            status, answer = 0, repr(error)
        self.took_ms.append((time.monotonic() - begun) * 1000)
        if status == expected:
            return answer
        self.failed.append(f"{method} {path}: {status} {str(answer)[:100]}")
        return None

    async def late_ms(self) -> list[float]:
        """Return how late its calls were, sorted; one that has not come by now is as late as it is."""
        try:
            await self.sink.wait_for(lambda: self.due_at.keys() <= self.sink.by_job().keys(), timeout_s=CALLED_S)
        except TimeoutError:
            self.failed += [f"{job_id}: never called" for job_id in self.due_at.keys() - self.sink.by_job().keys()]
        by_job, now = self.sink.by_job(), time.time() * 1000
        calls = {job_id: by_job.get(job_id, []) for job_id in self.due_at}
        self.failed += [f"{job_id}: called {len(each)} times" for job_id, each in calls.items() if len(each) > 1]
        return sorted((calls[job_id][0].at if calls[job_id] else now) - at for job_id, at in self.due_at.items())


class Attackers(Child):
    """Hostile accounts at work in a process of their own; if there are several attacks, the accounts take them in turn."""

    def __init__(self, names: Sequence[str], fliq: RunningFliq, tokens: list[str], size: float) -> None:
        order = {
            "names": list(names),
            "port": fliq.port,
            "admin_port": fliq.processes[0].admin_port,
            "tokens": tokens,
            "size": size,
        }
        super().__init__("tests.e2e.neighbours.attacks", json.dumps(order))
        self.is_under_way = asyncio.Event()

    def told(self, said: Any) -> None:
        self.is_under_way.set()


def p99(ordered: list[float]) -> float:
    """Return the value below which 99 of 100 lie."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else 0.0


def peak_mib(pid: int) -> float:
    """Return the most memory that a process ever held."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def limit_mib(role: str) -> float:
    """Return the memory that deploy/k8s gives to a role."""
    for each in yaml.safe_load_all((ROOT / "deploy/k8s/overlays" / LIMITS[role]).read_text()):
        if each["kind"] == "Deployment":
            text = each["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
            return float(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]
    raise AssertionError(f"no Deployment of {role}")
