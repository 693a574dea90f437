"""
Demo: shows a job's whole life in a terminal, in a few seconds.

The demo starts Fliq as `fliq all` does, on free ports and in a temporary directory, and a small target. It creates one job, due in
a second. The first call fails, the second succeeds, and the webhook reports the end. The lines come from three places:

    log       the job's timeline, GET /v1/jobs/{id}/events
    target    the calls that arrive, and what the target answers
    webhook   the report that arrives at the end

The exit code is 0 if all of this happened, else 1, with one line that says what did not. With NO_COLOR, or into a pipe, the text is
plain.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from libs.runtime.clock import SystemClock, SystemEntropy
from services.api.contract.token_text import new_token
from services.dev.free_ports import free_ports

START_S: Final = 60.0  # the first start makes a database, on a machine that may be busy
LIFE_S: Final = 15.0  # the job's life takes about three seconds
STOP_S: Final = 10.0
AHEAD_MS: Final = 1_000
POLL_S: Final = 0.02
RETRY_BASE_S: Final = "0.5"
ROOT: Final = Path(__file__).resolve().parents[2]
COLOURS: Final = {"log": "36", "target": "33", "webhook": "35", "ok": "32"}

# What an event of the timeline is shown to mean.
DETAILS: Final = {
    "job.scheduled": "asked for, and durable",
    "attempt.due": "attempt {attempt} decided, not before its instant",
    "attempt.finished": "attempt {attempt}: {status_code} in {duration_ms} ms",
    "job.retry_scheduled": "attempt {attempt} is to follow",
    "job.finished": "{status} after {attempt} attempts",
    "webhook.finished": "reported: {status_code} in {duration_ms} ms",
}


class DemoError(Exception):
    """Something did not happen; the message is one line."""


class Screen:
    """Writes aligned lines. Instants are shown relative to the instant that was asked for."""

    def __init__(self) -> None:
        self.is_coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self.zero_at = 0.0

    def line(self, text: str = "") -> None:
        """Write one line, now."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def paint(self, text: str, colour: str) -> str:
        """Return *text* in a colour of COLOURS, if colours are wanted."""
        return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if self.is_coloured else text

    def event(self, at: float, place: str, name: str, detail: str) -> None:
        """Write what happened at the instant *at* (ms since 1970), and where it was seen."""
        self.line(
            f"  {(at - self.zero_at) / 1000:+8.3f} s  {self.paint(f'{place:<8}', place)} {name:<20} {detail}".rstrip()
        )


class Target:
    """The caller's server: a target that fails once and a receiver of webhooks. It keeps the instant of each request."""

    def __init__(self, clock: SystemClock) -> None:
        self.arrivals: list[tuple[float, str, str, str]] = []
        self.calls = 0
        self.report: dict[str, Any] | None = None
        self.url = ""
        self._clock = clock

    async def start(self, stack: AsyncExitStack) -> None:
        """Listen on a free port until *stack* ends."""
        runner = web.ServerRunner(web.Server(self._answer, access_log=None))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        at, body = self._clock.now_s() * 1000, await request.read()
        if request.path == "/webhook":
            self.report = json.loads(body)
            said = f"{self.report['status']}, status code {self.report['status_code']}, attempt {self.report['attempt_num']}"
            self.arrivals.append((at, "webhook", "POST /webhook", said))
            return web.Response(status=200)
        self.calls += 1
        status = 503 if self.calls == 1 else 200
        execution = request.headers.get("X-Fliq-Execution-Id", "")
        self.arrivals.append((at, "target", f"{request.method} {request.path}", f"answers {status}   {execution}"))
        return web.Response(status=status)


