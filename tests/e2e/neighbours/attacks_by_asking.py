"""
Attacks by asking: a hostile account uses one feature as often and as dearly as the API lets it. Each is well-formed requests alone.

What is not taken (429, 503, 409) is asked again: a limit that is only said is no limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from itertools import count, cycle
from typing import Any, Final

from tests.e2e.neighbours.hostile import CLOSED, FAR, KIB, Hostile, silent

LONG_PAST: Final = "2020-01-01T00:00:00Z"
LONG_PAST_END: Final = "2020-01-01T00:16:00Z"
DEAR_RULE: Final = {
    "cron": "0,7,13,29,31,47,59 3 29 2 *",
    "timezone": "Africa/Casablanca",
    "exclude": [
        f"{year}-{month:02}-{day:02}" for year in range(2027, 2040) for month in (1, 2) for day in range(1, 15)
    ],
    "count": 100,
}


def sent(account: Hostile, method: str, path: str, fields: dict[str, Any] | None = None) -> bytes:
    """Return the bytes of a request with *fields* as its body, if there are any."""
    return account.request(method, path, json.dumps(fields).encode() if fields is not None else b"")


async def made(account: Hostile, path: str, fields: dict[str, Any]) -> dict[str, Any]:
    """Make something; returns what the API says of it."""
    (answer,) = await account.ask([sent(account, "POST", path, fields)])
    return json.loads(answer)  # type: ignore[no-any-return]


async def changes(account: Hostile) -> None:
    """100 callers who change one job again and again."""
    path = f"/v1/jobs/{(await made(account, '/v1/jobs', {'url': CLOSED, 'scheduled_at': FAR}))['id']}"
    numbers = count()
    await account.for_ever(
        account.some(100), lambda: sent(account, "PATCH", path, {"body": f"{next(numbers)} {'x' * 4096}"})
    )


async def large_jobs(account: Hostile) -> None:
    """300 callers of a job with a body of 256 KiB."""
    fields = {"url": CLOSED, "scheduled_at": FAR, "body": "x" * (255 * KIB)}
    request = sent(account, "GET", f"/v1/jobs/{(await made(account, '/v1/jobs', fields))['id']}")
    await account.for_ever(account.some(300), lambda: request)


async def large_changes(account: Hostile) -> None:
    """100 callers who change one field of a job with a body of 256 KiB."""
    fields = {"url": CLOSED, "scheduled_at": FAR, "body": "x" * (255 * KIB)}
    path = f"/v1/jobs/{(await made(account, '/v1/jobs', fields))['id']}"
    numbers = count()
    await account.for_ever(account.some(100), lambda: sent(account, "PATCH", path, {"max_retries": next(numbers) % 10}))


async def large_creates(account: Hostile) -> None:
    """50 callers who make jobs with bodies of 256 KiB."""
    request = sent(account, "POST", "/v1/jobs", {"url": CLOSED, "scheduled_at": FAR, "body": "x" * (255 * KIB)})
    await account.for_ever(account.some(50), lambda: request)


async def timelines(account: Hostile) -> None:
    """300 callers of the timeline of a job that was changed 500 times."""
    path = f"/v1/jobs/{(await made(account, '/v1/jobs', {'url': CLOSED, 'scheduled_at': FAR}))['id']}"
    changed = [sent(account, "PATCH", path, {"body": f"{number} {'x' * 1024}"}) for number in range(account.some(500))]
    await account.all_of(changed)
    request = sent(account, "GET", f"{path}/events")
    await account.for_ever(account.some(300), lambda: request)


async def waiting_keys(account: Hostile) -> None:
    """100 callers who debounce with ten keys, each of which replaces what waits."""
    numbers = count()

    def make() -> bytes:
        key = {"waiting_key": f"key {next(numbers) % 10}", "on_waiting": "replace", "delay_seconds": 3600}
        return sent(account, "POST", "/v1/jobs", {"url": CLOSED, **key})

    await account.for_ever(account.some(100), make)


async def runs(account: Hostile) -> None:
    """50 callers who run a schedule now, again and again, each run to a target that refuses."""
    schedule = await made(account, "/v1/schedules", {"url": CLOSED, "cron": "0 0 1 1 *", "max_retries": 0})
    request = sent(account, "POST", f"/v1/schedules/{schedule['id']}/run")
    await account.for_ever(account.some(50), lambda: request)


async def ticks(account: Hostile) -> None:
    """500 schedules that run every second, each with two retries, to targets that never answer."""
    account.is_under_way.set()
    await account.all_of(
        [
            sent(
                account,
                "POST",
                "/v1/schedules",
                {"url": silent(account, number), "every": {"seconds": 1}, "max_retries": 2},
            )
            for number in range(account.some(500))
        ]
    )


async def back_fills(account: Hostile) -> None:
    """4 callers who make up for a thousand ticks at once, again and again."""
    schedule = await made(
        account, "/v1/schedules", {"url": CLOSED, "every": {"seconds": 1}, "starts_at": LONG_PAST, "max_retries": 0}
    )
    numbers = count()
    path = f"/v1/schedules/{schedule['id']}/backfill"

    def make() -> bytes:
        day = 1 + next(numbers) % 28
        part = {
            "since": LONG_PAST.replace("-01T", f"-{day:02}T"),
            "before": LONG_PAST_END.replace("-01T", f"-{day:02}T"),
        }
        return sent(account, "POST", path, part)

    await account.for_ever(account.some(4), make)


async def due_batches(account: Hostile) -> None:
    """4 callers of batches of 500 jobs that are due at once, to a target that refuses."""
    request = account.batch([{"url": CLOSED, "delay_seconds": 0.001, "max_retries": 0}] * 500)
    await account.for_ever(account.some(4), lambda: request)


async def previews(account: Hostile) -> None:
    """100 callers of a hundred runs of a rule that runs every four years, with hundreds of days left out."""
    request = sent(account, "POST", "/v1/schedules/preview", DEAR_RULE)
    await account.for_ever(account.some(100), lambda: request)


async def schedule_keys(account: Hostile) -> None:
    """100 callers who replace the schedule of one key, each time by another rule."""
    numbers = count()

    def make() -> bytes:
        return sent(
            account, "PUT", "/v1/schedules/by-key/mine", {"url": CLOSED, "cron": f"{next(numbers) % 60} 1 * * *"}
        )

    await account.for_ever(account.some(100), make)


async def searches(account: Hostile) -> None:
    """300 callers who look for a label that ten thousand jobs have, together with one that none has."""
    item = {"url": CLOSED, "scheduled_at": FAR, "labels": {"kind": "many", "tenant": "a"}}
    await account.all_of([account.batch([item] * 500)] * account.some(20))
    request = sent(account, "GET", "/v1/jobs?label=kind:many&label=tenant:a&status=cancelled&limit=100")
    await account.for_ever(account.some(300), lambda: request)


async def fan_outs(account: Hostile) -> None:
    """100 endpoints that are told everything and never answer, and 2,000 jobs that end at one instant."""
    endpoints = [
        sent(account, "POST", "/v1/webhooks/endpoints", {"url": silent(account, number), "events": ["*"]})
        for number in range(account.some(100))
    ]
    await account.all_of(endpoints)
    async with account.all_due(account.some(2_000), per_s=500) as at:
        item = {"url": CLOSED, "scheduled_at": at, "max_retries": 0}
        await account.all_of([account.batch([item] * 500)] * account.some(4))


async def endpoint_tests(account: Hostile) -> None:
    """50 callers who have an endpoint that never answers tested."""
    endpoint = await made(account, "/v1/webhooks/endpoints", {"url": silent(account, 0), "events": ["*"]})
    request = sent(account, "POST", f"/v1/webhooks/endpoints/{endpoint['id']}/test")
    await account.for_ever(account.some(50), lambda: request)


async def rotations(account: Hostile) -> None:
    """100 callers who replace the account's signing secret."""
    request = sent(account, "POST", "/v1/signing-secret/rotate")
    await account.for_ever(account.some(100), lambda: request)


