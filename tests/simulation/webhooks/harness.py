"""A webhooks service with everything around it in memory, on a clock that the test moves."""

from __future__ import annotations

from functools import partial

from libs.events import JobScheduled, WebhookFinished
from services.webhooks.fan_out.ports import FanOutPorts
from services.webhooks.service import LIMITS, WebhooksService
from tests.fakes.control.folded_jobs import FoldedJobs
from tests.fakes.partition import FoldedTables
from tests.simulation import following

HOST = "http://hooks.example"
SLOTS_OF_AN_ENDPOINT = 20


class Harness(following.Harness[WebhooksService]):
    """One webhooks service, one owner of partition 0, one receiver."""

    limits = LIMITS._replace(
        slots=300, per_lane=SLOTS_OF_AN_ENDPOINT
    )  # so that a few jobs are more than an endpoint may have

    def new_service(self) -> WebhooksService:
        jobs = FoldedJobs(FoldedTables(self.log))  # folded on their own, so that a test can freeze the others
        return WebhooksService(
            self.ports,
            tables=self.tables,
            fan_out=FanOutPorts(self.endpoints, jobs, jobs),
            meter=self.tally,
            make_keeper=self.new_keeper,
            **self.settings,
        )

    async def job(self, **spec: object) -> JobScheduled:
        """Append a job with a webhook that has been due for a moment."""
        spec = {"webhook_url": f"{HOST}/me"} | spec
        return await self.owner.schedule(self.clock.now(), **spec)  # type: ignore[arg-type]

    async def ended_job(self, **spec: object) -> JobScheduled:
        """Append a job with a webhook, and the decision that it is at its end."""
        job = await self.job(**spec)
        await self.owner.finish(job)
        return job

    async def told(self) -> list[WebhookFinished]:
        return await self.facts(WebhookFinished)

    @property
    def posted(self) -> list[str | None]:
        """The ids of the jobs told of, in order."""
        return [call.header("webhook-id") for call in self.egress.calls]


harness = partial(following.running, Harness)
