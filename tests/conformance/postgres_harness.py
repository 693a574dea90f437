"""The PostgreSQL log under the suite, on a fresh database of the shared server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from libs.log.port import Log
from libs.log.postgres import PostgresLog
from tests.conformance.harness import Features, Harness

OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


class PostgresHarness(Harness):
    fixture = "pg_dsn"
    features = Features(durable=True, several_processes=True, cuts=True, stalls=True, grows=True)

    def make(self, partitions: int) -> Log:
        return PostgresLog(self.address, partitions=partitions)

    async def cut(self) -> None:
        connection = await asyncpg.connect(self.address)
        await connection.execute(f"SELECT pg_terminate_backend(pid) {OTHERS}")
        await connection.close()

    @asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        connection = await asyncpg.connect(self.address)
        async with connection.transaction():
            await connection.execute("SELECT FROM fliq_log.log_heads WHERE part = 0 FOR UPDATE")
            yield
        await connection.close()
