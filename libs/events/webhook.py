"""The event of the webhooks service: how the one POST at a job's end went."""

import msgspec

from libs.events.fields import DurationMs, Instant, JobId, StatusCode, Text


class WebhookFinished(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Fact: the webhook was sent once, with this outcome. First wins by *job_id*; the job's status does not change."""

    job_id: JobId
    at: Instant
    ok: bool
    duration_ms: DurationMs
    status_code: StatusCode | None = None
    error: Text | None = None