async def cancels(account: Hostile) -> None:
    """20 callers who cancel 10,000 jobs, one after the other."""
    item = {"url": CLOSED, "scheduled_at": FAR}
    answers = await account.ask([account.batch([item] * 500)] * account.some(20))
    jobs = cycle([each["job"]["id"] for answer in answers for each in json.loads(answer)["results"] if "job" in each])
    await account.for_ever(account.some(20), lambda: sent(account, "DELETE", f"/v1/jobs/{next(jobs)}"))


async def pages(account: Hostile) -> None:
    """100 callers of the console's overview; where there is no console, of a page that there is not."""
    item = {"url": CLOSED, "scheduled_at": FAR}
    await account.ask([account.batch([item] * 100)])
    cookie = await account.log_in()
    request = f"GET /console/ HTTP/1.1\r\nHost: a\r\nCookie: {cookie}\r\n\r\n".encode()
    await account.for_ever(account.some(100), lambda: request)


ASKING: Final[tuple[Callable[[Hostile], Coroutine[Any, Any, None]], ...]] = (
    changes, large_jobs, large_changes, large_creates, timelines, waiting_keys, runs, ticks, back_fills, due_batches, previews,
    schedule_keys, searches, fan_outs, endpoint_tests, rotations, cancels, pages,
)  # fmt: skip
