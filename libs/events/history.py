"""The decision that ended jobs of a partition are forgotten (libs/domain/history)."""

from typing import Annotated

import msgspec
from msgspec import Meta

from libs.events.fields import Instant


class HistoryForgotten(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """
    Decision: jobs of this partition that are at their end, and wait for nothing, do not exist from here on.

    Of each number the highest that was decided so far counts. A job is forgotten if its last record stands before *through*, and it
    ended before the instant for jobs like it. Its id never comes back: a `job.scheduled` of an id that nobody knows, and that was
    made before these instants, makes no job.

    Args:
        through: a position of this partition; jobs with a record at or after it are kept.
        success_before: jobs that ended well or were cancelled before this instant are forgotten.
        failed_before: the same for jobs that failed.
        heartbeat_before: the same for Fliq's own heartbeats.
        closed_before: no request makes a job of an id from before this instant that nobody knows; nothing is forgotten by it
            (version 2).
        responses_before: what was kept of an answer before this instant is forgotten (version 3).
    """

    through: Annotated[int, Meta(ge=0)]
    success_before: Instant = 0
    failed_before: Instant = 0
    heartbeat_before: Instant = 0
    closed_before: Instant = 0
    responses_before: Instant = 0
    at: Instant
