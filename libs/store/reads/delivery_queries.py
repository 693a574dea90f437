"""
DeliveryQueries: what the API shows of webhook deliveries, always of one account, as of the tables' position.

There are two kinds. A delivery to a webhook endpoint is a job whose account is the endpoint; its redeliveries are jobs that name it
(`replay_of`). A delivery to the `webhook_url` of one job is a row of `deliveries`. Lists of both go from the newest id down, as in
account_queries.py.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState, DeliveryStatus
from libs.events import Spec
from libs.events.ids import job_of_delivery
from libs.sealing.keyring import NO_SEALING, Keyring, Stored
from libs.store.errors import answer_call, store_call
from libs.store.projection import rows
from libs.store.projection.changes import ExecutionRow
from libs.store.projection.delivery_rows import DELIVERIES
from libs.store.projection.job_rows import JOBS
from libs.store.reads.bodiless_spec import BODILESS_SPEC
from libs.store.reads.told_deliveries import EndpointDelivery, Try, WebhookDelivery

_OF_ENDPOINT: Final = "left(account, 4) = 'whe_'"  # exactly the condition of the partial indexes
_OWN: Final = "SELECT endpoint_id FROM webhook_endpoints WHERE account = $1 AND ($2::text IS NULL OR endpoint_id = $2)"
_NAMES: Final = ", ".join(JOBS.columns)
_RANGE: Final = "job_id < $3 AND job_id >= $4"
# One short scan of an index for each endpoint and status.
_NEWEST: Final = f"""SELECT scan.* FROM ({_OWN}) AS own CROSS JOIN unnest($5::int2[]) AS wanted (number) CROSS JOIN LATERAL (
    SELECT {_NAMES} FROM jobs WHERE account = own.endpoint_id AND status = wanted.number AND {_RANGE} ORDER BY job_id DESC LIMIT $6
) AS scan ORDER BY job_id DESC LIMIT $6"""  # noqa: S608 - our own names
_OF_JOB: Final = f"""SELECT {_NAMES} FROM jobs WHERE idempotency_key = $7 AND {_OF_ENDPOINT} AND account IN ({_OWN})
    AND status = ANY ($5::int2[]) AND {_RANGE} ORDER BY job_id DESC LIMIT $6"""  # noqa: S608
_ONE: Final = f"SELECT {_NAMES} FROM jobs WHERE job_id = $3 AND account IN ({_OWN})"  # noqa: S608
_AGAIN: Final = f"""SELECT coalesce(sum(attempt), 0)::int4 AS again_count,
    coalesce(bool_or(status = {JobStatus.COMPLETED:d}), false) AS is_delivered_again FROM jobs AS again
    WHERE again.replay_of = first.job_id AND {_OF_ENDPOINT}"""  # noqa: S608


def _told(first: str, spec: str) -> str:
    return (
        f"SELECT first.*, {spec} AS spec, told.again_count, told.is_delivered_again FROM ({first}) AS first"  # noqa: S608
        f" CROSS JOIN LATERAL ({_AGAIN}) AS told LEFT JOIN specs ON spec_id = first.job_id ORDER BY first.job_id DESC"
    )


_LIST: Final = _told(_NEWEST, BODILESS_SPEC)
_LIST_OF_JOB: Final = _told(_OF_JOB, BODILESS_SPEC)
_GET: Final = _told(_ONE, "spec")
_TRIES: Final = """SELECT executions.*, first.job_id <> $1 AS is_again FROM executions JOIN jobs AS first USING (job_id)
    WHERE first.job_id = $1 OR (first.replay_of = $1 AND left(first.account, 4) = 'whe_')
    ORDER BY executed_at, first.job_id, attempt"""
_FAILED: Final = f"""SELECT {_NAMES}, spec FROM jobs JOIN specs ON spec_id = job_id WHERE account = $1
    AND status = {JobStatus.FAILED:d} AND job_id > $2 AND job_id < $3 AND NOT EXISTS (
        SELECT FROM jobs AS again WHERE again.replay_of = jobs.job_id AND left(again.account, 4) = 'whe_'
        AND again.status = {JobStatus.COMPLETED:d}
    ) ORDER BY job_id LIMIT $4"""  # noqa: S608
_OPEN: Final = "status IN (0, 1, 2, 3)"
_COUNT_OPEN: Final = f"SELECT count(*) FROM (SELECT FROM jobs WHERE account = $1 AND {_OPEN} LIMIT $2) AS open"  # noqa: S608

_DELIVERY_RANGE: Final = "delivery_id < $2 AND delivery_id >= $3"
_WEBHOOKS: Final = f"""SELECT scan.* FROM unnest($4::int2[]) AS wanted (number) CROSS JOIN LATERAL (
    SELECT {DELIVERIES.listed} FROM deliveries WHERE account = $1 AND status = wanted.number AND {_DELIVERY_RANGE}
    ORDER BY delivery_id DESC LIMIT $5) AS scan ORDER BY delivery_id DESC LIMIT $5"""  # noqa: S608
_WEBHOOKS_OF_JOB: Final = (
    f"{DELIVERIES.select} WHERE job_id = $6 AND account = $1 AND status = ANY ($4::int2[]) AND {_DELIVERY_RANGE}"
    " ORDER BY delivery_id DESC LIMIT $5"
)
_SPECS: Final = f"SELECT spec_id, {BODILESS_SPEC} AS spec FROM specs WHERE spec_id = ANY ($1::uuid[])"  # noqa: S608

_decode_spec = msgspec.json.Decoder(Spec).decode


class DeliveryQueries:
    """Reads by account. Every method raises `StoreUnavailable` when the database does not answer in time."""

    def __init__(self, pool: Any, keyring: Keyring = NO_SEALING) -> None:
        """Read through *pool*, and open what *keyring* can open."""
        self._pool = pool
        self._keyring = keyring

    @answer_call
    async def to_endpoints(
        self,
        account: str,
        *,
        statuses: Collection[JobStatus],
        endpoint_id: str | None = None,
        job_id: str | None = None,
        below: str | None,
        since: str | None,
        limit: int,
    ) -> list[EndpointDelivery]:
        """
        Return up to *limit* deliveries to the endpoints that *account* has, newest first; the body of a large one is left out.

        Args:
            statuses: of the jobs that make them.
            endpoint_id: only those to this endpoint.
            job_id: only those that are about this job.
            below, since: only those with an id (of any kind) below the one, and not below the other.
        """
        arguments = [account, endpoint_id, *_range(below, since), list(statuses), limit]
        if job_id is None:
            found = await self._pool.fetch(_LIST, *arguments)
        else:
            found = await self._pool.fetch(_LIST_OF_JOB, *arguments, job_id)
        return await self._endpoint_deliveries(found)

    @answer_call
    async def to_endpoint(self, account: str, delivery_id: str) -> EndpointDelivery | None:
        """Return a delivery to an endpoint of *account*; None if there is none."""
        row = await self._pool.fetchrow(_GET, account, None, rows.uuid_of(job_of_delivery(delivery_id)))
        return None if row is None else (await self._endpoint_deliveries([row]))[0]

    @answer_call
    async def tries(self, delivery_id: str) -> list[Try]:
        """Return the calls of a delivery to an endpoint, oldest first."""
        found = await self._pool.fetch(_TRIES, rows.uuid_of(job_of_delivery(delivery_id)))
        names = ExecutionRow._fields
        return [Try(rows.execution_of({name: row[name] for name in names}), row["is_again"]) for row in found]

    @answer_call
    async def webhooks(
        self,
        account: str,
        *,
        statuses: Collection[DeliveryStatus],
        job_id: str | None = None,
        below: str | None,
        since: str | None,
        limit: int,
    ) -> list[WebhookDelivery]:
        """Return up to *limit* deliveries of webhooks of the jobs of *account*, newest first; see `to_endpoints`."""
        arguments = [account, *_range(below, since), list(statuses), limit]
        if job_id is None:
            found = await self._pool.fetch(_WEBHOOKS, *arguments)
        else:
            found = await self._pool.fetch(_WEBHOOKS_OF_JOB, *arguments, rows.uuid_of(job_id))
        return await self._with_urls([DELIVERIES.state_of(row) for row in found])

    @answer_call
    async def webhook(self, account: str, delivery_id: str) -> WebhookDelivery | None:
        """Return a delivery of a webhook of a job of *account*; None if there is none."""
        query = f"{DELIVERIES.select} WHERE delivery_id = $1 AND account = $2"
        row = await self._pool.fetchrow(query, rows.uuid_of(delivery_id), account)
        return None if row is None else (await self._with_urls([DELIVERIES.state_of(row)]))[0]

    async def _with_urls(self, deliveries: Sequence[DeliveryState]) -> list[WebhookDelivery]:
        by_key = {rows.uuid_of(each.spec_id): each for each in deliveries if each.spec_id is not None}
        found = await self._pool.fetch(_SPECS, list(by_key)) if by_key else ()
        of_rows = [by_key[row["spec_id"]] for row in found]
        stored = [
            Stored(_decode_spec(row["spec"]), each.account, each.spec_id or "")
            for each, row in zip(of_rows, found, strict=True)
        ]
        specs = await self._keyring.shown(stored)
        urls = {place.spec_id: spec.webhook_url for place, spec in zip(stored, specs, strict=True)}
        return [WebhookDelivery(each, urls.get(each.spec_id or "")) for each in deliveries]

    async def _endpoint_deliveries(self, found: Sequence[Any]) -> list[EndpointDelivery]:
        states = [JOBS.state_of(row) for row in found]
        specs = await self._opened(states, found)
        return [
            EndpointDelivery(state, spec, row["again_count"], row["is_delivered_again"])
            for state, spec, row in zip(states, specs, found, strict=True)
        ]

    async def _opened(self, states: Sequence[JobState], found: Sequence[Any]) -> list[Spec]:
        return await self._keyring.shown(
            [
                Stored(_decode_spec(row["spec"]), state.account, state.spec_id)
                for state, row in zip(states, found, strict=True)
            ]
        )

    # --- for what recovers them -----------------------------------------------------------------------------------------

    @store_call
    async def failed(self, endpoint_id: str, *, after: str, below: str, limit: int) -> list[tuple[JobState, Spec]]:
        """Return up to *limit* jobs that told *endpoint_id* in vain, with ids between *after* and *below*, oldest first."""
        found = await self._pool.fetch(_FAILED, endpoint_id, rows.uuid_of(after), rows.uuid_of(below), limit)
        states = [JOBS.state_of(row) for row in found]
        return list(zip(states, await self._opened(states, found), strict=True))

    @store_call
    async def open_count(self, account: str, limit: int) -> int:
        """Return how many jobs of *account* are not at their end, at most *limit*."""
        count: int = await self._pool.fetchval(_COUNT_OPEN, account, limit)
        return count


def _range(below: str | None, since: str | None) -> tuple[Any, Any]:
    return rows.MAX_ID if below is None else rows.uuid_of(below), rows.MIN_ID if since is None else rows.uuid_of(since)
