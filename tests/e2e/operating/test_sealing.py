"""Sealed specs, endpoints and secrets of a running Fliq: moved, from before, without keys; keys replaced, accounts erased."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from libs.domain.job import JobStatus
from libs.events import Spec
from libs.sealing.data_key import Broken
from libs.sealing.keyring import Keyring, Shredded
from libs.sealing.master_key_file import read_master_keys
from libs.store.control.account_keys import AccountKeys
from libs.store.pool import open_pool
from tests.e2e.operating.test_canary import assert_signed, made_by, rows_of
from tests.fakes.running.client import OTHER_TOKEN, TOKEN
from tests.fakes.running.fold import fold_differences
from tests.fakes.running.operating import command
from tests.fakes.running.postgres import fetch
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, FliqOf

LATER_S = 3600


async def test_what_was_moved_between_jobs_is_never_sent(fliq_of: FliqOf, sink: Sink) -> None:
    """Two rows whose specs somebody swapped: both jobs fail with `integrity`, at once, and nothing arrives."""
    fliq = fliq_of("embedded")
    dsn = fliq.settings["FLIQ_DATABASE_URL"]
    with fliq:
        async with Client(fliq.url) as client:
            jobs = [await client.create(f"{sink.url}/swapped", 4.0, body=f"of {n}", max_retries=3) for n in range(2)]
            await client.wait_status(jobs[1]["id"], "scheduled")
            await fetch(
                dsn,
                "UPDATE fliq.specs SET spec = other.spec FROM (SELECT spec_id, spec FROM fliq.specs) AS other"
                " WHERE other.spec_id <> specs.spec_id",
            )
            ended = [await client.wait_status(job["id"], "failed") for job in jobs]
    assert [(job["last_error"], job["execution_count"]) for job in ended] == [("integrity", 1)] * 2
    assert sink.at("/swapped") == []


async def test_an_installation_that_was_not_sealed_goes_on(fliq_of: FliqOf, sink: Sink) -> None:
    """
    What was made before a start with a master key stays readable and fires; `doctor` counts it; what is new is sealed.

    Endpoints and secrets from before are sealed by `fliq keys seal`, and go on as they were.
    """
    fliq = fliq_of("embedded").start(FLIQ_MASTER_KEY_FILE="")
    dsn = fliq.settings["FLIQ_DATABASE_URL"]
    try:
        async with Client(fliq.url) as client:
            old = await client.create(f"{sink.url}/ok", 6.0, body="old", idempotency_key="k")
            await client.wait_status(old["id"], "scheduled")
            fields = {"url": f"{sink.url}/told-of?q=1", "headers": {"X-Told": "as before"}, "events": ["job.completed"]}
            endpoint = await made_by(client, "POST", "/v1/webhooks/endpoints", fields)
            secret = (await client.call("GET", f"/v1/webhooks/endpoints/{endpoint['id']}/secret"))[1]["secret"]
            own = (await client.call("GET", "/v1/signing-secret"))[1]["secret"]
        fliq.stop()
        fliq.start()
        async with Client(fliq.url) as client:
            again = await client.create(f"{sink.url}/ok", old["scheduled_at"], body="old", idempotency_key="k")
            new = await client.create(f"{sink.url}/ok", 2.0, body="new")
            assert again["id"] == old["id"]
            for job in (old, new):
                assert (await client.wait_status(job["id"], timeout_s=30))["status"] == "success"
            doctor = await command(fliq, "doctor")
            assert "1 specs from before are not sealed" in doctor.out, doctor
            assert "1 webhook endpoints and 3 signing secrets from before are not sealed" in doctor.out, doctor
            answer = await command(fliq, "keys", "seal")
            assert (answer.code, "1 webhook endpoints and 3 signing secrets" in answer.out) == (0, True), answer
            assert "signing secrets" not in (await command(fliq, "doctor")).out
            assert (await client.call("GET", "/v1/signing-secret"))[1]["secret"] == own
            await made_by(client, "POST", f"/v1/webhooks/endpoints/{endpoint['id']}/test", {})
            await sink.wait_for(lambda: len(sink.at("/told-of")) == 3)  # before, and after it was sealed
            for call in sink.at("/told-of"):
                assert (call.query, call.headers["X-Told"]) == ("q=1", "as before")
                assert_signed(call, secret)
            kept = await rows_of(dsn)
            assert [text for text in ("as before", secret[6:], own[6:]) if text.encode() in kept] == []
        stored = [spec for (spec,) in await fetch(dsn, "SELECT spec FROM fliq.specs")]
        assert [b"sealed" in spec for spec in stored].count(False) == 1
    finally:
        fliq.close()


async def test_a_job_whose_key_is_gone_ends_without_a_call(fliq_of: FliqOf, sink: Sink) -> None:
    """As after a restore without the keys: it fails with `spec_shredded`, and is not tried again."""
    fliq = fliq_of("embedded").start()
    try:
        async with Client(fliq.url) as client:
            job = await client.create(f"{sink.url}/never", 4.0, body="lost", max_retries=3)
            await fetch(fliq.settings["FLIQ_DATABASE_URL"], "DELETE FROM fliq.account_keys")
            ended = await client.wait_status(job["id"], "failed")
            assert (ended["last_error"], ended["execution_count"]) == ("spec_shredded", 1)
            assert (await client.call("POST", f"/v1/jobs/{job['id']}/replay"))[0] == 201  # it shares what is lost
        assert sink.at("/never") == []
    finally:
        fliq.close()


@pytest.mark.nightly
async def test_keys_are_replaced_under_load_as_the_page_says(fliq_of: FliqOf, sink: Sink) -> None:
    """docs/sealing.md, "Replace keys": while jobs are made and fire, none fails, and what was sealed before opens."""
    fliq = fliq_of("split")
    with fliq:
        async with Client(fliq.url) as client:
            jobs = [await client.create(f"{sink.url}/ok", 12.0 + n / 50, body=f"before {n}") for n in range(50)]
            old = (await command(fliq, "keys", "show", "--json")).json
            for words in (("rotate-master",), ("rotate",), ("seal",), ("rotate-master",)):
                answer = await command(fliq, "keys", *words)
                assert answer.code == 0, answer
                jobs += [await client.create(f"{sink.url}/ok", 3.0, body=f"after {words} {n}") for n in range(20)]
            new = (await command(fliq, "keys", "show", "--json")).json
            for job in jobs:
                assert (await client.wait_status(job["id"], timeout_s=40))["status"] == "success"
    assert new["wraps"] != old["wraps"]
    assert new["master_keys"] == [new["wraps"]]
    assert new["data_keys"] == old["data_keys"] + old["accounts"]


@pytest.mark.nightly
async def test_an_erased_account_can_never_be_read_again(fliq_of: FliqOf, sink: Sink) -> None:
    """Its jobs end, its tokens are refused, yesterday's backup does not open; others go on, and a replay completes."""
    fliq = fliq_of("embedded").start()
    dsn = fliq.settings["FLIQ_DATABASE_URL"]
    try:
        async with Client(fliq.url) as client, Client(fliq.url, OTHER_TOKEN) as other:
            kept = await client.create(f"{sink.url}/ok", LATER_S, body="kept")
            gone = await other.create(f"{sink.url}/gone", LATER_S, body="gone")
            schedule = {"url": f"{sink.url}/gone?q=1", "cron": "0 0 1 1 *"}
            assert (await other.call("POST", "/v1/schedules", schedule))[0] == 201
            endpoint = {"url": f"{sink.url}/told?q=1", "events": ["job.cancelled"]}
            assert (await other.call("POST", "/v1/webhooks/endpoints", endpoint))[0] == 201
            await other.wait_status(gone["id"], "scheduled")
            yesterday = [spec for (spec,) in await fetch(dsn, "SELECT spec FROM fliq.specs")]

            answer = await command(fliq, "accounts", "erase", "other", "--yes", timeout_s=120)

            assert answer.code == 0, answer
            assert (await other.call("GET", f"/v1/jobs/{gone['id']}"))[0] == 401
            assert (await client.call("GET", f"/v1/jobs/{gone['id']}"))[0] == 404
            assert (await client.job(kept["id"]))["status"] == "scheduled"
            # Who tells endpoints of events goes on, too.
            endpoint = {"url": f"{sink.url}/kept", "events": ["job.cancelled"]}
            assert (await client.call("POST", "/v1/webhooks/endpoints", endpoint))[0] == 201
            also = await client.create(f"{sink.url}/ok", LATER_S)
            assert (await client.call("DELETE", f"/v1/jobs/{also['id']}"))[0] == 204
            await sink.wait_for(lambda: sink.at("/kept"))
        assert (await command(fliq, "accounts", "create", "other")).code == 1
        assert (await command(fliq, "rebuild")).code == 0
        assert await fold_differences(fliq) == []
        statuses = await fetch(dsn, "SELECT status FROM fliq.jobs WHERE account = 'other'")
        assert {JobStatus(status) for (status,) in statuses} == {JobStatus.CANCELLED}
        await _assert_opens_only(fliq, yesterday, kept["id"], gone["id"])
        fliq.stop()
        fliq.start()  # the account stands in FLIQ_BOOTSTRAP_TOKENS, and is not made again
        async with Client(fliq.url, OTHER_TOKEN) as other, Client(fliq.url, TOKEN) as client:
            assert (await other.call("GET", "/v1/jobs"))[0] == 401
            assert (await client.call("GET", "/v1/jobs"))[0] == 200
    finally:
        fliq.close()


