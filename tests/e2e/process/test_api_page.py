"""
docs/api.md, executed: what it tells a caller to type is typed, and what it says comes back comes back.

FLIQ_TEST_WRITE_PAGE=1 writes the answers into the page instead of comparing them.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import WebhookVerificationError

from tests.fakes import pages
from tests.fakes.pages import ROOT, blocks, examples, pretty, settled
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import TOKEN, Client, RunningFliq

PAGE = ROOT / "docs/api.md"
EXACT_PAGES = ["docs/schedules.md", "docs/retries.md", "docs/migrating.md"]
URL, TARGET = "http://127.0.0.1:8080", "http://127.0.0.1:9000"
BOUNDARY = "\x1e"


async def run(script: str) -> list[str]:
    """Run *script* in a shell with a clean environment; return what it printed between boundaries."""
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        script,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", "NO_PROXY": "*"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(
        shell.communicate(), 180
    )  # a bound for a machine that many share; it takes some seconds
    assert (shell.returncode, err) == (0, b""), out.decode() + err.decode()
    return out.decode().split(BOUNDARY)


def answer_of(printed: str, language: str) -> str:
    """Return what a block printed as the page shows it; secrets are not shown."""
    for pattern, kind in pages.SECRETS:
        printed = pattern.sub(kind, printed)
    return pretty(json.loads(printed)) + "\n" if language == "json" else printed.rstrip("\n") + "\n"


def filled(page: str, printed: list[str]) -> str:
    """Return *page* with what was printed in place of its answers."""
    for (_, answer), text in reversed(list(zip(examples(page), printed, strict=True))):
        if answer is not None:
            page = page[: answer.start] + answer_of(text, answer.language) + page[answer.end :]
    return page


async def signed_calls(url: str, sink: Sink) -> tuple[str, list[Any]]:
    """Return the account's secret, and a call and a webhook as they arrived."""
    async with Client(url) as client:
        _, secret, _ = await client.call("GET", "/v1/signing-secret")
        await client.create(
            f"{sink.url}/signed", 0.1, body='{"n": 1}', webhook_url=f"{sink.url}/told", http_method="PUT"
        )
        await sink.wait_for(lambda: sink.at("/signed") and sink.at("/told"))
    return secret["secret"], [*sink.at("/signed"), *sink.at("/told")]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples are curl commands")
@pytest.mark.parametrize("name", EXACT_PAGES)
async def test_every_example_about_schedules_answers_as_the_page_says(pg_dsn: str, name: str) -> None:
    """Each answer comes to the letter: the examples say from which instant on they look."""
    path = ROOT / name
    page = path.read_text(encoding="utf-8")
    with RunningFliq(database_url=pg_dsn) as fliq:
        script = f"\nprintf '{BOUNDARY}'\n".join(block.text for block, _ in examples(page))
        printed = await run(script.replace(URL, fliq.url).replace("TOKEN=fliq_sk_...", f"TOKEN={TOKEN}"))
    if os.environ.get("FLIQ_TEST_WRITE_PAGE"):
        path.write_text(filled(page, printed), encoding="utf-8")
    else:
        assert filled(page, printed) == page


@pytest.mark.skipif(shutil.which("curl") is None, reason="the examples are curl commands")
async def test_every_example_answers_as_the_page_says(pg_dsn: str, sink: Sink, tmp_path: Path) -> None:
    """Each shell block, in order in one shell, prints what stands behind it; both verifications accept real calls."""
    page = PAGE.read_text(encoding="utf-8")
    with RunningFliq(database_url=pg_dsn) as fliq:
        script = f"\nprintf '{BOUNDARY}'\n".join(block.text for block, _ in examples(page))
        script = script.replace(URL, fliq.url).replace(TARGET, sink.url).replace("TOKEN=fliq_sk_...", f"TOKEN={TOKEN}")
        printed = [text.replace(fliq.url, URL).replace(sink.url, TARGET) for text in await run(script)]
        if os.environ.get("FLIQ_TEST_WRITE_PAGE"):
            PAGE.write_text(filled(page, printed), encoding="utf-8")
        else:
            assert settled(filled(page, printed)) == settled(page)
        secret, arrivals = await signed_calls(fliq.url, sink)
    code = [block.text for block in blocks(page) if block.language == "python"]
    assert len(code) == 2
    verification: dict[str, Any] = {}
    for text in code:
        exec(text, verification)  # noqa: S102 - the page's own code is what is tested
    for arrival in arrivals:
        headers = {name.lower(): value for name, value in arrival.headers.items()}
        url = sink.url + arrival.path
        assert verification["verify"](secret, headers, arrival.method, url, arrival.body)
        assert not verification["verify"](secret, headers, arrival.method, url, arrival.body + b" ")
        assert not verification["verify"](secret, headers, arrival.method, url, arrival.body, tolerance_s=-1)
        verification["verify_standard"](secret, headers, arrival.body)
        with pytest.raises(WebhookVerificationError):
            verification["verify_standard"](secret, headers, arrival.body + b" ")


def test_an_answer_that_the_page_does_not_say_is_noticed() -> None:
    """The comparison sees another value, another name and another kind, and lets ids and instants differ."""
    page = '```sh\nx\n```\n```json\n{"id": "job_0123456789abcdefghjkmnpqrs", "status": "scheduled"}\n```\n'
    same = filled(page, ['{"id": "job_1123456789abcdefghjkmnpqrs", "status": "scheduled"}'])
    assert same != page
    assert settled(same) == settled(page)
    for other in (
        '{"id": "sched_0123456789abcdefghjkmnpqrs", "status": "scheduled"}',
        '{"id": null, "status": 1}',
        "{}",
    ):
        assert settled(filled(page, [other])) != settled(page)
    assert pages.examples("```sh\nx\n```\n\nand then\n\n```json\n{}\n```\n")[0][1] is None
