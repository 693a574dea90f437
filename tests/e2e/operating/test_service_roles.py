"""Each service with a login of its own, which has the rights of that service and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from libs.runtime.roles import ROLES
from libs.store.schema.service_roles import GRANTS
from tests.fakes.running.fold import fold_differences
from tests.fakes.running.operating import command
from tests.fakes.running.postgres import Databases, database_of, fetch
from tests.fakes.running.processes import RunningFliq
from tests.fakes.running.sink import Sink
from tests.fakes.running.topologies import Client, free_port

TABLES = "SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'fliq'::regnamespace"


def dsn_of(dsn: str, service: str) -> str:
    """Return the address of the database as *service* uses it."""
    parts = urlsplit(dsn)
    login = f"{service}_of_{database_of(dsn)}:secret"
    return parts._replace(netloc=f"{login}@{parts.netloc.rpartition('@')[2]}").geturl()


@pytest.fixture
async def fliq(pg_dsn_of: Databases) -> AsyncIterator[RunningFliq]:
    """One process of each service, not started, on a database that was migrated with roles, twice."""
    dsn = pg_dsn_of.create()
    made = RunningFliq(topology="split", database_url=dsn)
    for _ in range(2):
        answer = await command(made, "migrate", "--roles")
        assert (answer.code, "fliq_api" in answer.out) == (0, True), answer
    for service in ROLES:
        await fetch(dsn, f"CREATE ROLE {service}_of_{database_of(dsn)} LOGIN PASSWORD 'secret' IN ROLE fliq_{service}")
    yield made
    await asyncio.to_thread(made.close)
    pg_dsn_of.drop(dsn)
    for service in ROLES:
        await fetch(pg_dsn_of.dsn, f"DROP ROLE {service}_of_{database_of(dsn)}")


async def test_every_service_does_its_work_with_its_role(fliq: RunningFliq, sink: Sink) -> None:
    """Jobs with keys, webhooks, endpoints and retries, cancels, schedules, tokens and secrets; after a rebuild as before."""
    dsn = fliq.settings["FLIQ_DATABASE_URL"]
    for service in ROLES:
        port = {} if service == "api" else {"FLIQ_PORT": str(free_port())}
        fliq.processes.append(fliq.spawn(service, FLIQ_DATABASE_URL=dsn_of(dsn, service), **port))
    for process in fliq.processes:
        await asyncio.to_thread(process.wait_ready)
    async with Client(fliq.url) as client:
        told = {"url": f"{sink.url}/told-of?q=1", "headers": {"X-Told": "1"}}
        assert (await client.call("POST", "/v1/webhooks/endpoints", told))[0] == 201
        for number in range(2):
            fields = {"webhook_url": f"{sink.url}/hook", "max_retries": 1}
            failed = await client.create(f"{sink.url}/status/500", 0.2, idempotency_key=f"key {number}", **fields)
            later = await client.create(sink.url, 3600)
            assert (await client.call("DELETE", f"/v1/jobs/{later['id']}"))[0] == 204
            assert (await client.wait_status(failed["id"]))["status"] == "failed"
            assert len((await client.call("GET", f"/v1/jobs/{failed['id']}/executions"))[1]["executions"]) == 2
            assert (await client.call("GET", f"/v1/jobs/{failed['id']}/events"))[0] == 200
            await sink.wait_for(lambda: len(sink.at("/hook")) == number + 1)  # noqa: B023 - waited for at once
            await sink.wait_for(lambda: len(sink.at("/told-of")) == number + 1)  # noqa: B023
            body = {"url": sink.url, "cron": "* * * * *"}
            status, schedule, _ = await client.call("POST", "/v1/schedules", body, headers={"Idempotency-Key": "key"})
            assert status == 201
            assert (await client.call("POST", f"/v1/schedules/{schedule['id']}/pause"))[0] == 200
            token = (await client.call("POST", "/v1/tokens", {"name": "t", "scopes": ["read"]}))[1]
            assert (await client.call("DELETE", f"/v1/tokens/{token['id']}"))[0] == 204
            assert (await client.call("POST", "/v1/signing-secret/rotate"))[0] in (200, 201)
            answer = await command(fliq, "rebuild")
            assert answer.code == 0, answer
    assert await fold_differences(fliq) == []


REFUSED = {
    "api": (
        "UPDATE fliq.jobs SET status = 5",
        "DELETE FROM fliq.specs",
        "DELETE FROM fliq_log.log_events",
        "DELETE FROM fliq.members",
    ),
    "scheduler": (
        "SELECT spec FROM fliq.specs",
        "SELECT FROM fliq.signing_secrets",
        "SELECT FROM fliq.api_tokens",
        "SELECT request_hash FROM fliq.idempotency",
        "SELECT FROM fliq.webhook_endpoints",
        "DELETE FROM fliq.schedules",
    ),
    "dispatcher": (
        "SELECT FROM fliq.api_tokens",
        "SELECT config FROM fliq.webhook_endpoints",
        "UPDATE fliq.jobs SET status = 5",
        "UPDATE fliq.progress SET position = 9",
    ),
    "webhooks": (
        "UPDATE fliq.jobs SET status = 5",
        "SELECT FROM fliq.endpoint_secrets",
        "UPDATE fliq.webhook_endpoints SET disabled_reason = 'gone'",
        "SELECT FROM fliq.api_tokens",
        "SELECT FROM fliq.accounts",
    ),
}


async def test_what_is_none_of_its_work_is_refused(fliq: RunningFliq) -> None:
    """By the database, whatever a process is made to do; afterwards as before."""
    dsn = fliq.settings["FLIQ_DATABASE_URL"]
    for service, statements in REFUSED.items():
        for statement in statements:
            print(service, statement)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await fetch(dsn_of(dsn, service), statement)


async def test_only_the_api_sees_the_key_of_the_tokens(fliq: RunningFliq) -> None:
    """The others see of that table what tells log and database apart. Every table is somebody's: none was forgotten."""
    dsn = fliq.settings["FLIQ_DATABASE_URL"]
    await fetch(dsn, "INSERT INTO fliq.instance VALUES ('key', 'a secret')")
    seen = {
        service: {name for (name,) in await fetch(dsn_of(dsn, service), "SELECT name FROM fliq.instance")}
        for service in ROLES
    }
    assert seen == {service: {"log", "database"} | ({"key"} if service == "api" else set()) for service in ROLES}
    tables = {name for (name,) in await fetch(dsn, TABLES)}
    assert tables == {table for grants in GRANTS.values() for table in grants}
