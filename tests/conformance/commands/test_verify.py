"""`fliq verify` and `fliq rebuild` say what they compared, what differs, and end with the right code."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from services.start_error import StartError
from tests.conformance.commands.conftest import PARTITIONS, Fliq, written

COUNT = sum(len(each) for each in written())


async def execute(dsn: str, statement: str) -> Any:
    """Run *statement*; returns its first value."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_true_tables(fliq: Fliq, filled_dsn: str) -> None:
    """Exit code 0, with how many rows and records were compared, in words and as JSON."""
    answer = await fliq("verify")
    rows = sum([await execute(filled_dsn, f"SELECT count(*) FROM fliq.{table}") for table in TABLES])
    assert answer.code == 0
    assert f"{rows:,} rows compared with {COUNT:,} records of {PARTITIONS} partitions" in answer.text
    facts = (await fliq("verify", "--json")).json
    assert (facts["differences"], facts["records"], facts["rows_that_differ"]) == (0, COUNT, [])
    assert sum(facts["rows"].values()) == rows


TABLES = ("jobs", "specs", "executions", "responses", "labels", "schedules", "usage_daily", "deliveries", "history")


async def test_a_difference_is_shown_with_both_values(fliq: Fliq, filled_dsn: str) -> None:
    """Exit code 1, and the row: partition, table, key, column, the tables' value and the log's; other partitions are clean."""
    right = await execute(filled_dsn, "SELECT max(fire_at) FROM fliq.jobs WHERE part = 1")
    await execute(filled_dsn, f"UPDATE fliq.jobs SET fire_at = 5 WHERE part = 1 AND fire_at = {right}")
    answer = await fliq("verify")
    assert answer.code == 1
    assert f"fire_at is 5, and the log says {right}" in answer.text
    facts = (await fliq("verify", "--json")).json
    (row,) = facts["rows_that_differ"]
    assert (row["partition"], row["table"], row["kind"]) == (1, "jobs", "changed")
    assert row["columns"] == {"fire_at": {"tables": 5, "log": right}}
    assert (await fliq("verify", "--partition", "0")).code == 0
    assert (await fliq("verify", "--partition", "1", "--partition", "0")).code == 1
    with pytest.raises(StartError, match="there is no partition 9"):
        await fliq("verify", "--partition", "9")


async def test_a_check_and_a_rebuild(fliq: Fliq, filled_dsn: str) -> None:
    """A check ends with 1 and changes nothing; a rebuild names the same row, mends it and ends with 0."""
    await execute(filled_dsn, "UPDATE fliq.executions SET ok = NOT ok WHERE job_id = (SELECT max(job_id::text)::uuid"
                  " FROM fliq.executions WHERE ok)")  # fmt: skip
    checked = await fliq("rebuild", "--check", "--json")
    assert (checked.code, checked.json["differences"], checked.json["switched"]) == (1, 1, False)
    dry = await fliq("rebuild", "--dry-run")
    assert dry.code == 0
    assert "nothing was switched" in dry.text
    assert (await fliq("verify")).code == 1
    done = await fliq("rebuild", "--json")
    assert (done.code, done.json["switched"], done.json["differences"]) == (0, True, 1)
    assert done.json["hashes"] == checked.json["hashes"]
    assert done.json["rows_that_differ"][0]["columns"]["ok"]
    assert "as much again is needed" in done.errors
    assert (await fliq("verify")).code == 0
    assert "no row differed" in (await fliq("rebuild", "--check")).text


@pytest.mark.parametrize("command", ["verify", "rebuild"])
async def test_tables_of_another_build_are_refused(fliq: Fliq, filled_dsn: str, command: str) -> None:
    """Neither migrates: what is missing, or newer, is said in one line."""
    await execute(filled_dsn, "DELETE FROM fliq.migrations WHERE version = (SELECT max(version) FROM fliq.migrations)")
    with pytest.raises(StartError, match="run `fliq migrate` first"):
        await fliq(command)
    await execute(filled_dsn, "INSERT INTO fliq.migrations (version, name, kind) VALUES (9999, 'x', 'contract')")
    with pytest.raises(StartError, match="start a newer one"):
        await fliq(command)
    await execute(filled_dsn, "DROP SCHEMA fliq CASCADE")
    with pytest.raises(StartError, match="there are no tables"):
        await fliq(command)
