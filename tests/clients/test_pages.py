"""What the pages say about the client is so: every example runs, and prints what stands behind it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import httpx
import pytest
from aiohttp import web

from fliq_client import AsyncFliq
from libs.egress.signing import new_secret, signature_headers
from tests.fakes.pages import blocks, read, settled
from tests.fakes.running.topologies import TOKEN, FliqOf, RunningFliq, free_port
from tests.fakes.until import until

pytestmark = pytest.mark.topologies("embedded")

PAGES = ("docs/clients.md", "README.md", "clients/python/README.md")
FRAMEWORKS = ("aiohttp", "fastapi", "flask", "django")
URL = "https://app.example.com/charge"
SECRET = new_secret(b"0123456789abcdef0123456789abcdef")


def receiver(framework: str) -> str:
    """Return the example of docs/clients.md for *framework*."""
    (text,) = [block.text for block in blocks(read("docs/clients.md")) if f"from {framework}" in block.text]
    return text


def examples(page: str) -> list[tuple[str, str]]:
    """Return the examples of *page* that need no framework, each with the output that the page shows."""
    found, text = blocks(page), []
    for block, following in zip(found, [*found[1:], None], strict=True):
        if block.language != "python" or any(f"from {framework}" in block.text for framework in FRAMEWORKS):
            continue
        assert following is not None
        assert following.language == "text", f"the page does not say what this prints:\n{block.text}"
        text.append((block.text, following.text))
    return text


def run(code: str, names: dict[str, Any]) -> str:
    """Run *code* as the page has it; return what it printed."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "<page>", "exec"), names)  # noqa: S102 - the page's own code is what is tested
    return said.getvalue()


def test_every_example_prints_what_its_page_says(
    fliq_of: FliqOf, topology: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All examples of a page, in order, in one session; the first page begins with a Fliq that has nothing yet."""
    with fliq_of(topology) as fliq:
        monkeypatch.setenv("FLIQ_URL", fliq.url)
        monkeypatch.setenv("FLIQ_TOKEN", TOKEN)
        for page in PAGES:
            names: dict[str, Any] = {"__name__": "page"}
            found = examples(read(page))
            assert found, page
            for code, expected in found:
                code = code.replace("http://127.0.0.1:8080", fliq.url).replace("fliq_sk_...", TOKEN)
                assert settled(run(code, names)) == settled(expected), code


async def test_the_aiohttp_example_takes_the_calls_of_fliq(fliq: RunningFliq, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running Fliq calls it: the job succeeds; a job with another URL, behind the same server, is refused."""
    port = free_port()
    async with AsyncFliq(fliq.url, TOKEN) as client:
        monkeypatch.setenv("SIGNING_SECRET", (await client.signing_secret.get()).secret)
        monkeypatch.setenv("CHARGE_URL", f"http://127.0.0.1:{port}/charge")
        names: dict[str, Any] = {}
        run(receiver("aiohttp"), names)
        runner = web.AppRunner(names["app"])
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            right = await _ended(client, f"http://127.0.0.1:{port}/charge")
            wrong = await _ended(client, f"http://127.0.0.1:{port}/charge?again=1")
        finally:
            await runner.cleanup()
    assert (right.status, right.last_status_code) == ("success", 200)
    assert (wrong.status, wrong.last_status_code) == ("failed", 403)


@pytest.fixture
def called(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Calls the example of a framework: (headers, body) -> (status, text)."""
    framework = request.param
    monkeypatch.setenv("SIGNING_SECRET", SECRET)
    monkeypatch.setenv("CHARGE_URL", URL)
    if framework == "django":
        return _django()
    module = ModuleType("receiver")  # frameworks look their application's module up
    monkeypatch.setitem(sys.modules, "receiver", module)
    run(receiver(framework), vars(module))
    app = module.app
    return _flask(app) if framework == "flask" else _fastapi(app)


def _flask(app: Any) -> Callable[..., tuple[int, str]]:
    def call(headers: dict[str, str], body: bytes) -> tuple[int, str]:
        answer = app.test_client().post("/charge", data=body, headers=headers)
        return answer.status_code, answer.get_data(as_text=True)

    return call


def _fastapi(app: Any) -> Callable[..., tuple[int, str]]:
    def call(headers: dict[str, str], body: bytes) -> tuple[int, str]:
        async def post() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
                return await client.post("http://127.0.0.1/charge", content=body, headers=headers)

        answer = asyncio.run(post())
        return answer.status_code, answer.text

    return call


def _django() -> Callable[..., tuple[int, str]]:
    import django
    from django.conf import settings
    from django.test import RequestFactory

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"])
        django.setup()
    names: dict[str, Any] = {}
    run(receiver("django"), names)

    def call(headers: dict[str, str], body: bytes) -> tuple[int, str]:
        request = RequestFactory().post("/charge", body, content_type="application/json", headers=headers)
        answer = names["charge"](request)
        return answer.status_code, answer.content.decode()

    return call


@pytest.mark.parametrize("called", [name for name in FRAMEWORKS if name != "aiohttp"], indirect=True)
def test_the_example_of_a_framework_takes_signed_calls(called: Callable[..., tuple[int, str]]) -> None:
    """It takes what Fliq signed for its URL, and refuses another body with 403."""
    body = b'{"amount": 100}'
    headers = dict(
        signature_headers(
            [SECRET], message_id="exec_1", timestamp_s=int(time.time()), method="POST", url=URL, body=body
        )
    )
    assert called(headers, body) == (200, "exec_1: 15 bytes")
    assert called(headers, body + b" ")[0] == 403
    assert called({}, body)[0] == 403


async def _ended(client: AsyncFliq, url: str) -> Any:
    """Create a job that is due at once; return it when it has ended."""
    job = await client.jobs.create(url, at=datetime.now(UTC) + timedelta(seconds=1), json={"amount": 100})

    async def ended() -> Any:
        found = await client.jobs.get(job.id)
        return found if found.status in ("success", "failed") else None

    return await until(ended, within_s=30)


def test_the_examples_are_found() -> None:
    """The tests above look at something."""
    assert len(examples(read("docs/clients.md"))) >= 7
    assert all(receiver(framework) for framework in FRAMEWORKS)