async def _assert_opens_only(fliq: RunningFliq, backup: Sequence[bytes], kept_id: str, gone_id: str) -> None:
    """Open the specs of a backup with the keys of today."""
    pool = await open_pool(fliq.settings["FLIQ_DATABASE_URL"], name="test", size=1)
    path = Path(fliq.settings["FLIQ_MASTER_KEY_FILE"])
    ring = Keyring(
        lambda: read_master_keys(path), AccountKeys(pool), entropy=bytes, steady=lambda: 0.0, away=ConnectionError
    )
    specs = [msgspec.json.decode(each, type=Spec) for each in backup]
    await ring.load(specs)
    await pool.close()
    opened, shredded = [], 0
    for spec in specs:
        for account, job_id in (("default", kept_id), ("other", gone_id)):
            try:
                opened.append(ring.opened(spec, account, job_id).body)
            except Shredded:
                shredded += 1
            except Broken:
                pass
    assert opened == ["kept"]
    assert shredded == 4  # the job and the schedule, tried twice


async def test_a_start_without_the_master_key_is_refused(fliq_of: FliqOf, sink: Sink) -> None:
    """Unset, missing, or another one: one line says what to do, and nothing starts."""
    fliq = fliq_of("embedded").start()
    path = Path(fliq.settings["FLIQ_MASTER_KEY_FILE"])
    other = path.with_name("other.key")
    try:
        async with Client(fliq.url) as client:
            await client.create(sink.url, LATER_S, body="secret")
        fliq.stop()
        assert (await command(fliq, "keys", "new", str(other))).code == 0

        for named, says in (
            ("", "FLIQ_MASTER_KEY_FILE is not set"),
            (str(path.with_name("missing")), "missing"),
            (str(other), "does not hold the master key"),
        ):
            answer = await command(fliq, "all", FLIQ_MASTER_KEY_FILE=named)
            assert (answer.code, says in answer.err.splitlines()[-1]) == (1, True), answer
        answer = await command(fliq, "doctor", FLIQ_MASTER_KEY_FILE="")
        assert "services do not start without it" in answer.out
    finally:
        fliq.close()
