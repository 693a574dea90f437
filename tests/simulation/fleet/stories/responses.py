"""What targets of a fleet answer when they fail, what must be there of it at the end, and a rule about it taken out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

from libs.domain.ledger import Applied
from libs.domain.responses.captured import decode
from libs.egress.request import OutgoingRequest
from libs.events.ids import execution_id, is_id
from libs.store.projection.changes import PartitionChanges
from tests.fakes.database import Database
from tests.simulation.webhooks.mutations import patched


def tell(request: OutgoingRequest, status: int) -> None:
    """Answer *request* with its own execution id as the body, to whoever keeps answers."""
    keeper = request.keeper
    if keeper is not None and keeper.wants(status):
        keeper.header(b"Content-Type", b"text/plain")
        keeper.body(dict(request.headers)["X-Fliq-Execution-Id"].encode())
        keeper.end(is_whole=True)


def responses_lost(database: Database) -> Iterator[str]:
    """Every attempt that was answered with a failure has its own answer in the tables, and no other attempt has one."""
    rows = dict(database.response_rows)
    for (job_id, attempt), execution in database.execution_rows.items():
        job = database.jobs.get(job_id)
        if job is None or is_id(job.account, "whe"):
            continue
        row = rows.pop((job_id, attempt), None)
        if execution.ok is not False or execution.status_code is None:
            if row is not None:
                yield f"response_lost: {job_id} {attempt} has an answer, and got none"
        elif row is None or decode(row.data).head != execution_id(job_id, attempt):
            yield f"response_lost: {job_id} {attempt}: {row}"
    for job_id, attempt in rows:
        yield f"response_lost: {job_id} {attempt} has an answer, and there is no such attempt"


def responses_not_written() -> AbstractContextManager[None]:
    """A flush forgets what was kept of answers."""
    add = PartitionChanges.add

    def forget(self: PartitionChanges, applied: Applied) -> None:
        add(self, applied)
        self.responses.clear()

    return patched((PartitionChanges, "add", forget))