class Demo:
    """One run: Fliq, the target, the job."""

    def __init__(self, directory: Path) -> None:
        self._clock = SystemClock()
        self._screen = Screen()
        self._target = Target(self._clock)
        self._token = new_token(SystemEntropy().entropy)
        self._output = directory / "fliq.log"
        port, admin_port = free_ports(2)
        self._url, self._admin_url = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}"
        self._settings = {
            "FLIQ_PORT": str(port),
            "FLIQ_ADMIN_PORT": str(admin_port),
            "FLIQ_DATA_DIR": str(directory / "data"),
            "FLIQ_BOOTSTRAP_TOKENS": f"default={self._token}",
            "FLIQ_EGRESS_ALLOW": "127.0.0.0/8",
            "FLIQ_CAPTURE_PRIVATE": "on",
            "FLIQ_RETRY_BASE_SECONDS": RETRY_BASE_S,
            "FLIQ_LOG_FORMAT": "json",
        }
        self._fliq: asyncio.subprocess.Process | None = None
        self._http: aiohttp.ClientSession

    async def run(self) -> None:
        """Start everything, create the job and show its life. Raises `DemoError`."""
        async with AsyncExitStack() as stack:
            begun_at = self._clock.now_s()
            await self._target.start(stack)
            self._http = await stack.enter_async_context(
                aiohttp.ClientSession(
                    timeout=aiohttp.ClientTimeout(total=5), headers={"Authorization": f"Bearer {self._token}"}
                )
            )
            stack.push_async_callback(self._stop)
            await self._start()
            self._screen.line(f"Fliq is up after {self._clock.now_s() - begun_at:.1f} s, with a PostgreSQL of its own.")
            job = await self._create()
            await self._watch(job["id"])
            await self._tell(job["id"])

    async def _start(self) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("FLIQ_", "PG"))}
        with self._output.open("wb") as output:
            self._fliq = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "services",
                "all",
                cwd=ROOT,
                env=clean | self._settings,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches only the demo, which then stops Fliq
            )
        try:
            async with asyncio.timeout(START_S):
                while not await self._is_ready():
                    if self._fliq.returncode is not None:
                        raise DemoError(f"Fliq ended with {self._fliq.returncode}: {self._last_line()}")
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise DemoError(f"Fliq was not ready in {START_S:.0f} s: {self._last_line()}") from None

    async def _is_ready(self) -> bool:
        try:
            async with self._http.get(f"{self._admin_url}/readyz") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False  # not listening yet; the caller limits the wait

    def _last_line(self) -> str:
        lines = self._output.read_text(encoding="utf-8", errors="replace").split("\n") if self._output.exists() else []
        return next((line for line in reversed(lines) if line), "it said nothing")

    async def _create(self) -> dict[str, Any]:
        self._screen.zero_at = float(self._clock.now() + AHEAD_MS)
        at = datetime.fromtimestamp(self._screen.zero_at / 1000, UTC)
        request = {
            "url": f"{self._target.url}/charge",
            "scheduled_at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "body": '{"amount": 42}',
            "max_retries": 3,
            "webhook_url": f"{self._target.url}/webhook",
        }
        job = await self._ask("POST", "/v1/jobs", 201, request)
        self._screen.line(
            f"POST /v1/jobs: call {request['url']} at {request['scheduled_at']}; the target will fail once."
        )
        self._screen.line(f"201 {job['id']}")
        self._screen.line()
        return job

    async def _watch(self, job_id: str) -> None:
        """Show each event when it happens, until the outcome of the webhook is in the log."""
        shown_events = shown_arrivals = 0
        try:
            async with asyncio.timeout(LIFE_S):
                while True:
                    answer = await self._ask("GET", f"/v1/jobs/{job_id}/events", 200)
                    events = [_told(event) for event in answer["events"]]
                    new = events[shown_events:] + self._target.arrivals[shown_arrivals:]
                    shown_events, shown_arrivals = len(events), len(self._target.arrivals)
                    for each in sorted(new, key=_order):
                        self._screen.event(*each)
                    if any(event["type"] == "webhook.finished" for event in answer["events"]):
                        return
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise DemoError(f"the job was not at its end after {LIFE_S:.0f} s") from None

    async def _tell(self, job_id: str) -> None:
        """Check that everything happened as it should, and say so."""
        job = await self._ask("GET", f"/v1/jobs/{job_id}", 200)
        first_at = next((at for at, place, _, _ in self._target.arrivals if place == "target"), 0.0)
        reported = (self._target.report or {}).get("status")
        if (job["status"], job["execution_count"], self._target.calls, reported) != ("success", 2, 2, "completed"):
            raise DemoError(f"the job is {job['status']} after {self._target.calls} calls, its webhook says {reported}")
        if first_at < self._screen.zero_at:
            raise DemoError(f"the call came {self._screen.zero_at - first_at:.1f} ms early")
        self._screen.line()
        self._screen.line(
            f"{self._screen.paint('success', 'ok')}: two executions, the first {first_at - self._screen.zero_at:.1f} ms"
            " after its instant. Every line marked `log` is a record that Fliq can be rebuilt from."
        )

    async def _ask(
        self, method: str, path: str, expected: int, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            async with self._http.request(method, self._url + path, json=body) as answer:
                content: dict[str, Any] = await answer.json()
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise DemoError(f"{method} {path}: {type(error).__name__}: {error}") from error
        if answer.status != expected:
            raise DemoError(f"{method} {path} was answered with {answer.status}: {content}")
        return content

    async def _stop(self) -> None:
        fliq = self._fliq
        if fliq is None or fliq.returncode is not None:
            return
        fliq.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await fliq.wait()
        except TimeoutError:
            fliq.kill()
            await fliq.wait()


def _order(line: tuple[float, str, str, str]) -> tuple[int, bool]:
    """Sort by time. The log has whole milliseconds, and its record of a call comes after the call."""
    at, _, name, _ = line
    return int(at), name.endswith(".finished")


def _told(event: Mapping[str, Any]) -> tuple[float, str, str, str]:
    """Return an entry of the timeline as a line of the screen."""
    at = datetime.fromisoformat(event["at"].replace("Z", "+00:00")).timestamp() * 1000
    return at, "log", event["type"], DETAILS.get(event["type"], "").format_map(event)


def main() -> int:
    """Run the demo; returns the exit code."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that Fliq is stopped as well
    directory = Path(tempfile.mkdtemp(prefix="fliq-demo-"))
    directory.chmod(0o711)  # if this is root, PostgreSQL runs as another user, who must be able to enter
    try:
        asyncio.run(Demo(directory).run())
    except DemoError as error:
        sys.stderr.write(f"fliq demo: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
