"""
Jobs with rules of their own: a row for each kind, which says what is asked for and what must become of it.

A story is what a user does with such a job. What is asked for one after the other has bodies NAME#1, NAME#2 and so on, so that a
call tells which of them counted.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.judging.history import Operation, Plan, Terms

if TYPE_CHECKING:
    from tests.chaos.load import Load

Body = dict[str, Any]
Story = Callable[["Load", str, Body, random.Random], Coroutine[Any, Any, None]]
FIRST_S: Final = (0.1, 0.9)
SHORTLY_S: Final = 1.2  # from a request to its job's instant, where several requests meet one job
PUT_OFF_MS: Final = 2_000.0


async def made(load: Load, name: str, body: Body, _: random.Random) -> None:
    """Make it, and let it be."""
    await load.do("create", name, "POST", "/v1/jobs", body)


async def changed(load: Load, name: str, body: Body, draw: random.Random) -> None:
    """Change it twice, around its instant; each change names the version that it changes."""
    created = await _as_planned(load, name, body)
    for revision in (1, 2):
        await asyncio.sleep(draw.uniform(0.1, 0.7))
        fire_at = load.instant_in(draw.uniform(0.15, 0.8))
        patch = {"body": f"{name}#{revision}", "scheduled_at": load.text_of(fire_at)}
        asked = {"revision": revision, "fire_at": fire_at}
        path, version = f"/v1/jobs/{created.id}", f'"v{revision - 1}"'
        done = created.id and await load.do(
            "change", name, "PATCH", path, patch, job_id=created.id, asked=asked, version=version
        )
        if not done or done.outcome != "ok":
            return


async def _as_planned(load: Load, name: str, body: Body) -> Operation:
    asked = {"revision": 0, "fire_at": load.plans[name].fire_at}
    return await load.do("create", name, "POST", "/v1/jobs", body, asked=asked)


async def run_now(load: Load, name: str, body: Body, draw: random.Random) -> None:
    """Have a job of later called now."""
    created = await _as_planned(load, name, body)
    await asyncio.sleep(draw.uniform(0, 0.5))
    if created.id is not None:
        path = f"/v1/jobs/{created.id}/run"
        await load.surely("run", name, "POST", path, job_id=created.id, asked={"revision": 0})


async def stopped(load: Load, name: str, body: Body, draw: random.Random) -> None:
    """Stop it: before its instant, during a call, or between two."""
    created = await load.do("create", name, "POST", "/v1/jobs", body)
    await asyncio.sleep(draw.uniform(0, 2.5))
    if created.id is not None:
        await load.surely("stop", name, "POST", f"/v1/jobs/{created.id}/stop", job_id=created.id)


async def asked_again(load: Load, name: str, body: Body, draw: random.Random) -> None:
    """Ask for it four times, one after the other, each time with another body."""
    for revision in range(4):
        again = {**body, "body": f"{name}#{revision}"}
        await load.surely("create", name, "POST", "/v1/jobs", again, asked={"revision": revision})
        await asyncio.sleep(draw.uniform(0.1, 0.7))


async def asked_at_once(load: Load, name: str, body: Body, _: random.Random) -> None:
    """Ask for it three times at once, and then once more."""
    create = ("create", name, "POST", "/v1/jobs", body)
    await asyncio.gather(*[load.surely(*create) for _ in range(3)])
    await load.surely(*create)


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """
    A kind of jobs.

    Args:
        weight: how often, beside the other fates of a load.
        target: the path at the sink, which says how the target answers.
        fields: of the request, besides what every job has.
        key: the field that has the job's name as its key.
        hook: the path at the sink of its webhook.
    """

    weight: int
    terms: Terms
    target: str = "ok"
    fields: Mapping[str, Any] = field(default_factory=dict)
    story: Story = made
    ahead_s: tuple[float, float] = FIRST_S
    key: str | None = None
    hook: str | None = None


def _soon(seconds: float) -> dict[str, Any]:
    return {"scheduled_at": None, "delay_seconds": seconds}


_QUICK: Final = {"backoff": "fixed", "delay_seconds": 0.3, "jitter": "none"}
_HELD: Final = Terms(ends=("success",), is_moved=True)

JOB_KINDS: Final[dict[str, JobKind]] = {
    # what its policy and its target say
    "asks-to-wait": JobKind(
        weight=3,
        target="retry-after/1",
        fields={"retry": {"max_retries": 0}},  # an attempt that is asked to wait uses up nothing
        terms=Terms(ends=("success",), attempts=(2, 2), waits_ms=(1_000,)),
    ),
    "snoozes": JobKind(weight=3, target="snooze/1", terms=Terms(ends=("success",), attempts=(2, 2), waits_ms=(1_000,))),
    "says-stop": JobKind(
        weight=2,
        target="enough",
        fields={"retry": {"max_retries": 5, **_QUICK}},
        terms=Terms(ends=("stopped_by_target",)),
    ),
    "not-listed": JobKind(
        weight=2,
        target="status/503",
        fields={"retry": {"max_retries": 5, "retry_on": ["network", "404"], **_QUICK}},
        terms=Terms(ends=("not_retryable",)),
    ),
    "wants-404": JobKind(weight=2, target="status/404", fields={"success_on": ["404"]}, terms=Terms(ends=("success",))),
    "by-list": JobKind(
        weight=2,
        target="flaky/2",
        fields={"retry": {"max_retries": 2, "backoff": "list", "delays_seconds": [0.4, 0.8], "jitter": "none"}},
        terms=Terms(ends=("success",), attempts=(3, 3), waits_ms=(400, 800)),
    ),
    "expires": JobKind(
        weight=2,
        target="status/503",
        fields={"retry": {"max_retries": 100, **_QUICK}, "expires_in_seconds": 2},
        terms=Terms(ends=("expired",), attempts=(0, 100), waits_ms=(300,), expires_ms=2_000),
    ),
    "told-again": JobKind(
        weight=2,
        fields={"webhook_retry": {"max_retries": 10, **_QUICK}},
        hook="hook-flaky/2",
        terms=Terms(ends=("success",), hooks=3),
    ),
    # what its user does with it
    "changed": JobKind(weight=5, story=changed, terms=_HELD),
    "run-now": JobKind(weight=3, story=run_now, ahead_s=(5.0, 9.0), terms=_HELD),
    "stopped": JobKind(
        weight=4,
        story=stopped,
        target="slow/1500",
        fields={"success_on": ["404"], "retry": {"max_retries": 3, **_QUICK}},
        terms=Terms(ends=("stopped", "cancelled", "exhausted"), attempts=(0, 4), is_moved=True),
    ),
    # its key
    "replaced": JobKind(
        weight=3,
        story=asked_again,
        key="waiting_key",
        fields={"on_waiting": "replace", **_soon(SHORTLY_S)},
        terms=_HELD,
    ),
    "put-off": JobKind(
        weight=3,
        story=asked_again,
        key="waiting_key",
        fields={"on_waiting": "extend", "max_wait_seconds": PUT_OFF_MS / 1000, **_soon(SHORTLY_S)},
        terms=Terms(ends=("success",), is_moved=True, put_off_ms=PUT_OFF_MS),
    ),
    "single": JobKind(
        weight=3,
        story=asked_at_once,
        key="singleton_key",
        target="slow/300",
        fields=_soon(0.2),
        terms=Terms(ends=("success",), is_moved=True, holds_ms=300),
    ),
}


async def tell(load: Load, name: str, kind: JobKind, draw: random.Random) -> None:
    """Plan a job of *kind* and live its life."""
    plan = Plan(
        name=name,
        fire_at=load.instant_in(draw.uniform(*kind.ahead_s)),
        terms=kind.terms,
        has_webhook=kind.hook is not None,
    )
    body: Body = {
        "url": f"{load.sink_url}/{kind.target}/{name}",
        "scheduled_at": load.text_of(plan.fire_at),
        "body": name,
        **kind.fields,
    }
    if kind.hook is not None:
        body["webhook_url"] = f"{load.sink_url}/{kind.hook}/{name}"
    if kind.key is not None:
        body[kind.key] = name
    load.plans[name] = plan
    await kind.story(load, name, {each: value for each, value in body.items() if value is not None}, draw)
