"""Events: the stream of what happens to the account's jobs and schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from fliq_client import answers
from fliq_client.call import Call, Request, path
from fliq_client.groups.feed import Feed
from fliq_client.groups.list_filters import filtered
from fliq_client.surface import E, Group, feed


class Events(Group[E]):
    """What happens to jobs and schedules."""

    @feed
    def stream(
        self,
        *,
        types: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        schedule_id: str | None = None,
        since: datetime | None = None,
        last_event_id: str | None = None,
        patience_s: float = 300.0,
    ) -> Feed:
        """
        Follow the events, each at least once and those of one job in order; a connection that breaks is begun again where it was.

        Args:
            types: only these, such as `job.failed`.
            labels: only of what has all of these labels.
            schedule_id: only of this schedule and its jobs.
            since: begin at this instant; by default, now.
            last_event_id: begin behind the `place` of an earlier event instead.
            patience_s: raise if nothing was heard of Fliq for so long, in seconds.
        """

        def call_of(place: str | None) -> Call[None]:
            place = place or last_event_id
            headers = (("Last-Event-ID", place.encode()),) if place else ()
            query = filtered(
                {"labels": labels}, types=",".join(types) if types else None, schedule_id=schedule_id, since=since
            )
            request = Request(method="GET", path=path("events"), query=query, headers=headers)
            return Call(request=request, read=answers.nothing)

        return Feed(call_of=call_of, patience_s=patience_s)
