"""Changes of schedules: merge patches, versions, keys, pauses with an end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from libs.domain.instants import rfc3339
from libs.domain.ledger import Ledger
from libs.events import read
from libs.events.ids import partition_of
from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client, instant_ms

URL = "https://example.com/digest"
DAY_MS = 86_400_000


async def create(api: Client, **fields: Any) -> dict[str, Any]:
    status, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, "cron": "0 8 * * *", **fields})
    assert status == 201, schedule
    return dict(schedule)


def tag(headers: dict[str, str]) -> str:
    """Return the entity tag of an answer."""
    return next(value for name, value in headers.items() if name.lower() == "etag")


async def patch(api: Client, schedule_id: str, fields: Any, **headers: str) -> tuple[int, Any, Any]:
    return await api.call("PATCH", f"/v1/schedules/{schedule_id}", fields, headers=headers)


async def test_a_patch_changes_what_it_names(api: Client) -> None:
    """The rest stays; the version goes up by one, and is the entity tag of every answer."""
    schedule = await create(api, headers={"A": "1", "B": "2"}, body="x", max_retries=4)
    path = f"/v1/schedules/{schedule['id']}"
    _, before, headers = await api.call("GET", path)
    assert (before["version"], tag(headers)) == (0, '"v0"')

    status, changed, headers = await patch(
        api, schedule["id"], {"headers": {"A": None, "C": "3"}, "timezone": "Asia/Tokyo"}
    )

    assert (status, tag(headers)) == (200, '"v1"')
    assert changed["headers"] == {"B": "2", "C": "3"}
    assert (changed["timezone"], changed["cron"], changed["body"]) == ("Asia/Tokyo", "0 8 * * *", "x")
    assert changed["next_run_at"].endswith("T23:00:00Z")
    assert (await api.call("GET", path))[1] == changed
    _, again, headers = await patch(api, schedule["id"], {"timezone": None, "max_retries": None})
    assert (again["timezone"], again["max_retries"], tag(headers)) == ("UTC", 0, '"v2"')


async def test_a_patch_that_changes_nothing_makes_no_version(api: Client, harness: Harness) -> None:
    """Nothing is appended."""
    schedule = await create(api, body="x")
    end = await harness.log.end(partition_of(schedule["id"]))

    status, same, _ = await patch(api, schedule["id"], {"body": "x", "cron": "0 8 * * *"})

    assert (status, same["version"]) == (200, 0)
    assert await harness.log.end(partition_of(schedule["id"])) == end


async def test_a_changed_rule_runs_by_the_new_one_and_a_changed_body_leaves_the_next_run(
    api: Client, harness: Harness
) -> None:
    """From tomorrow to the next minute; and a job that is spawned keeps the body that it had."""
    schedule = await create(api, cron="0 8 1 1 *", body="old")
    _, soon, _ = await patch(api, schedule["id"], {"cron": "* * * * *"})
    assert instant_ms(soon["next_run_at"]) <= harness.clock.now() + 60_000
    spawned = await harness.tick(schedule["id"])
    _, ticked, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")

    _, changed, _ = await patch(api, schedule["id"], {"body": "new"})

    assert changed["next_run_at"] == ticked["next_run_at"]
    assert (await api.job(spawned))["body"] == "old"
    assert (await api.job(await harness.tick(schedule["id"])))["body"] == "new"


async def test_if_match(api: Client) -> None:
    """Another version than the one asked for is 412 version_conflict; * and the right one are taken."""
    schedule = await create(api)

    answers = [
        await patch(api, schedule["id"], {"body": str(number)}, **{"If-Match": tag})
        for number, tag in enumerate(['"v0"', '"v0"', '"v1"', "*", '"v1"'])
    ]

    assert [status for status, _, _ in answers] == [200, 412, 200, 200, 412]
    assert answers[1][1]["error"]["code"] == "version_conflict"
    status, body, _ = await patch(api, schedule["id"], {"body": "x"}, **{"If-Match": "v1"})
    assert (status, body["error"]["code"]) == (400, "invalid_if_match")


async def test_concurrent_patches_with_if_match_make_one_version_each(api: Client, harness: Harness) -> None:
    """Of two hundred at once on three replicas, and of twenty, each a change of version n, one is made; a rebuild says the same."""
    schedule = await create(api)
    clients = [api, *[Client(f"http://127.0.0.1:{(await harness.replica()).port}", api.token) for _ in range(2)]]
    async with clients[1], clients[2]:
        for version, count in enumerate((200, 20, 20)):
            answers = await asyncio.gather(
                *[
                    patch(clients[n % 3], schedule["id"], {"body": f"{version} {n}"}, **{"If-Match": f'"v{version}"'})
                    for n in range(count)
                ]
            )
            done = [shown for status, shown, _ in answers if status == 200]
            assert [status for status, _, _ in answers].count(412) == count - 1
            _, now, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
            assert [now] == done
            assert now["version"] == version + 1
    ledger = Ledger(partition_of(schedule["id"]))
    for record in await harness.log.read(ledger.partition, 0, max_records=10_000):
        ledger.apply(record.position, read(ledger.partition, record.envelope), record.envelope.claim)
    assert ledger.states[schedule["id"]] == harness.tables.schedules[schedule["id"]]


async def test_concurrent_patches_without_it_are_all_made(api: Client) -> None:
    """Two callers that change different fields lose nothing of each other."""
    schedule = await create(api)

    answers = await asyncio.gather(
        patch(api, schedule["id"], {"body": "b"}), patch(api, schedule["id"], {"max_retries": 3})
    )

    assert [status for status, _, _ in answers] == [200, 200]
    _, now, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
    assert (now["body"], now["max_retries"], now["version"]) == ("b", 3, 2)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"colour": "blue"}, "unknown_field"),
        ({"colour": None}, "unknown_field"),
        ({"url": None}, "invalid_url"),
        ({"cron": None}, "invalid_cron"),
        ({"every": {"seconds": 60}}, "invalid_every"),
        ({"timezone": "Mars/Olympus"}, "invalid_timezone"),
        ({"dst": {"gap": "both"}}, "invalid_dst"),
        ([], "invalid_json"),
        ({"max_runs": 0}, "invalid_max_runs"),
    ],
)
async def test_a_patch_is_judged_as_a_creation(api: Client, fields: Any, code: str) -> None:
    """The whole that it makes must be one that could be created."""
    schedule = await create(api)

    status, body, _ = await patch(api, schedule["id"], fields)

    assert (status, body["error"]["code"]) == (400, code)
    assert (await api.call("GET", f"/v1/schedules/{schedule['id']}"))[1]["version"] == 0


async def test_from_cron_to_interval_and_back(api: Client) -> None:
    """Setting the one to null and the other to a value."""
    schedule = await create(api, timezone="Europe/Berlin")

    _, interval, _ = await patch(
        api, schedule["id"], {"cron": None, "timezone": None, "dst": None, "every": {"seconds": 60}}
    )
    _, cron, _ = await patch(api, schedule["id"], {"cron": "CRON_TZ=Asia/Tokyo 0 8 * * *", "every": None})

    assert (interval["cron"], interval["every"]["seconds"]) == (None, 60)
    assert (cron["cron"], cron["every"], cron["timezone"]) == ("0 8 * * *", None, "Asia/Tokyo")


async def test_a_finished_schedule_is_revived(api: Client, harness: Harness) -> None:
    """More runs, and it goes on."""
    schedule = await create(api, cron=None, every={"seconds": 60}, max_runs=1)
    await harness.tick(schedule["id"])
    assert (await api.call("GET", f"/v1/schedules/{schedule['id']}"))[1]["status"] == "finished"

    _, revived, _ = await patch(api, schedule["id"], {"max_runs": 2})

    assert (revived["status"], revived["run_count"]) == ("active", 1)
    assert revived["next_run_at"] is not None


async def test_a_pause_with_an_end_and_a_note(api: Client, harness: Harness) -> None:
    """It is paused until then, says why, and runs next at the first instant from then on; a resume ends it before."""
    schedule = await create(api, cron="* * * * *")
    path = f"/v1/schedules/{schedule['id']}"
    until = "2090-01-01T12:30:00Z"
    assert (await api.call("POST", f"{path}/pause", {"until": until}))[1]["error"]["code"] == "invalid_until"
    until = instant_ms(schedule["created_at"]) // DAY_MS * DAY_MS + 3 * DAY_MS + 30_000

    for _ in range(2):  # the repeat changes nothing
        status, paused, _ = await api.call("POST", f"{path}/pause", {"note": "we move", "until": rfc3339(int(until))})
        assert (status, paused["status"], paused["note"], paused["version"]) == (200, "paused", "we move", 1)
    assert instant_ms(paused["next_run_at"]) == until + 30_000
    assert instant_ms(paused["paused_until"]) == until
    _, changed, _ = await patch(api, schedule["id"], {"cron": "*/5 * * * *"})
    assert (changed["status"], instant_ms(changed["next_run_at"])) == ("paused", until - 30_000 + 300_000)
    _, resumed, _ = await api.call("POST", f"{path}/resume")
    assert (resumed["status"], resumed["paused_until"], resumed["note"]) == ("active", None, None)
    assert instant_ms(resumed["next_run_at"]) <= harness.clock.now() + 300_000


async def test_a_pause_ends_by_itself(api: Client, harness: Harness) -> None:
    """Once its end has come the schedule is active, without any request."""
    schedule = await create(api, cron="0 0 * * *")
    path = f"/v1/schedules/{schedule['id']}"
    until = harness.clock.now() + DAY_MS
    await api.call("POST", f"{path}/pause", {"until": rfc3339(int(until))})
    harness.clock.ahead_ms = DAY_MS + 60_000

    _, shown, _ = await api.call("GET", path)

    assert (shown["status"], shown["paused_until"]) == ("active", None)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"note": ""}, "invalid_note"),
        ({"note": "x" * 501}, "invalid_note"),
        ({"note": 1}, "invalid_note"),
        ({"until": "2020-01-01T00:00:00Z"}, "invalid_until"),
        ({"until": "soon"}, "invalid_until"),
        ({"for": "ever"}, "unknown_field"),
    ],
)
async def test_what_a_pause_refuses(api: Client, fields: dict[str, Any], code: str) -> None:
    """Notes have 1 to 500 characters; the end lies in the future, within ten years."""
    schedule = await create(api)

    status, body, _ = await api.call("POST", f"/v1/schedules/{schedule['id']}/pause", fields)

    assert (status, body["error"]["code"]) == (400, code)


# Keys


async def put(api: Client, key: str, fields: dict[str, Any], **headers: str) -> tuple[int, Any, Any]:
    return await api.call(
        "PUT", f"/v1/schedules/by-key/{key}", {"url": URL, "cron": "0 8 * * *", **fields}, headers=headers
    )


async def test_a_key_is_declared_again_and_again(api: Client) -> None:
    """Made, unchanged, updated; what is left out takes its default; id and counters stay."""
    answers = [
        await put(api, "nightly.report~1", fields)
        for fields in ({"body": "a", "max_retries": 3}, {"body": "a", "max_retries": 3}, {"body": "b"})
    ]

    assert [(status, headers["Fliq-Change"]) for status, _, headers in answers] == [
        (201, "created"),
        (200, "unchanged"),
        (200, "updated"),
    ]
    made, same, updated = [shown for _, shown, _ in answers]
    assert made == same
    assert made["id"] == updated["id"]
    assert (updated["body"], updated["max_retries"], updated["version"], updated["key"]) == (
        "b",
        0,
        2,
        "nightly.report~1",
    )
    assert (await api.call("GET", "/v1/schedules/by-key/nightly.report~1"))[1] == updated
    assert (await api.call("GET", "/v1/schedules/by-key/other"))[0] == 404


async def test_a_key_may_be_the_word_of_another_route(api: Client) -> None:
    """The deepest id of a path is the one that counts."""
    for key in ("pause", "preview", "jobs"):
        assert (await put(api, key, {}))[0] == 201
        assert (await api.call("GET", f"/v1/schedules/by-key/{key}"))[0] == 200


async def test_a_key_is_free_once_its_schedule_is_deleted(api: Client) -> None:
    """The next declaration makes another schedule."""
    _, first, _ = await put(api, "k", {})
    await api.call("DELETE", f"/v1/schedules/{first['id']}")
    assert (await api.call("GET", "/v1/schedules/by-key/k"))[0] == 404

    status, second, _ = await put(api, "k", {})

    assert (status, second["version"]) == (201, 1)
    assert second["id"] != first["id"]


async def test_a_key_with_if_match(api: Client) -> None:
    """It does not make a schedule, and replaces none of another version."""
    assert (await put(api, "k", {}, **{"If-Match": '"v1"'}))[0] == 412
    await put(api, "k", {})

    assert (await put(api, "k", {"body": "x"}, **{"If-Match": '"v1"'}))[0] == 200
    assert (await put(api, "k", {"body": "y"}, **{"If-Match": '"v1"'}))[0] == 412


async def test_concurrent_declarations_make_one_schedule(api: Client, harness: Harness) -> None:
    """Fifty at once on three replicas: one schedule, and all answers are of it."""
    clients = [api, *[Client(f"http://127.0.0.1:{(await harness.replica()).port}", api.token) for _ in range(2)]]
    async with clients[1], clients[2]:
        answers = await asyncio.gather(*[put(clients[n % 3], "k", {}) for n in range(50)])

    assert {status for status, _, _ in answers} <= {200, 201}
    assert len({shown["id"] for _, shown, _ in answers}) == 1
    assert [headers["Fliq-Change"] for _, _, headers in answers].count("updated") == 0
    assert len((await api.call("GET", "/v1/schedules"))[1]["schedules"]) == 1


async def test_deployments_while_it_ticks_make_no_slot_twice(api: Client, harness: Harness) -> None:
    """Ten times it is declared anew, on two replicas at once, while its tick is decided: each slot has one job at the end."""
    url = f"http://127.0.0.1:{(await harness.replica()).port}"
    rule = {"cron": None, "every": {"seconds": 60}, "misfire": "fire_all", "catchup_window_seconds": 31_536_000}
    _, schedule, _ = await put(api, "k", rule)
    async with Client(url, api.token) as other:
        for number in range(1, 11):
            harness.clock.ahead_ms = number * 60_000
            declared = rule | {"body": f"build {number}"}
            await asyncio.gather(
                put(api, "k", declared), harness.tick(schedule["id"]), put(other, "k", declared), return_exceptions=True
            )
    while instant_ms((await shown_by_key(api, "k"))["next_run_at"]) <= harness.clock.now():
        await harness.tick(schedule["id"])
    await harness.caught_up()

    slots = [job.scheduled_at for job in harness.tables.jobs.values() if job.schedule_id == schedule["id"]]
    first_at = instant_ms(schedule["next_run_at"])
    assert sorted(slots) == [first_at + 60_000 * number for number in range(len(slots))]
    assert len(slots) >= 9


async def shown_by_key(api: Client, key: str) -> dict[str, Any]:
    _, shown, _ = await api.call("GET", f"/v1/schedules/by-key/{key}")
    return dict(shown)


async def test_the_outermost_keys_notes_and_ends_of_pauses_are_taken(api: Client, harness: Harness) -> None:
    """A key of 1 and of 128 characters, a note of 500, a pause of a second and of almost ten years."""
    for key in ("a", "A-z.9_~" + "k" * 121):
        status, schedule, _ = await put(api, key, {})
        assert (status, schedule["key"]) == (201, key)
    path = f"/v1/schedules/{schedule['id']}"
    for ahead_ms in (1_000, 3_652 * DAY_MS):
        until = rfc3339(harness.clock.now() + ahead_ms)
        status, paused, _ = await api.call("POST", f"{path}/pause", {"note": "n" * 500, "until": until})
        assert (status, paused["note"]) == (200, "n" * 500), paused
    beyond = rfc3339(harness.clock.now() + 3_654 * DAY_MS)
    status, body, _ = await api.call("POST", f"{path}/pause", {"until": beyond})
    assert (status, body["error"]["code"]) == (400, "invalid_until")
    assert "until must be" in body["error"]["message"]


@pytest.mark.parametrize("key", ["a" * 129, "a%20b", "ä", "a:b"])
async def test_what_is_no_key(api: Client, key: str) -> None:
    """1 to 128 letters, digits, dots, underscores, tildes and dashes."""
    status, body, _ = await put(api, key, {})

    assert (status, body["error"]["code"]) == (400, "invalid_key")
