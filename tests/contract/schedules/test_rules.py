"""Rules of schedules: time zones, intervals, windows, spread; each field at its limits; previews of saved and unsaved rules."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.contract.harness import Harness
from tests.fakes.running.topologies import Client, instant_ms

URL = "https://example.com/digest"
LEAD_MS = 200
DAYS = [f"20{30 + number // 28}-02-{number % 28 + 1:02}" for number in range(366)]


async def create(api: Client, **fields: Any) -> dict[str, Any]:
    status, schedule, _ = await api.call("POST", "/v1/schedules", {"url": URL, **fields})
    assert status == 201, schedule
    _, shown, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
    made_for, shown_for = schedule["next_run_at"], shown["next_run_at"]
    assert schedule | {"next_run_at": shown_for} == {name: shown[name] for name in schedule}
    # A run may have been decided since, a little ahead, of a schedule that has one each second.
    assert shown_for == made_for or instant_ms(made_for) <= time.time() * 1000 + LEAD_MS
    return dict(shown)


async def test_a_time_zone(api: Client, harness: Harness) -> None:
    """08:00 in Berlin is 06:00 or 07:00 UTC; GET shows the zone, what happens at clock changes, and which zone data said so."""
    schedule = await create(api, cron="CRON_TZ=Europe/Berlin 0 8 * * 1-5")

    assert (schedule["cron"], schedule["timezone"]) == ("0 8 * * 1-5", "Europe/Berlin")
    assert schedule["dst"] == {"gap": "shift", "fold": "first"}
    assert schedule["next_run_at"][11:] in ("06:00:00Z", "07:00:00Z")
    assert schedule["zone_data"].startswith("20")
    job = await api.job(await harness.tick(schedule["id"]))
    assert job["scheduled_at"] == schedule["next_run_at"]
    _, ticked, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")
    assert (ticked["run_count"], ticked["missed_count"]) == (1, 0)
    assert ticked["next_run_at"] > schedule["next_run_at"]


async def test_an_interval(api: Client, harness: Harness) -> None:
    """Elapsed time from an anchor, by default the second of creation; it has no zone."""
    anchored = await create(api, every={"seconds": 90, "anchor": "2026-01-01T00:00:30.250Z"})
    plain = await create(api, every={"seconds": 3_600})

    assert anchored["cron"] is anchored["timezone"] is anchored["dst"] is None
    assert (instant_ms(anchored["next_run_at"]) - instant_ms("2026-01-01T00:00:30.250Z")) % 90_000 == 0
    assert plain["every"] == {"seconds": 3_600, "anchor": plain["created_at"][:19] + "Z"}
    first = await harness.tick(anchored["id"])
    assert (await api.job(first))["scheduled_at"] == anchored["next_run_at"]


async def test_the_spread_delays_the_call(api: Client, harness: Harness) -> None:
    """The job says the tick as its instant; its attempt, and next_run_at, are later by the same delay."""
    schedule = await create(api, every={"seconds": 3_600}, spread={"seconds": 600})

    delay_ms = instant_ms(schedule["next_run_at"]) - instant_ms(schedule["next_tick_at"])
    assert 0 < delay_ms < 600_000
    job = await api.job(await harness.tick(schedule["id"]))
    assert (job["scheduled_at"], job["next_attempt_at"]) == (schedule["next_tick_at"], schedule["next_run_at"])


async def test_max_runs_finishes_a_schedule(api: Client, harness: Harness) -> None:
    """With its last tick it is finished, and runs no more."""
    schedule = await create(api, every={"seconds": 60}, max_runs=1)
    await harness.tick(schedule["id"])

    _, shown, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}")

    assert (shown["status"], shown["next_run_at"], shown["run_count"], shown["max_runs"]) == ("finished", None, 1, 1)


async def test_a_schedule_whose_runs_take_longer_than_its_interval_says_so(api: Client, harness: Harness) -> None:
    """Once three of them have; lists do not look at runs."""
    schedule = await create(api, every={"seconds": 1})
    path, warnings = f"/v1/schedules/{schedule['id']}", []
    for _ in range(3):
        await harness.fire(await harness.tick(schedule["id"]))
        harness.clock.ahead_ms += 5_000
        warnings.append((await api.call("GET", path))[1].get("warning"))
    _, listed, _ = await api.call("GET", "/v1/schedules")

    assert warnings == [None, None, "slower_than_interval"]
    assert "warning" not in listed["schedules"][0]


async def test_pause_and_resume_keep_the_rule(api: Client) -> None:
    """A resumed schedule goes on by its rule, at its wall clock."""
    schedule = await create(api, cron="0 8 * * *", timezone="Asia/Kolkata", spread={"seconds": 60})
    path = f"/v1/schedules/{schedule['id']}"
    _, paused, _ = await api.call("POST", f"{path}/pause")
    _, resumed, _ = await api.call("POST", f"{path}/resume")

    assert (paused["status"], paused["next_run_at"], paused["next_tick_at"]) == ("paused", None, None)
    assert resumed == schedule
    assert resumed["next_tick_at"].endswith("T02:30:00Z")


async def test_a_repeat_with_the_same_key_is_the_same_schedule(api: Client) -> None:
    """Also if the anchor of its interval is the instant of the first request; another rule under the key is refused."""
    fields = {"url": URL, "every": {"seconds": 60}}
    answers = [
        await api.call("POST", "/v1/schedules", body, headers={"Idempotency-Key": "one"})
        for body in (fields, fields, fields | {"every": {"seconds": 61}})
    ]

    assert [status for status, _, _ in answers] == [201, 201, 409]
    assert answers[0][1] == answers[1][1]


AT_THE_LIMIT: list[dict[str, Any]] = [
    {"every": {"seconds": 1}},
    {"every": {"seconds": 31_536_000.0}},
    {"cron": "@daily"},
    {"cron": "0 9 LW * *", "timezone": "America/Argentina/ComodRivadavia"},
    {"cron": "0 9 * * mon#1"},
    {"cron": "0 9 * * *", "timezone": None, "dst": None, "exclude": None, "spread": None, "max_runs": None},
    {"cron": "0 9 * * *", "exclude": DAYS},
    {"cron": "0 9 * * *", "exclude": ["2030-12-24/2030-12-26"]},
    {"cron": "0 9 * * *", "spread": {"seconds": 86_400, "by": "run"}},
    {"cron": "0 9 * * *", "dst": {"gap": "skip", "fold": "both"}, "timezone": "Europe/Dublin"},
    {"cron": "0 9 * * *", "spread": {"seconds": 1}},
    {"cron": "0 9 * * *", "max_runs": 1_000_000_000},
    {"cron": "0 9 * * *", "max_runs": 1},
    {"cron": "0 9 * * *", "starts_at": "2090-01-01T00:00:00Z", "ends_at": "2090-01-01T09:00:00Z"},
]
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("invalid_cron", {}),
    ("invalid_every", {"cron": "0 9 * * *", "every": {"seconds": 60}}),
    ("invalid_every", {"every": {"seconds": 0}}),
    ("invalid_every", {"every": {"seconds": 31_536_001}}),
    ("invalid_every", {"every": 60}),
    ("invalid_every", {"every": {"seconds": 60, "anchor": "yesterday"}}),
    ("invalid_timezone", {"cron": "0 9 * * *", "timezone": "europe/berlin"}),
    ("invalid_timezone", {"cron": "0 9 * * *", "timezone": "Mars/Olympus"}),
    ("invalid_timezone", {"cron": "0 9 * * *", "timezone": "Factory"}),
    ("invalid_timezone", {"cron": "0 9 * * *", "timezone": 1}),
    ("invalid_timezone", {"cron": "CRON_TZ=Europe/Berlin 0 9 * * *", "timezone": "Europe/Berlin"}),
    ("invalid_timezone", {"every": {"seconds": 60}, "timezone": "UTC"}),
    ("invalid_dst", {"cron": "0 9 * * *", "dst": {"gap": "both"}}),
    ("invalid_dst", {"cron": "0 9 * * *", "dst": {"hole": "shift"}}),
    ("invalid_window", {"cron": "0 9 * * *", "ends_at": "2020-01-01T00:00:00Z"}),
    ("invalid_window", {"cron": "0 9 * * *", "starts_at": "2090-01-01T00:00:00Z", "ends_at": "2089-01-01T00:00:00Z"}),
    ("invalid_window", {"cron": "0 9 * * *", "starts_at": "2090-01-01T10:00:00Z", "ends_at": "2090-01-01T11:00:00Z"}),
    ("invalid_window", {"cron": "0 9 * * *", "starts_at": "2200-01-01T00:00:00Z"}),
    ("invalid_exclude", {"cron": "0 9 * * *", "exclude": [*DAYS, "2050-01-01"]}),
    ("invalid_exclude", {"cron": "0 9 * * *", "exclude": ["2030-02-30"]}),
    ("invalid_exclude", {"cron": "0 9 * * *", "exclude": "2030-02-03"}),
    ("invalid_exclude", {"cron": "0 9 * * *", "exclude": ["2000-01-01/2199-12-31"]}),
    ("invalid_spread", {"cron": "0 9 * * *", "spread": {"seconds": 86_401}}),
    ("invalid_spread", {"cron": "0 9 * * *", "spread": {"seconds": 0}}),
    ("invalid_spread", {"cron": "0 9 * * *", "spread": {"seconds": 1, "by": "chance"}}),
    ("invalid_max_runs", {"cron": "0 9 * * *", "max_runs": 0}),
    ("invalid_max_runs", {"cron": "0 9 * * *", "max_runs": 1_000_000_001}),
    ("invalid_cron", {"cron": "0 0 30 2 *", "timezone": "Europe/Berlin"}),
    ("invalid_cron", {"cron": " ".join(["0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23"] * 5)}),
]


async def test_what_lies_within_the_limits_is_taken(api: Client) -> None:
    """The outermost values of each field make a schedule that runs."""
    for fields in AT_THE_LIMIT:
        assert (await create(api, **fields))["next_run_at"] is not None, fields


async def test_what_lies_beyond_is_refused(api: Client) -> None:
    """With the code of the field, in a sentence that names it; a preview refuses the same."""
    for code, fields in REFUSED:
        status, body, _ = await api.call("POST", "/v1/schedules", {"url": URL, **fields})

        assert (status, body["error"]["code"]) == (400, code), fields
        assert code.removeprefix("invalid_").split("_")[0] in body["error"]["message"] or code == "invalid_window"
        if code != "invalid_max_runs":
            status, body, _ = await api.call("POST", "/v1/schedules/preview", fields)
            assert (status, body["error"]["code"]) == (400, code), fields


async def test_a_preview_shows_clock_changes_beforehand(api: Client) -> None:
    """02:30 in Berlin through a March and an October: shifted to the end of the gap, and once in the fold."""
    rule = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "count": 3}
    _, march, _ = await api.call("POST", "/v1/schedules/preview", rule | {"after": "2027-03-27T12:00:00Z"})
    _, october, _ = await api.call("POST", "/v1/schedules/preview", rule | {"after": "2027-10-30T12:00:00Z"})

    assert march["runs"][0] == {
        "at": "2027-03-28T01:00:00Z",
        "tick_at": "2027-03-28T01:00:00Z",
        "local": "2027-03-28T03:00:00+02:00[Europe/Berlin]",
        "nominal_local": "2027-03-28T02:30",
        "note": "gap",
    }
    assert [run["at"] for run in march["runs"][1:]] == ["2027-03-29T00:30:00Z", "2027-03-30T00:30:00Z"]
    assert [(run["at"], run["note"]) for run in october["runs"]] == [
        ("2027-10-31T00:30:00Z", "fold"),
        ("2027-11-01T01:30:00Z", None),
        ("2027-11-02T01:30:00Z", None),
    ]
    assert any("dst.gap" in warning for warning in march["warnings"])


async def test_a_preview_of_a_schedule_says_when_it_runs(api: Client) -> None:
    """Its first run is next_run_at, with the delay of its spread."""
    schedule = await create(api, cron="0 8 * * *", timezone="Asia/Tokyo", spread={"seconds": 600})
    path = f"/v1/schedules/{schedule['id']}/preview"

    status, shown, _ = await api.call("GET", f"{path}?count=2")
    _, later, _ = await api.call("GET", f"{path}?count=1&after={shown['runs'][0]['tick_at']}")

    assert (status, len(shown["runs"])) == (200, 2)
    assert (shown["runs"][0]["at"], shown["runs"][0]["tick_at"]) == (schedule["next_run_at"], schedule["next_tick_at"])
    assert later["runs"] == shown["runs"][1:]
    assert shown["zone_data"] == schedule["zone_data"]


@pytest.mark.parametrize(
    ("query", "code"),
    [("count=0", "invalid_count"), ("count=101", "invalid_count"), ("after=soon", "invalid_after"), ("at=1", None)],
)
async def test_parameters_of_a_preview(api: Client, query: str, code: str | None) -> None:
    """A wrong count, a wrong instant, an unknown parameter: 400."""
    schedule = await create(api, cron="0 8 * * *")

    status, body, _ = await api.call("GET", f"/v1/schedules/{schedule['id']}/preview?{query}")

    assert (status, body["error"]["code"]) == (400, code or "invalid_parameter")


async def test_a_preview_says_where_croniter_reads_a_cron_differently(api: Client) -> None:
    """Equal bounds of a range mean one hour here and every hour there; a cron that both read alike has no warning."""
    _, strange, _ = await api.call("POST", "/v1/schedules/preview", {"cron": "0 9-9 * * *"})
    _, usual, _ = await api.call("POST", "/v1/schedules/preview", {"cron": "0 9 * * *"})
    _, either, _ = await api.call("POST", "/v1/schedules/preview", {"cron": "0 9 13 * 5"})

    assert any("croniter" in warning for warning in strange["warnings"])
    assert usual["warnings"] == []
    assert any("both" in warning for warning in either["warnings"])
    assert (usual["text"], either["text"]) == (
        "At 09:00 every day, UTC",
        "At 09:00 on day 13 of the month, or on Friday, UTC",
    )


async def test_a_preview_of_what_is_not_there(api: Client) -> None:
    """404 for an id that is none, that is unknown, or whose schedule is deleted."""
    schedule = await create(api, cron="0 8 * * *")
    await api.call("DELETE", f"/v1/schedules/{schedule['id']}")

    for known in ("sched_x", schedule["id"]):
        assert (await api.call("GET", f"/v1/schedules/{known}/preview"))[0] == 404
