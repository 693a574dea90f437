"""What the API reads of webhook deliveries (libs/store/reads/delivery_queries.py), over dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

from libs.domain.job import JobState, JobStatus
from libs.domain.jobs.delivery import DeliveryState, DeliveryStatus
from libs.events import Spec
from libs.events.ids import is_redelivery, job_of_delivery, told_endpoint
from libs.store.projection.changes import ExecutionRow
from libs.store.reads.told_deliveries import EndpointDelivery, Try, WebhookDelivery
from tests.fakes.control.endpoints import EndpointTable


class FakeDeliveries:
    """Reads by account; *executions* are by job and number of the attempt."""

    def __init__(
        self,
        endpoints: EndpointTable,
        jobs: Mapping[str, JobState],
        specs: Mapping[str, Spec],
        executions: Mapping[str, Mapping[int, ExecutionRow]],
        deliveries: Mapping[str, DeliveryState],
    ) -> None:
        self.endpoints, self.jobs, self.specs = endpoints, jobs, specs
        self.executions, self.deliveries = executions, deliveries

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
        own = {each.endpoint_id for each in self.endpoints.of_account(account)} & (
            self.endpoints.by_id.keys() if endpoint_id is None else {endpoint_id}
        )
        found = [
            self._told(job)
            for job in self.jobs.values()
            if job.account in own and job.status in statuses and (job_id is None or job.idempotency_key == job_id)
        ]
        return _newest(found, lambda each: each.first.job_id, below, since, limit)

    async def to_endpoint(self, account: str, delivery_id: str) -> EndpointDelivery | None:
        job = self.jobs.get(job_of_delivery(delivery_id))
        is_own = job is not None and self.endpoints.get(account, job.account) is not None
        return self._told(job) if job is not None and is_own else None

    async def tries(self, delivery_id: str) -> list[Try]:
        first = job_of_delivery(delivery_id)
        ids = [first, *(job.job_id for job in self._again(first))]
        found = [Try(row, each != first) for each in ids for row in self.executions.get(each, {}).values()]
        return sorted(found, key=lambda each: each.execution.executed_at)

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
        found = [
            self._webhook(each)
            for each in self.deliveries.values()
            if each.account == account and each.status in statuses and job_id in (None, each.job_id)
        ]
        return _newest(found, lambda each: each.delivery.delivery_id, below, since, limit)

    async def webhook(self, account: str, delivery_id: str) -> WebhookDelivery | None:
        found = self.deliveries.get(delivery_id)
        return None if found is None or found.account != account else self._webhook(found)

    def _told(self, first: JobState) -> EndpointDelivery:
        again = self._again(first.job_id)
        return EndpointDelivery(
            first,
            self.specs[first.spec_id],
            sum(each.attempt for each in again),
            any(each.status is JobStatus.COMPLETED for each in again),
        )

    def _again(self, job_id: str) -> list[JobState]:
        own = [each for each in self.jobs.values() if each.replay_of == job_id]
        return [each for each in own if told_endpoint(each.account) is not None and is_redelivery(each.account)]

    def _webhook(self, state: DeliveryState) -> WebhookDelivery:
        spec = self.specs.get(state.spec_id or "")
        return WebhookDelivery(state, None if spec is None else spec.webhook_url)


T = TypeVar("T", EndpointDelivery, WebhookDelivery)


def _newest(found: list[T], id_of: Callable[[T], str], below: str | None, since: str | None, limit: int) -> list[T]:
    wanted = [
        each
        for each in found
        if (below is None or id_of(each)[-26:] < below[-26:]) and (since is None or id_of(each)[-26:] >= since[-26:])
    ]
    return sorted(wanted, key=id_of, reverse=True)[:limit]
