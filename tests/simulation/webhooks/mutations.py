"""Rules of the webhooks service, taken out by a patch of the running code: for tests/simulation/fleet/mutations.py."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from libs.store.reads.pending_webhooks import PendingSnapshot
from services.webhooks.reader import EndedJobsReader
from tests.fakes.database import Database


@contextlib.contextmanager
def patched(*patches: tuple[Any, str, Any]) -> Iterator[None]:
    """Set attributes, and set them back."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in patches]
    for owner, name, value in patches:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)


def pending_webhooks_forgotten() -> AbstractContextManager[None]:
    """A webhooks service that starts sends what ends from then on, and not what is pending in the tables."""

    async def nothing_pending(self: EndedJobsReader, snapshot: PendingSnapshot) -> bool:
        return False

    return patched((EndedJobsReader, "take_snapshot", nothing_pending))


def deliveries_forgotten() -> AbstractContextManager[None]:
    """A webhooks service that starts tries again what fails from then on, and not what waits in the tables."""
    take_snapshot = EndedJobsReader.take_snapshot

    async def without_deliveries(self: EndedJobsReader, snapshot: PendingSnapshot) -> bool:
        look, self._look = self._look, _no_look  # type: ignore[method-assign]
        try:
            return await take_snapshot(self, snapshot)
        finally:
            self._look = look  # type: ignore[method-assign]
            self._look_at, self._look_since = None, self._clock.now()

    return patched((EndedJobsReader, "take_snapshot", without_deliveries))


async def _no_look() -> None:
    pass


def webhooks_retried_early() -> AbstractContextManager[None]:
    """A delivery is tried again as soon as it is found."""
    due, due_page = Database.due, Database.due_page

    return patched(
        (Database, "due", lambda self, partition, since, now: due(self, partition, since, now + 60_000)),
        (
            Database,
            "due_page",
            lambda self, partition, account, place, now, limit: due_page(
                self, partition, account, place, now + 60_000, limit
            ),
        ),
    )
